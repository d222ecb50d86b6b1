"""Whole studies on a simulated bench: the story, resuming, killing, and what ends one early."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from joulefront import kept
from joulefront.errors import BenchError, ConfigError, Crashed, StoreError, TransportError
from joulefront.front import front_of
from joulefront.objectives import MACRO, NAMES
from joulefront.records import Grade, Job, Trial
from joulefront.report import documents
from joulefront.results import of_store, read
from joulefront.store import Store
from joulefront.study import run
from simulated import NO_METER, Bench, Silent, bench_of, study_text

pytestmark = pytest.mark.usefixtures("shared_workers")


def study(folder: Path, text: str) -> Path:
    file = folder / "study.toml"
    file.write_text(text)
    return file


def play(folder: Path, text: str, bench: Bench | None = None, listener: Silent | None = None) -> list[Trial]:
    results = run(study(folder, text), folder / "results", listener or Silent(), bench_of(bench or Bench()))
    with Store.open(results) as store:
        return store.trials(samples=True)


def test_a_study_from_its_file_to_its_front(tmp_path: Path) -> None:
    bench, listener = Bench(), Silent()
    trials = play(tmp_path, study_text(), bench, listener)
    screened = [trial for trial in trials if trial.fidelity == "screen"]
    final = [trial for trial in trials if trial.fidelity == "full"]
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert len(screened) == 8
    assert {grade for _, grade in bench.measured[8:]} == {"full"}
    assert listener.said == [f"Energy is no objective of this study: {NO_METER}"]

    objectives = ("error", "latency_s")
    searched = {trial.genome for trial in front_of(screened, objectives)}
    assert {trial.genome for trial in final} == searched | {screened[0].genome}  # the unpruned network as well
    front = front_of(final, objectives)
    assert all(trial.test for trial in front)
    assert all(trial.test is None for trial in screened)

    folder = tmp_path / "results" / "small"
    kept = {path.name for path in (folder / "artifacts").iterdir()}
    for trial in front:
        assert trial.artifact
        assert trial.candidate
        assert {f"{trial.artifact.sha256}.so", f"{trial.candidate.sha256}.safetensors"} <= kept
    with Store.open(folder) as store:
        document = documents.front(of_store(store))
        assert store.fact("versions")["torch"]
        assert store.fact("device") == {"model": "simulated"}
    assert document["state"] == "settled"
    assert [point["trial"] for point in document["front"]] == [trial.number for trial in front]
    assert document["reference"]["genome"] == list(screened[0].genome)
    assert document["trials"] == {"ok": len(trials), "failed": 0}
    assert 0 < document["hypervolume"]["value"] < 1
    point = document["front"][0]
    told = {"latency_s": "simulated", "latency_p99_s": "simulated", "memory_b": "simulated"}
    assert point["provenance"].items() >= {**told, "energy_j": f"none: {NO_METER}"}.items()
    assert point["metrics"]["energy_j"] is None
    assert point["metrics"]["test_accuracy"] == front[0].test.metric  # type: ignore[union-attr]


def test_what_is_kept_and_was_damaged_is_made_again(tmp_path: Path) -> None:
    play(tmp_path, study_text(evaluations=4))
    artifacts = tmp_path / "results" / "small" / "artifacts"
    before = {path: path.read_bytes() for path in artifacts.iterdir()}
    for path, data in before.items():
        path.write_bytes(data[:-1])
    play(tmp_path, study_text(evaluations=4))
    assert {path: path.read_bytes() for path in artifacts.iterdir()} == before


def test_what_runs_tvms_own_loops_is_told_by_every_trial_and_kept(tmp_path: Path) -> None:
    trials = play(tmp_path, study_text(evaluations=4, compiler='tells = "cumsum"'))
    assert {trial.fidelity for trial in trials} == {"screen", "full"}
    for trial in trials:
        assert trial.artifact is not None
        assert trial.measurement is not None
        assert [use.tuned for use in trial.artifact.composition.kernels] == [True]
        (warning,) = trial.measurement.warnings
        assert re.fullmatch(r"cumsum runs TVM's own loops, .*: about \d+ % of the inference, simulated .*", warning)
    kept_job = kept.job(tmp_path / "results" / "small", trials[-1], "kept")
    assert [one.operators for one in kept_job.fallbacks] == ["cumsum"]


def test_energy_is_an_objective_where_there_is_a_meter(tmp_path: Path) -> None:
    listener = Silent()
    trials = play(tmp_path, study_text(), Bench(energy=True), listener)
    assert set(trials[0].objectives) == {"error", "latency_s", "energy_j"}
    assert listener.said == []


def test_while_another_machine_measures_the_host_prepares(tmp_path: Path) -> None:
    """The second network is made only when the first is being measured: one before the other would wait for ever."""
    begun = tmp_path / "measuring"
    bench = Bench(on_measure=lambda job, grade: begun.touch())
    bench.shares_host = False
    trials = play(tmp_path, study_text(compiler=f'waits_for = "{begun}"'), bench)
    assert all(trial.failure is None for trial in trials)


def test_on_this_machine_nothing_is_prepared_while_it_measures(tmp_path: Path) -> None:
    made: list[int] = []
    artifacts = Path(os.environ["JOULEFRONT_CACHE"]) / "artifacts"
    text = study_text(evaluations=4, compiler="takes_s = 0.001")
    play(tmp_path, text, Bench(on_measure=lambda job, grade: made.append(len(list(artifacts.glob("*/*/entry.json"))))))
    assert len(set(made[:4])) == 1  # the whole batch is there when the first of it is measured


def test_on_another_device_it_is_another_study(tmp_path: Path) -> None:
    file, results = study(tmp_path, "# mine\n" + study_text(evaluations=4)), tmp_path / "results"
    folder = run(file, results, Silent(), bench_of(Bench()), device="pi5")
    assert folder == results / "small-pi5"
    with Store.open(folder) as store:
        assert (store.study.name, store.study.device, store.study.search.evaluations) == ("small-pi5", "pi5", 4)
    assert run(file, results, Silent(), bench_of(Bench()), device="local") == results / "small"


def test_the_same_command_on_a_finished_study_measures_nothing(tmp_path: Path) -> None:
    first = play(tmp_path, study_text())
    again = Bench()
    assert play(tmp_path, study_text(), again) == first
    assert again.measured == []


def killed(folder: Path, at: int) -> list[str]:
    """Run the study in ``folder`` until it kills itself at its ``at``th measurement; what it had begun."""
    log = folder / f"log-{at}"
    script = Path(__file__).with_name("run_simulated.py")
    command = [sys.executable, str(script), str(folder / "study.toml"), str(folder / "results"), str(log), str(at)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -9, done.stderr
    return log.read_text().splitlines()


def test_a_killed_study_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    text = study_text()
    broken, undisturbed = tmp_path / "broken", tmp_path / "whole"
    broken.mkdir()
    undisturbed.mkdir()
    whole = play(undisturbed, text)
    study(broken, text)
    recorded: list[Trial] = []
    # In the first generation, in the next one, and in a block of the final front, which is lost as a whole.
    for at, done in ((3, 2), (4, 5), (5, 8)):
        begun = killed(broken, at)
        assert len(begun) == at
        with Store.open(broken / "results" / "small") as store:
            trials = store.trials(samples=True)
        assert trials[: len(recorded)] == recorded  # what was stored before is unchanged
        assert len(trials) == done  # what was begun last was lost, and nothing else
        recorded = trials
    rest = Bench()
    assert play(broken, text, rest) == whole
    labels = [label for label, _ in rest.measured]
    assert len(set(labels)) == len(whole) - len(recorded)  # none is measured twice


def test_a_changed_study_refuses_to_resume(tmp_path: Path) -> None:
    play(tmp_path, study_text())
    with pytest.raises(ConfigError, match=r"holds another study: search\.evaluations was 8, is 9"):
        play(tmp_path, study_text(evaluations=9))


def test_another_device_refuses_to_resume(tmp_path: Path) -> None:
    play(tmp_path, study_text())
    with pytest.raises(ConfigError, match="begun with another objectives: names was"):
        play(tmp_path, study_text(), Bench(energy=True))


def test_a_replay_that_parts_from_what_was_recorded_names_the_trial(tmp_path: Path) -> None:
    first = play(tmp_path, study_text())[0]
    connection = sqlite3.connect(tmp_path / "results" / "small" / "study.sqlite")
    connection.execute(
        "UPDATE trials SET record = json_set(record, '$.genome', json(?)) WHERE number = 2", [json.dumps(first.genome)]
    )
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="parts from what was recorded at trial 2"):
        play(tmp_path, study_text())


def test_a_failed_candidate_is_an_outcome(tmp_path: Path) -> None:
    def crash(job: Job, grade: Grade) -> None:
        if "dense1=64" not in job.label:
            raise Crashed(f"{job.label}: signal 11")

    trials = play(tmp_path, study_text(), Bench(on_measure=crash))
    failed = [trial for trial in trials if trial.failure]
    assert failed
    assert {trial.failure.kind for trial in failed if trial.failure} == {"Crashed"}
    assert all(trial.artifact for trial in failed)  # it was made; it did not run
    assert all(not trial.objectives for trial in failed)


def test_without_the_unpruned_network_there_is_no_reference_but_a_reason(tmp_path: Path) -> None:
    def crash(job: Job, grade: Grade) -> None:
        if "conv1=16 conv2=32 dense1=64" in job.label:
            raise Crashed("too large")

    play(tmp_path, study_text(), Bench(on_measure=crash))
    with Store.open(tmp_path / "results" / "small") as store:
        document = documents.front(of_store(store))
    assert document["reference"] is None
    assert document["reference_reason"] == "the unpruned network failed: Crashed: too large"
    assert document["hypervolume"] == {"value": None, "reference_point": None}
    assert document["front"]


def test_the_unpruned_network_becomes_the_benchs_reference_also_on_a_resume(tmp_path: Path) -> None:
    seen: list[Job | None] = []
    bench = Bench()
    bench._on_measure = lambda job, grade: seen.append(bench.reference)

    def cut_off(job: Job, grade: Grade) -> None:
        if len(first.measured) == 2:
            raise TransportError("the cable was pulled; run the same command again")

    first = Bench(on_measure=cut_off)
    with pytest.raises(BenchError, match="cable"):
        play(tmp_path, study_text(), first)
    play(tmp_path, study_text(), bench)
    assert seen[0] is not None
    assert seen[0].label == "conv1=16 conv2=32 dense1=64"


def test_a_candidate_that_does_not_compile_is_an_outcome(tmp_path: Path) -> None:
    text = study_text().replace(':Compiler"', ':Compiler"\nfails_on = "out_features=64"')
    trials = play(tmp_path, text)
    kinds = {trial.failure.kind for trial in trials if trial.failure}
    assert kinds == {"CompileError"}
    assert all(trial.artifact is None for trial in trials if trial.failure)


def test_limits_that_nothing_meets_are_said_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing keeps them all \(latency_s <= 1e-09\).*nearest is trial \d+ with"):
        play(tmp_path, study_text(more="---[limits]\nlatency_s = 1e-9\n"))


def test_limits_bound_the_front(tmp_path: Path) -> None:
    free = play(tmp_path, study_text("free"))
    limit_s = sorted(trial.objectives["latency_s"] for trial in free if trial.fidelity == "full")[1]
    bound = play(tmp_path, study_text("bound", more=f"---[limits]\nlatency_s = {limit_s}\n"))
    final = [trial for trial in bound if trial.fidelity == "full"]
    front = front_of(final, ("error", "latency_s"))
    assert front
    assert all(trial.objectives["latency_s"] <= limit_s for trial in front)


def test_anything_may_be_minimised_also_as_a_weighted_sum(tmp_path: Path) -> None:
    names = [name for name in NAMES if name not in ("error", "latency_s", "energy_j")]
    weights = ", ".join(f"{name} = {place}" for place, name in enumerate(names))
    more = f"objectives = {json.dumps(names)}\n---[limits]\nmemory_b = 1e9\nrecall_error = 0.999\n"
    search = f'kind = "weighted-sum"\npopulation = 4\nweights = {{{weights}}}'
    trials = play(tmp_path, study_text(evaluations=4, search=search, more=more))
    assert all(trial.failure is None for trial in trials)
    for trial in trials:
        assert list(trial.objectives) == names
        assert trial.candidate
        assert trial.artifact
        assert trial.objectives["packed_b"] == trial.artifact.packed_b
        assert trial.objectives["loss"] == trial.candidate.score.loss
        assert trial.limited == {name: trial.objectives[name] for name in ("memory_b", "recall_error")}
    document = documents.front(read(tmp_path / "results" / "small"))
    assert set(document["hypervolume"]["reference_point"]) == set(names)
    metrics, tests = document["front"][0]["metrics"], trials[-1].test
    assert {name: metrics[name] for name in names} == document["front"][0]["objectives"]
    assert tests is None or set(tests.macro) == set(MACRO)


def test_what_the_device_cannot_tell_ends_the_study_with_the_reason(tmp_path: Path) -> None:
    bench = Bench()
    bench.memory_reason = "no /proc there"
    with pytest.raises(ConfigError, match=r"memory_b cannot be told: no /proc there\. Leave it out of objectives"):
        play(tmp_path, study_text(more='objectives = ["error", "memory_b"]\n---'), bench)


def test_only_a_classifier_has_an_f1(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(
        "from torch import nn, rand\n"
        "from torch.utils.data import TensorDataset\n"
        "from joulefront.tasks.task import Task\n"
        "class Regression(Task):\n"
        "    def loss(self, outputs, targets): return ((outputs - targets) ** 2).mean()\n"
        "    def metric(self, outputs, targets): return 1 - float(self.loss(outputs, targets))\n"
        "def task():\n"
        "    splits = [TensorDataset(rand(4, 3), rand(4, 2)) for _ in range(3)]\n"
        "    return Regression(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2)), rand(1, 3), *splits)\n"
    )
    text = study_text(more='objectives = ["latency_s"]\n---[limits]\nf1_error = 0.5\n')
    with pytest.raises(ConfigError, match=r"f1_error: only a classifier .* \(2, 2\) .* \(2, 2\) of torch.float32"):
        play(tmp_path, text.replace('kind = "digits"', 'kind = "task.py:task"'))
    assert not (tmp_path / "results").exists()


def test_an_energy_limit_without_a_meter_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[limits\] energy_j cannot be checked: a simulated device"):
        play(tmp_path, study_text(more="---[limits]\nenergy_j = 1.0\n"))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('kind = "digits"', 'kind = "digit"'), "[task] unknown kind 'digit'; did you mean 'digits'?"),
        (('kind = "digits"', 'kind = "absent.py:task"'), "absent.py: no such file"),
        (
            ("population = 4", "populaton = 4"),
            "[search] populaton: unknown key for kind 'nsga2'; did you mean 'population'?",
        ),
        (("population = 4", 'population = "4"'), "[search] population: expected a valid integer, not '4'"),
        (("[space]", '[space]\nexclude = ["conv9"]'), "conv9"),
    ],
)
def test_mistakes_found_before_the_first_trial_leave_nothing_behind(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        play(tmp_path, study_text().replace(*change))
    assert expected in str(caught.value)
    assert not (tmp_path / "results").exists()
