"""What each part of a model is worth and costs: what is measured when, what fails alone, and the verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from command_line import joulefront
from joulefront.errors import CandidateError, ConfigError, Crashed
from joulefront.protocols import Criterion, Group
from joulefront.prune.criteria.magnitudes import L2
from joulefront.records import Grade, Job
from joulefront.report import sensitivity_document
from joulefront.sensitivity import Place, Survey, Wanted
from joulefront.sensitivity_records import Sensitivity
from joulefront.tasks.task import Task
from simulated import TARGET, Bench, Compiler, Silent

_FILE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from joulefront.tasks.task import Task

def task():
    inputs = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    return Task(nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)), (inputs[:1],), data, data, data)
"""


@pytest.fixture
def task() -> Task:
    inputs = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    return Task(model, (inputs[:1],), data, data, data)


def surveyed(
    task: Task, bench: Bench | None = None, compiler: Compiler | None = None, criterion: Criterion | None = None
) -> tuple[Sensitivity, Silent]:
    listener = Silent()
    survey = Survey(Wanted("net.py:task", widths=2), task, criterion or L2(), listener)
    place = Place("board", bench, compiler or Compiler(TARGET)) if bench else None
    return survey.run(place), listener


def test_without_a_device_no_latency_is_claimed(task: Task) -> None:
    found, listener = surveyed(task)
    assert found.measured is None
    document = sensitivity_document.document(found)
    assert document["device"] is None
    assert document["unpruned"]["latency_s"] is None
    assert document["provenance"]["latency_s"].startswith("none: no device")
    assert all(cut["latency_s"] is None and cut["latency_share"] is None for cut in document["cuts"])
    assert [cut["width"] for cut in document["cuts"]] == [4, 12, 4, 12]
    assert all(cut["metric"] is not None for cut in document["cuts"])
    assert document["left_alone"] == {"4": "its channels are the network's output"}
    assert [line.split(":")[0] for line in listener.said] == ["2/4", "4/4"]


def test_the_unpruned_network_is_measured_first_halfway_and_last(task: Task, fresh_cache: Path) -> None:
    bench = Bench(energy=True)
    found, _ = surveyed(task, bench)
    labels = [label for label, _ in bench.measured]
    assert [at for at, label in enumerate(labels) if label == "net.py:task"] == [0, 3, 6]
    assert sorted(labels[1:3] + labels[4:6]) == ["0=12", "0=4", "2=12", "2=4"]
    assert {grade for _, grade in bench.measured} == {"screening"}
    assert bench.reference is not None
    assert bench.reference.label == "net.py:task"
    document = sensitivity_document.document(found)
    whole = document["unpruned"]["latency_s"]["median"]
    assert len(document["unpruned"]["measured_s"]) == 3
    for cut in document["cuts"]:
        share = cut["latency_share"]
        assert share["ratio"] == pytest.approx(cut["latency_s"]["median"] / whole)
        assert share["interval"][0] < share["ratio"] < share["interval"][1]
        assert cut["energy_share"]["ratio"] > 0
    assert document["provenance"] == {"latency_s": "simulated", "energy_j": "simulated"}
    assert document["drift"]["ratio"] == 1


def test_all_networks_are_made_before_the_first_is_measured(task: Task, fresh_cache: Path) -> None:
    made = len(list(fresh_cache.rglob("model.so")))
    assert made == 0

    def count(_job: Job, _grade: Grade) -> None:
        assert len(list(fresh_cache.rglob("model.so"))) == 5

    bench = Bench(on_measure=count)
    surveyed(task, bench)
    assert len(bench.measured) == 7


def test_a_network_that_cannot_be_compiled_or_run_fails_alone(task: Task, fresh_cache: Path) -> None:
    def crash(job: Job, _grade: Grade) -> None:
        if job.label == "2=4":
            raise Crashed("simulated")

    found, listener = surveyed(task, Bench(on_measure=crash), Compiler(TARGET, fails_on="out_features=12"))
    failed = {cut.pruning.text: cut.failure.kind for cut in found.cuts if cut.failure}
    assert failed == {"0=12": "CompileError", "2=12": "CompileError", "2=4": "Crashed"}
    assert all(cut.change is not None for cut in found.cuts)
    assert [cut.measurement is not None for cut in found.cuts] == [True, False, False, False]
    assert "2=4 failed: Crashed: simulated" in listener.said


def test_an_unpruned_network_that_does_not_run_is_the_end(task: Task, fresh_cache: Path) -> None:
    def crash(_job: Job, _grade: Grade) -> None:
        raise Crashed("simulated")

    with pytest.raises(CandidateError, match="simulated"):
        surveyed(task, Bench(on_measure=crash))


def test_where_nothing_can_be_judged_or_cut_one_message_says_why(task: Task) -> None:
    def broken(group: Group) -> Tensor:
        raise ValueError("no idea")

    with pytest.raises(ConfigError, match=r"none of the 4 networks can be made: criterion .* no idea"):
        surveyed(task, criterion=broken)
    single = nn.Sequential(nn.Linear(3, 2))
    alone = Task(single, task.example, task.train, task.validation, task.test)
    with pytest.raises(ConfigError, match=r"nothing in net.py:task can be cut: '0': its channels are the network's"):
        surveyed(alone)


def test_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.py").write_text(_FILE)
    monkeypatch.chdir(tmp_path)
    verb = "sensitivity", "net.py:task"
    assert joulefront(monkeypatch, *verb, "--widths", 2, "--examples", 20, "--figure", "f.svg") == 0
    table = capfd.readouterr().out
    assert max(map(len, table.splitlines())) <= 120
    assert [line.split()[1] for line in table.splitlines() if line.startswith((" 0 ", "0 "))] == ["4", "12"]
    assert "latency, ms" not in table
    assert "no device was named" in table
    assert "20 examples" in table
    assert (tmp_path / "f.svg").read_text().startswith("<?xml")
    assert joulefront(monkeypatch, *verb, "--widths", 1, "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert document["examples"] == 30
    assert [cut["width"] for cut in document["cuts"]] == [8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.onnx"], "net.onnx: only the model of a task can be cut and judged"),
        (["net.py:task", "--criterion", "l3"], "--criterion unknown kind 'l3'"),
        (["net.py:task", "--figure", "nowhere/f.png"], "there is no folder nowhere"),
        (["net.py:task", "--figure", "f.gif"], "f.gif: expected a file that ends in .png, .svg or .pdf"),
        (["net.py:task", "--device", "nowhere"], "nowhere"),
        (["nothing"], "[task] unknown kind 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "net.py").write_text(_FILE)
    monkeypatch.chdir(tmp_path)
    assert joulefront(monkeypatch, "sensitivity", *arguments) == 2
    said = capfd.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("joulefront: ")]
    assert message in line
    assert "Traceback" not in said
