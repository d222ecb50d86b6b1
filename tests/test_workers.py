"""The processes that make candidates: what users' code does in them becomes one error, and a dead one is blamed rightly."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from joulefront.config import StudyConfig, parse
from joulefront.errors import BenchError, ConfigError, Crashed
from joulefront.prepare import Recipe
from joulefront.records import Prepared
from joulefront.study import run
from joulefront.workers import Workers
from simulated import TARGET, Bench, Silent, bench_of, study_text

TASK = """
import os, sys, torch
from pathlib import Path
from torch import nn
from torch.utils.data import TensorDataset
from joulefront.tasks import Task

torch.manual_seed(0)
DATA = TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10)

def net(channels=16):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Flatten(), nn.Linear(channels * 36, 10))

def good():
    return Task(net(), torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)), DATA, DATA, DATA)

def random_weights():
    torch.seed()
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
    return Task(model, torch.ones(1, 1, 8, 8), DATA, DATA, DATA)

def exits():
    sys.exit(0)

class Strange(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        if index == 50:
            raise Strange("image 50", "damaged")
        return DATA[index]

def broken_data():
    return Task(net(), torch.ones(1, 1, 8, 8), DATA, Broken(), DATA)

class Deadly(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        # Only where a narrower network is judged, and only while the file is there.
        if Path(__file__).with_name("deadly").exists() and index == 50:
            os.abort()
        return DATA[index]

def deadly_data():
    return Task(net(), torch.ones(1, 1, 8, 8), DATA, Deadly(), DATA)
"""


def workers_of(folder: Path, kind: str, count: int = 1, text: str = TASK, start: type[Workers] = Workers) -> Workers:
    folder.mkdir(exist_ok=True)
    (folder / "tasks.py").write_text(text)
    study = parse(
        study_text().replace('kind = "digits"', f'kind = "tasks.py:{kind}"'), StudyConfig, source="study.toml"
    )
    return start(Recipe(study.model_dump_json(), folder, TARGET), count)


def test_candidates_come_in_the_order_asked_and_do_not_depend_on_the_number_of_workers(
    tmp_path: Path, fresh_cache: Path, one_worker: type[Workers]
) -> None:
    genomes = [(0,), (3,), (1,), (2,)]
    made = []
    for count, start in ((1, one_worker), (2, Workers)):  # of which the one has another cache
        with workers_of(tmp_path, "good", count, start=start) as workers:
            workers.load()
            made.append([one for one in workers.prepare_all(genomes, "screen") if isinstance(one, Prepared)])
    for found in made:
        assert [one.candidate.pruning.widths for one in found] == [{"0": width} for width in (4, 16, 8, 12)]
    assert [one.candidate.sha256 for one in made[0]] == [one.candidate.sha256 for one in made[1]]
    assert [one.candidate.key for one in made[0]] == [one.candidate.key for one in made[1]]


def test_a_task_that_is_another_one_each_time_is_refused(tmp_path: Path, one_worker: type[Workers]) -> None:
    with workers_of(tmp_path / "first", "random_weights", start=one_worker) as first:
        loaded = first.load()
    with workers_of(tmp_path / "second", "random_weights", start=one_worker) as second:
        second.load()
        second._identity = loaded.identity  # as a second worker of the first pool has it
        with pytest.raises(ConfigError, match=r"\[task\] gives another model each time it is loaded.*seed"):
            next(second.prepare_all([(0,)], "screen"))


@pytest.mark.parametrize(("kind", "expected"), [("exits", "SystemExit"), ("absent", "has no 'absent'")])
def test_a_task_that_cannot_be_loaded_is_one_error(
    tmp_path: Path, one_worker: type[Workers], kind: str, expected: str
) -> None:
    with workers_of(tmp_path, kind, start=one_worker) as workers, pytest.raises(ConfigError, match=expected):
        workers.load()


def test_whatever_the_users_data_raises_is_one_line(tmp_path: Path, one_worker: type[Workers]) -> None:
    with (
        workers_of(tmp_path, "broken_data", start=one_worker) as workers,
        pytest.raises(ConfigError, match=r"Strange: image 50 and damaged \(tasks.py, line \d+\)") as caught,
    ):
        workers.load()
    assert "\n" not in str(caught.value)


def test_a_network_whose_worker_dies_twice_is_at_fault_and_the_others_are_made(
    tmp_path: Path, fresh_cache: Path
) -> None:
    with workers_of(tmp_path, "deadly_data") as workers:
        workers.load()
        (tmp_path / "deadly").touch()
        (outcome,) = workers.prepare_all([(0,)], "screen")
        assert isinstance(outcome, Crashed)
        (tmp_path / "deadly").unlink()
        made = list(workers.prepare_all([(0,), (1,)], "screen"))
        assert all(isinstance(one, Prepared) for one in made)


def test_a_worker_that_dies_while_it_loads_is_the_hosts_failure(tmp_path: Path, fresh_cache: Path) -> None:
    (tmp_path / "deadly").touch()
    with workers_of(tmp_path, "deadly_data") as workers, pytest.raises(BenchError, match="loads the task died"):
        workers.load()


def test_a_test_score_is_refused_for_another_network_than_was_measured(
    tmp_path: Path, one_worker: type[Workers]
) -> None:
    with workers_of(tmp_path, "good", start=one_worker) as workers:
        workers.load()
        (made,) = workers.prepare_all([(1,)], "full")
        assert isinstance(made, Prepared)
        (score,) = workers.test([((1,), made.candidate.sha256)])
        assert (score.split, score.examples) == ("test", 64)
        with pytest.raises(BenchError, match="another one than was measured"):
            workers.test([((1,), "0" * 64)])


def test_the_key_follows_what_a_candidate_is_made_from(tmp_path: Path, one_worker: type[Workers]) -> None:
    folders = iter("abcd")  # a process loads a file once

    def key_and_artifact(text: str) -> tuple[str, str]:
        with workers_of(tmp_path / next(folders), "good", text=text, start=one_worker) as workers:
            workers.load()
            (made,) = workers.prepare_all([(1,)], "screen")
            assert isinstance(made, Prepared)
            return made.candidate.key, made.artifact.key

    base = key_and_artifact(TASK)
    assert key_and_artifact(TASK) == base
    for change in (
        ("torch.rand(64, 1, 8, 8)", "torch.rand(65, 1, 8, 8)[:64]"),  # the data
        ("nn.ReLU()", "nn.ReLU6()"),  # what the model computes, with the same weights
    ):
        assert not set(key_and_artifact(TASK.replace(*change))) & set(base)


def test_a_study_does_not_go_on_with_other_data(
    tmp_path: Path, one_worker: type[Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(study_text(evaluations=4).replace('kind = "digits"', 'kind = "tasks.py:good"'))
    (tmp_path / "tasks.py").write_text(TASK)
    with monkeypatch.context() as patch:
        patch.setattr("joulefront.study.Workers", one_worker)
        run(file, tmp_path / "results", Silent(), bench_of(Bench()))
    (tmp_path / "tasks.py").write_text(TASK.replace("torch.arange(64) % 10)", "torch.arange(64) % 9)", 1))
    with pytest.raises(ConfigError, match=r"begun with another task: data was '\w+', is '\w+'; task was"):
        run(file, tmp_path / "results", Silent(), bench_of(Bench()))


def test_workers_end_with_their_host(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASK)
    script = (
        "import sys, time; from pathlib import Path; from test_workers import workers_of\n"
        f"workers = workers_of(Path({str(tmp_path)!r}), 'good'); workers.load(); print('loaded', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as host:
        assert host.stdout
        assert host.stdout.readline() == "loaded\n"
        children = psutil.Process(host.pid).children(recursive=True)
        assert children
        host.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
