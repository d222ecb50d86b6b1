"""A bench and a compiler without a device: what a test needs to run whole studies, quickly and repeatably.

The readings are a function of the candidate alone; they are called simulated wherever they are shown.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from joulefront.bench import own_loops
from joulefront.config import StudyConfig
from joulefront.errors import CandidateError, CompileError
from joulefront.kernel_records import Argument, Composition, Fallback, Function, KernelUse
from joulefront.records import Estimate, Failure, FunctionTime, Grade, Job, Measurement, Target

TARGET = Target("x86_64-linux-gnu", "x86-64-v3", (), 8, 16)
NO_METER = "a simulated device has no meter"


class Compiler:
    """Writes the model's layers and weights where a library would be: enough to tell one network from another.

    ``tells`` is what runs TVM's own loops, if it tells what a library is made of; the target's processor names the function.
    """

    def __init__(
        self, target: Target, fails_on: str = "", waits_for: str = "", takes_s: float = 0.0, tells: str = ""
    ) -> None:
        self.key = f"simulated {target} {fails_on} {waits_for} {takes_s} {tells}"
        self._tells, self._cpu = tells, target.cpu
        self._fails_on = fails_on
        self._waits_for = Path(waits_for) if waits_for else None
        self._takes_s = takes_s
        self._compiled = 0

    def compile(self, model: nn.Module, example: tuple[Tensor, ...], library: Path) -> Composition | None:
        """See protocols.Compiler."""
        if self._fails_on and self._fails_on in repr(model):
            raise CompileError(f"simulated: no code for {self._fails_on}")
        self._compiled += 1
        time.sleep(self._takes_s)
        if self._waits_for and self._compiled > 1:  # but for the first network, until the test says so
            deadline_s = time.monotonic() + 120
            while not self._waits_for.exists():
                if time.monotonic() > deadline_s:
                    raise CompileError(f"simulated: {self._waits_for} did not come")
                time.sleep(0.01)
        weights = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
        library.write_bytes(repr(model).encode() + weights)
        if not self._tells:
            return None
        function = Function(f"{self._tells}_{self._cpu}", (Argument((1, 10), "float32", True),))
        return Composition((KernelUse("dense", "dense", True, 1),), (Fallback(function, self._tells, 1),))


class Bench:
    """Latency grows with the library's size, by a few percent of noise that is a function of (candidate, repeat)."""

    def __init__(self, energy: bool = False, on_measure: Callable[[Job, Grade], None] | None = None) -> None:
        self.facts: Mapping[str, Any] = {"model": "simulated"}
        self.target = TARGET
        self.energy_reason = None if energy else NO_METER
        self.shares_host = True
        self.reference: Job | None = None
        self.memory_reason: str | None = None
        self.measured: list[tuple[str, Grade]] = []
        self._on_measure = on_measure

    def measure(self, job: Job, grade: Grade) -> Measurement:
        """See study.Bench."""
        if self._on_measure:
            self._on_measure(job, grade)
        self.measured.append((job.label, grade))
        repeats = tuple((self._latency_s(job, repeat),) * 3 for repeat in range(3 if grade == "screening" else 5))
        medians = sorted(repeat[0] for repeat in repeats)
        latency_s = Estimate(medians[len(medians) // 2], medians[0], medians[-1])
        fallbacks = own_loops.timeable(job)
        warnings: tuple[str, ...] = ()
        if fallbacks:
            times = self.time_functions(
                job.library, job.sha256, [one.function for one in fallbacks], **own_loops.plan(job)
            )
            warnings = own_loops.warnings(fallbacks, times, latency_s.value)
        energy_j = None if self.energy_reason else Estimate(3 * latency_s.value, 3 * medians[0], 3 * medians[-1])
        return Measurement(
            grade=grade,
            provenance="simulated",
            latency_s=latency_s,
            repeats_s=repeats,
            energy_j=energy_j,
            energy_provenance="simulated" if energy_j else None,
            energy_reason=self.energy_reason,
            conditions={"before": {"temperature_c": 40.0}, "after": {"temperature_c": None}},
            warnings=warnings,
            latency_p99_s=Estimate(1.2 * latency_s.value, 1.2 * medians[0], 1.2 * medians[-1]),
            latency_p99_reason=None,
            memory_b=None if self.memory_reason else Estimate(*(4.0 * job.library.stat().st_size,) * 3),
            memory_reason=self.memory_reason,
        )

    def measure_all(
        self, jobs: Sequence[Job], grade: Grade, tell: Callable[[str], None]
    ) -> list[Measurement | CandidateError]:
        """See study.Bench."""
        outcomes: list[Measurement | CandidateError] = []
        tell("round 1 of 1")
        for job in jobs:
            try:
                outcomes.append(self.measure(job, grade))
            except CandidateError as error:
                outcomes.append(error)
        return outcomes

    def time_functions(
        self,
        library: Path,
        sha256: str,
        functions: Sequence[Function],
        *,
        rounds: int,
        slice_s: float,
        limit_s: float,
        flush_b: int,
    ) -> tuple[FunctionTime | Failure, ...]:
        """See bench.Bench.time_functions: a time is a function of the name alone; what is called crash fails."""
        assert hashlib.sha256(library.read_bytes()).hexdigest() == sha256
        return tuple(
            Failure("Crashed", "simulated") if "crash" in one.name else self._function_time(one.name, rounds)
            for one in functions
        )

    @staticmethod
    def _function_time(name: str, rounds: int) -> FunctionTime:
        seconds = 1e-6 * (100 + hashlib.sha256(name.encode()).digest()[0])
        return FunctionTime("simulated", Estimate(seconds, 0.99 * seconds, 1.01 * seconds), (seconds,) * rounds)

    @staticmethod
    def _latency_s(job: Job, repeat: int) -> float:
        noise = hashlib.sha256(f"{job.label} {repeat}".encode()).digest()[0] / 255 - 0.5
        return 1e-6 * (100 + job.library.stat().st_size / 100) * (1 + 0.02 * noise)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Silent:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps = 0

    def stage(self, what: str, total: int | None = None) -> None:
        """See study.Listener."""

    def doing(self, what: str) -> None:
        """See study.Listener."""

    def step(self, trial: object, hypervolume: float | None) -> None:
        """See study.Listener."""
        self.steps += 1

    def say(self, message: str) -> None:
        """See study.Listener."""
        self.said.append(message)


def bench_of(bench: Bench) -> Callable[[StudyConfig, Path], Bench]:
    """What study.run opens."""
    return lambda config, folder: bench


def study_text(
    name: str = "small",
    *,
    search: str = 'kind = "nsga2"\npopulation = 4',
    evaluations: int = 8,
    compiler: str = "",
    more: str = "",
) -> str:
    """A study of the digits' tiny network with the simulated compiler."""
    return f"""
name = "{name}"
{more.partition("---")[0]}
[task]
kind = "digits"
[space]
multiple = 4
[recover]
screen_epochs = 0.5
full_epochs = 1.0
[compile]
kind = "{Path(__file__)}:Compiler"
{compiler}
[prepare]
workers = 1
[search]
evaluations = {evaluations}
{search}
{more.partition("---")[2]}
"""
