"""Tuning, with a device whose times are made up: what is tried, kept, used and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from joulefront.compile.compiler import TvmCompiler
from joulefront.compile.sources import kernels_version
from joulefront.config import StudyConfig
from joulefront.errors import ConfigError
from joulefront.kernel_records import Function
from joulefront.records import Estimate, Failure, FunctionTime, Job, Measurement
from joulefront.study_facts import tuned_of
from joulefront.subject import TaskModel, subject
from joulefront.tune import Tuner
from joulefront.tuning.database import NOTHING, Database
from simulated import TARGET, Bench, Silent
from written import write_study

Times = Callable[[int], float | None]
"""By a function's number in its library: how long it takes in s, None where it crashes."""


class Task:
    """A convolution and a dense layer: two kernels."""

    model = nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20 * 36, 10)).eval()
    example = (torch.ones(1, 3, 8, 8),)
    train = validation = test = None


class Timed(Bench):
    """A bench whose functions take what ``times`` says, and whose networks take ``latencies_s`` in turn."""

    def __init__(self, times: Times, latencies_s: Sequence[float] = (2e-3, 1e-3)) -> None:
        super().__init__()
        self.times, self.latencies_s, self.timed = times, list(latencies_s), 0

    def time_functions(self, library: Path, sha256: str, functions: Sequence[Function], **plan: Any) -> Any:
        """See bench.Bench.time_functions."""
        assert plan["flush_b"] == sum(tensor.nbytes for tensor in Task.model.state_dict().values())
        self.timed += len(functions)
        return tuple(self._time(self.times(number)) for number, _ in enumerate(functions))

    @staticmethod
    def _time(seconds: float | None) -> FunctionTime | Failure:
        if seconds is None:
            return Failure("Crashed", "simulated")
        return FunctionTime("simulated", Estimate(seconds, 0.99 * seconds, 1.01 * seconds), (seconds,))

    def measure(self, job: Job, grade: Any) -> Measurement:
        """See study.Bench."""
        seconds = self.latencies_s.pop(0)
        return Measurement(
            grade,
            "simulated",
            Estimate(seconds, 0.99 * seconds, 1.01 * seconds),
            ((seconds,),),
            None,
            None,
            "no meter",
            {},
        )


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("JOULEFRONT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path / "devices"))
    return Database.of("board", tmp_path)


def tuner(bench: Bench, database: Database) -> Tuner:
    return Tuner(TaskModel("net", Task()), bench, database, Silent())  # type: ignore[arg-type]


def quicker(*numbers: int) -> Times:
    """Functions of these numbers take half the time of the others."""
    return lambda number: 0.5e-6 if number in numbers else 1e-6


def test_what_is_quicker_is_kept_and_computed_from_then_on(database: Database, tmp_path: Path) -> None:
    found = tuner(Timed(quicker(2)), database).run(60)
    assert (found.known, found.tried, found.changed, found.left, found.kept) == (0, 2, 1, 0, True)
    known = database.snapshot(TARGET, kernels_version())
    assert len(known) == 2

    untuned = TvmCompiler(TARGET).compile(Task.model, Task.example, tmp_path / "untuned.so")
    tuned = TvmCompiler(TARGET, tuned=known).compile(Task.model, Task.example, tmp_path / "tuned.so")
    assert [one.tuned for one in untuned.kernels] == [False, False]
    assert [one.tuned for one in tuned.kernels] == [True, True]
    assert (tmp_path / "untuned.so").read_bytes() != (tmp_path / "tuned.so").read_bytes()
    assert TvmCompiler(TARGET).key != TvmCompiler(TARGET, tuned=known).key

    bench = Timed(quicker(), [1e-3, 1e-3])
    again = tuner(bench, database).run(60)
    assert (again.known, again.tried, bench.timed) == (2, 0, 0)


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(lambda number: 0.98e-6 if number == 3 else 1e-6, id="within noise"),
        pytest.param(lambda number: None if number else 1e-6, id="the others crash"),
    ],
)
def test_what_is_not_quicker_beyond_doubt_changes_nothing(times: Times, database: Database, tmp_path: Path) -> None:
    assert tuner(Timed(times), database).run(60).changed == 0
    known = database.snapshot(TARGET, kernels_version())
    assert known
    libraries = [tmp_path / "untuned.so", tmp_path / "tuned.so"]
    for library, variants in zip(libraries, (NOTHING, known), strict=True):
        TvmCompiler(TARGET, tuned=variants).compile(Task.model, Task.example, library)
    assert libraries[0].read_bytes() == libraries[1].read_bytes()


def test_where_the_untuned_kernel_has_no_time_nothing_is_known(database: Database) -> None:
    bench = Timed(lambda number: None if number == 0 else 1e-6)
    assert tuner(bench, database).run(60).tried == 2
    assert len(database.snapshot(TARGET, kernels_version())) == 1


def test_a_model_that_gets_slower_by_it_is_computed_as_before(database: Database, tmp_path: Path) -> None:
    found = tuner(Timed(quicker(2), [1e-3, 1.1e-3]), database).run(60)
    assert (found.changed, found.kept) == (0, False)
    again = tuner(Timed(quicker(2), [1e-3, 1e-3]), database).run(60)
    assert (again.known, again.tried) == (2, 0)
    untuned = Database(tmp_path / "untuned.kernels")
    tuner(Timed(quicker(), [1e-3, 1e-3]), untuned).run(60)
    assert database.snapshot(TARGET, kernels_version()) == untuned.snapshot(TARGET, kernels_version())


def test_no_time_left_leaves_kernels_for_the_next_time(database: Database) -> None:
    found = tuner(Timed(quicker(2), [1e-3, 1e-3]), database).run(0)
    assert (found.tried, found.changed, found.left) == (0, 0, 2)


def test_a_study_keeps_to_what_was_known_when_it_began(database: Database, tmp_path: Path) -> None:
    config = StudyConfig.model_validate({"name": "one", "device": "board", "task": {"kind": "digits"}})
    tuner(Timed(quicker(2)), database).run(60)
    known = database.snapshot(TARGET, kernels_version())
    assert tuned_of(config, tmp_path / "one", tmp_path, TARGET) == known
    begun = write_study(tmp_path, "begun")  # before there was any tuning
    assert tuned_of(config, begun, tmp_path, TARGET) == NOTHING
    off = config.model_copy(update={"compile": config.compile.model_copy(update={"tuning": False})})
    assert tuned_of(off, tmp_path / "one", tmp_path, TARGET) == NOTHING


def test_what_is_no_model_is_told_so() -> None:
    with pytest.raises(ConfigError, match="unknown kind"):
        subject("nothing-like-it")
