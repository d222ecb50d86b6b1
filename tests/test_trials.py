"""How a study's trials are measured: the reference again and again, the front in blocks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from joulefront.errors import BenchError, CandidateError, Crashed, TransportError
from joulefront.records import Grade, Job, Measurement, Trial
from joulefront.results import Results, read
from joulefront.study import run
from simulated import Bench, Silent, bench_of, study_text

pytestmark = pytest.mark.usefixtures("shared_workers")

WHOLE = "conv1=16 conv2=32 dense1=64"
CANARIES = "---[measure]\ncanary = 3\n"


class Drifting(Bench):
    """Everything takes half as long again once so many networks were measured; ``blocks`` holds what was measured together."""

    def __init__(
        self, after: int = 1000, *, energy: bool = False, fails: Callable[[str, Grade], bool] | None = None
    ) -> None:
        super().__init__(energy=energy)
        self.after = after
        self.fails = fails or (lambda label, grade: False)
        self.blocks: list[list[str]] = []

    def measure(self, job: Job, grade: Grade) -> Measurement:
        if self.fails(job.label, grade):
            raise Crashed(f"{job.label}: signal 11")
        found = super().measure(job, grade)
        factor = 1.5 if len(self.measured) > self.after else 1.0
        scaled = replace(
            found.latency_s, **{end: factor * getattr(found.latency_s, end) for end in ("value", "low", "high")}
        )
        return replace(found, latency_s=scaled)

    def measure_all(
        self, jobs: list[Job], grade: Grade, tell: Callable[[str], None]
    ) -> list[Measurement | CandidateError]:
        self.blocks.append([job.label for job in jobs])
        return super().measure_all(jobs, grade, tell)


class Heard(Silent):
    def __init__(self) -> None:
        super().__init__()
        self.doings: list[str] = []

    def doing(self, what: str) -> None:
        self.doings.append(what)


def play(folder: Path, text: str, bench: Bench, listener: Silent | None = None) -> Results:
    file = folder / "study.toml"
    file.write_text(text)
    return read(run(file, folder / "results", listener or Silent(), bench_of(bench)))


def drifted(trial: Trial) -> bool:
    assert trial.measurement
    return any("the device drifted" in warning for warning in trial.measurement.warnings)


def test_the_reference_is_measured_again_and_again(tmp_path: Path) -> None:
    bench = Drifting()
    results = play(tmp_path, study_text(more=CANARIES), bench)
    screening = [label for label, grade in bench.measured if grade == "screening"]
    assert [index for index, label in enumerate(screening) if label == WHOLE] == [0, 3, 7]
    again = [canary for canary in results.canaries if canary.fidelity == "screen"]
    assert [(canary.before, canary.network, canary.apart, canary.energy) for canary in again] == [
        (3, 0, (), None),
        (6, 0, (), None),
    ]
    assert again[0].latency.value == pytest.approx(1.0)
    assert again[0].latency.low < 1 < again[0].latency.high
    assert not any(drifted(trial) for trial in results.trials)


def test_no_canary_is_none(tmp_path: Path) -> None:
    bench = Drifting()
    results = play(tmp_path, study_text(evaluations=4, more="---[measure]\ncanary = 0\n"), bench)
    assert [canary for canary in results.canaries if canary.fidelity == "screen"] == []
    assert [label for label, grade in bench.measured if grade == "screening"].count(WHOLE) == 1


def test_a_drift_is_a_warning_of_every_measurement_since(tmp_path: Path) -> None:
    results = play(tmp_path, study_text(more=CANARIES), Drifting(after=5, energy=True))
    screened = [trial for trial in results.trials if trial.fidelity == "screen"]
    # The second time that the reference is measured again it is the device's new speed that it shows.
    assert [drifted(trial) for trial in screened] == [False] * 6 + [True] * 2
    first, second = [canary for canary in results.canaries if canary.fidelity == "screen"]
    assert (first.apart, second.apart) == ((), ("latency_s",))
    assert second.latency.value == pytest.approx(1.5)
    assert second.energy is not None
    assert "trial 0, is 1.5 times" in second.warnings[0]


def test_a_replay_knows_the_drift_and_measures_nothing_again(tmp_path: Path) -> None:
    text = study_text(more=CANARIES)
    whole = tmp_path / "whole"
    whole.mkdir()
    undisturbed = play(whole, text, Drifting(after=5))

    class CutOff(Drifting):
        def measure(self, job: Job, grade: Grade) -> Measurement:
            if len(self.measured) == 9:  # right after the second canary
                raise TransportError("the cable was pulled; run the same command again")
            return super().measure(job, grade)

    with pytest.raises(TransportError):
        play(tmp_path, text, CutOff(after=5))
    rest = Drifting(after=0)
    resumed = play(tmp_path, text, rest)
    assert [label for label, grade in rest.measured if grade == "screening"] != []
    assert WHOLE not in [label for label, grade in rest.measured if grade == "screening"]
    assert [drifted(trial) for trial in resumed.trials[:8]] == [drifted(trial) for trial in undisturbed.trials[:8]]
    assert play(tmp_path, text, finished := Drifting()).canaries == resumed.canaries
    assert finished.measured == []


def test_a_reference_that_runs_no_more_stops_the_study(tmp_path: Path) -> None:
    bench = Drifting()
    bench.fails = lambda label, grade: label == WHOLE and len(bench.measured) > 1
    with pytest.raises(BenchError, match=rf"the reference {WHOLE} fails on the device, where it ran before"):
        play(tmp_path, study_text(more=CANARIES), bench)


@pytest.fixture
def random_study() -> str:
    """One whose front is long: with five objectives, little is dominated."""
    objectives = 'objectives = ["macs", "params", "size_b", "latency_s", "loss"]\n---'
    return study_text(evaluations=24, search='kind = "random"', more=objectives)


def test_a_front_is_settled_in_blocks_beside_the_reference(tmp_path: Path, random_study: str) -> None:
    bench, listener = Drifting(), Heard()
    results = play(tmp_path, random_study, bench, listener)
    full = [trial for trial in results.trials if trial.fidelity == "full"]
    assert len(full) > 6
    labels = [trial.candidate.pruning.text for trial in full if trial.candidate]
    first, *others = bench.blocks
    assert first == labels[:6]
    assert first[0] == WHOLE
    assert [label for block in others for label in block[:-1]] == labels[6:]
    assert {block[-1] for block in others} == {WHOLE}
    assert all(len(block) <= 6 for block in bench.blocks)
    settled = [canary for canary in results.canaries if canary.fidelity == "full"]
    assert [canary.before for canary in settled] == [trial.number for trial in full[6::5]]
    assert {canary.network for canary in settled} == {full[0].number}
    assert f"block 2 of {len(bench.blocks)}, round 1 of 1" in listener.doings


def test_a_drift_between_blocks_is_a_warning_of_the_later_ones(tmp_path: Path, random_study: str) -> None:
    results = play(tmp_path, random_study, Drifting(after=24 + 1 + 6))
    full = [trial for trial in results.trials if trial.fidelity == "full"]
    assert [drifted(trial) for trial in full] == [False] * 6 + [True] * (len(full) - 6)


def test_a_candidate_that_fails_in_a_block_is_an_outcome_and_the_others_are_measured(
    tmp_path: Path, random_study: str
) -> None:
    bench = Drifting()
    bench.fails = lambda label, grade: grade == "full" and label == bench.blocks[0][2]
    results = play(tmp_path, random_study, bench)
    full = [trial for trial in results.trials if trial.fidelity == "full"]
    assert [trial.failure.kind for trial in full if trial.failure] == ["Crashed"]
    assert [bool(trial.measurement) for trial in full[:6]] == [True, True, False, True, True, True]


def test_a_block_that_was_interrupted_is_measured_anew_and_what_is_done_stays(
    tmp_path: Path, random_study: str
) -> None:
    class CutOff(Drifting):
        def measure_all(
            self, jobs: list[Job], grade: Grade, tell: Callable[[str], None]
        ) -> list[Measurement | CandidateError]:
            found = super().measure_all(jobs, grade, tell)
            if len(self.blocks) == 2:
                raise TransportError("the cable was pulled; run the same command again")
            return found

    first, rest = CutOff(), Drifting()
    with pytest.raises(TransportError):
        play(tmp_path, random_study, first)
    play(tmp_path, random_study, rest)
    assert [grade for _, grade in rest.measured] == ["full"] * len(rest.measured)
    assert rest.blocks[0] == first.blocks[1]
    assert rest.reference is not None
