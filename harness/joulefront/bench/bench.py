"""The measuring protocol: what is done, in which order, and who is to blame when it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from joulefront import errors
from joulefront.bench import energy, memory, outputs, own_loops, settle
from joulefront.bench.opening import opened
from joulefront.bench.plan import Plan
from joulefront.bench.session import Session
from joulefront.bench.statistics import median_latency, relative_width, tail_latency
from joulefront.bench.target import target_of
from joulefront.config import MeasureConfig
from joulefront.errors import (
    AgentDied,
    AgentTimeout,
    BenchError,
    CandidateError,
    ConnectionLost,
    Crashed,
    MeterError,
    TransportError,
    WrongOutput,
)
from joulefront.kernel_records import Function
from joulefront.records import Failure, FunctionTime, Grade, Job, Measurement, Provenance, Target
from joulefront_agent import identity, wire, wire_time
from joulefront_agent.wire_time import Timed, Timing
from joulefront_devices.device import Device

# So often a measurement is begun anew after the connection was lost, before the way to the device counts as broken.
_MOST_LOSSES = 5

Outcome = TypeVar("Outcome")


class Bench:
    """Measures compiled networks on one device; a context manager that holds the device while it is open.

    Once it is open, ``facts`` is what the device says about itself, as plain values; ``target`` what to compile for;
    ``energy_reason`` why measurements will have no energy, None when they will; and ``shares_host`` whether the device is
    this very machine, where other work would disturb a measurement.
    ``reference`` is a network that is known to run there: when another fails, it settles whose fault that was.
    Opening raises ConfigError for a device that is described wrongly, and BenchError when it cannot be used.
    """

    def __init__(self, device: Device, measure: MeasureConfig, threads: int, *, tail: bool = False) -> None:
        """With ``tail``, each repeat takes the samples that a 99th percentile needs, where it can."""
        self._device = device
        self._config = measure
        self._threads = threads
        self._tail = tail
        self._stack = ExitStack()
        self._session: Session
        self.facts: Mapping[str, Any]
        self.target: Target
        self.energy_reason: str | None
        self.shares_host: bool
        self.reference: Job | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._session = stack.enter_context(opened(self._device))
            self.facts = self._session.facts
            self.shares_host = self.facts["machine"] == identity.machine(Path("/"))
            self.energy_reason = self._why_no_energy()
            self.target = target_of(self._device, self.facts, self._threads)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def has_energy(self) -> bool:
        """Whether measurements will have an energy."""
        return self.energy_reason is None

    def _why_no_energy(self) -> str | None:
        if self._device.meter == "none":
            return f'the file of device {self._device.name!r} says meter = "none"'
        if self.facts["sensor"] is None:
            return str(self.facts["sensor_reason"])
        return None

    def measure(self, job: Job, grade: Grade) -> Measurement:
        """Measure one network: settle, repeat in processes of their own until the interval is narrow enough.

        The first repeat's outputs are compared with torch's before its samples are used, and so are the last one's:
        what several threads spoil, they do not spoil every time.

        What was begun when the device is lost is measured anew, all of it, once it is there again: before and after a boot
        it is not the same. A network during which the device boots twice, while the reference runs, has crashed.

        What runs TVM's own loops is timed by itself in the end, and makes a warning with its share of the latency.

        Raises WrongOutput, OutOfMemory, Crashed or Hung when the network is at fault, and BenchError when it is not.
        """
        return self._undisturbed(job.label, lambda: self._measured(job, grade))

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
        """Time single functions of a library against each other; returns for each, in order, its time or why it has none.

        In each of ``rounds`` rounds each has its turn for about ``slice_s``; after ``limit_s`` no further round begins.
        With ``flush_b``, so many bytes of other data are read before each call, and then what is warm: as many as the
        network has weights, since those pass through the caches between two uses of one. Times are in s.

        A function that crashes or hangs is a Failure, and so is one for which there was no time. The device that is lost,
        or boots, is as in ``measure``. Raises OutOfMemory, Crashed or Hung when the library as a whole is at fault, and
        BenchError when it is not.
        """
        timing = self._timing(sha256, functions, rounds=rounds, slice_s=slice_s, limit_s=limit_s, flush_b=flush_b)
        return self._undisturbed(library.name, lambda: self._timed(library, timing))

    def _timing(self, sha256: str, functions: Sequence[Function], **plan: Any) -> Timing:
        return Timing(
            library="",
            sha256=sha256,
            functions=tuple(
                wire_time.Function(one.name, tuple(wire_time.Argument(a.shape, a.dtype, a.warm) for a in one.arguments))
                for one in functions
            ),
            threads=self._threads,
            pin_threads=self._device.pin_threads,
            timeout_s=self._config.timeout_s,
            **plan,
        )

    def _undisturbed(self, label: str, work: Callable[[], Outcome]) -> Outcome:
        """What ``work`` returns when the device was there and did not boot meanwhile; it is done anew until then."""
        losses = boots = 0
        lost, began = False, self._session.boot
        while True:
            try:
                if lost:
                    self._session.renew()
                    lost = False
                if self._session.boot != began:
                    boots, began = boots + 1, self._session.boot
                    self._judge_boot(label, boots)
                outcome = work()
                if self._session.boot == began:
                    return outcome
            except ConnectionLost:
                losses, lost = losses + 1, True
                if losses > _MOST_LOSSES:
                    raise

    def _judge_boot(self, label: str, boots: int) -> None:
        """Once is nobody's fault. Raises Crashed for the second boot if the reference runs, and BenchError without one."""
        occasion = f"{label}: the device booted {boots} times while it was measured"
        if self.reference is not None:
            self._check_reference(self.reference, occasion)
            if boots > 1:
                raise Crashed(occasion)
        elif boots > 1:
            raise BenchError(f"{occasion}, before any other network had run there: look at its power supply")

    def _measured(self, job: Job, grade: Grade) -> Measurement:
        plan = Plan.of(grade, self._config, tail=self._tail)
        known = len(self._session.restarts)
        run = self._run_of(job, plan)
        busy, warning = settle.settle(self._session.conditions, self._device.settle)
        repeats, width = self._repeats(job, run, plan)
        repeats_s = tuple(ran.samples_s for ran in repeats)
        latency_s = median_latency(repeats_s)
        latency_p99_s, latency_p99_reason = tail_latency(repeats_s)
        memory_b, memory_reason = memory.peak(repeats)
        windows = [ran.window for ran in repeats if ran.window and ran.window.readings]
        if self.has_energy and not windows:
            raise MeterError(f"the device's sensor {self.facts['sensor']!r} was there at first and is no more")
        spent = self._own_loops(job, latency_s.value)
        provenance = self._provenance
        conditions = {"before": {"busy": busy, **repeats[0].before}, "after": repeats[-1].after}
        energy_j = made_of = None
        if windows:
            read = [energy.window_of(window, window.readings[0]) for window in windows]
            first = windows[0].readings[0]
            energy_j, made_of = energy.per_inference(first.sensor, first.covers, read, latency_s)
        return Measurement(
            grade=grade,
            provenance=provenance,
            latency_s=latency_s,
            repeats_s=repeats_s,
            energy_j=energy_j,
            energy_provenance=provenance if energy_j else None,
            energy_reason=self.energy_reason,
            conditions=conditions,
            warnings=tuple(
                filter(None, [warning, width, *_doubts(repeats), *_restarts(self._session.restarts[known:]), *spent])
            ),
            latency_p99_s=latency_p99_s,
            latency_p99_reason=latency_p99_reason,
            memory_b=memory_b,
            memory_reason=memory_reason,
            energy=made_of,
        )

    def _own_loops(self, job: Job, latency_s: float) -> tuple[str, ...]:
        """What the network spends there, in words. It ran: what fails now is no failure of its own."""
        fallbacks = own_loops.timeable(job)
        if not fallbacks or not latency_s:  # a coarse clock may say that it took no time
            return ()
        timing = self._timing(job.sha256, [one.function for one in fallbacks], **own_loops.plan(job))
        try:
            timed = self._attempt(job.label, lambda: self._session.time(timing, job.library))
        except CandidateError as error:
            times: tuple[FunctionTime | Failure, ...] = (Failure(type(error).__name__, str(error)),) * len(fallbacks)
        else:
            times = self._times(timed, ())
        return own_loops.warnings(fallbacks, times, latency_s)

    def _timed(self, library: Path, timing: Timing) -> tuple[FunctionTime | Failure, ...]:
        known = len(self._session.restarts)
        _, warning = settle.settle(self._session.conditions, self._device.settle)
        timed = self._attempt(library.name, lambda: self._session.time(timing, library))
        doubts = [*_throttled(timed.before, timed.after), *_restarts(self._session.restarts[known:])]
        return self._times(timed, tuple([warning, *doubts] if warning else doubts))

    def _times(self, timed: Timed, warnings: tuple[str, ...]) -> tuple[FunctionTime | Failure, ...]:
        return tuple(
            Failure(one.kind, one.message)
            if isinstance(one, wire.Failure)
            else FunctionTime(self._provenance, median_latency([[seconds] for seconds in one]), one, warnings)
            for one in timed.functions
        )

    @property
    def _provenance(self) -> Provenance:
        return "simulated" if self.facts.get("simulated") else "measured"

    def _repeats(self, job: Job, run: wire.Run, plan: Plan) -> tuple[list[wire.Ran], str | None]:
        """Repeat until the interval is narrow enough or the time is up, which makes a warning."""
        repeats: list[wire.Ran] = []
        spent_s = 0.0
        while True:
            energy_s = plan.energy_s if len(repeats) == plan.repeats - 1 and self.has_energy else 0.0
            # Which repeat is the last is known only when it is over.
            compared = not repeats or len(repeats) >= plan.repeats - 1
            began_s = monotonic()
            asked = replace(run, outputs=compared, energy_s=energy_s)
            ran = self._attempt(job.label, partial(self._session.run, asked, job.library), energy_s)
            spent_s += monotonic() - began_s - (ran.window.end_s - ran.window.begin_s if ran.window else 0.0)
            if compared:
                outputs.check(job.label, job.expected, ran.outputs, job.reference)
            repeats.append(ran)
            if len(repeats) < plan.repeats:
                continue
            width = relative_width(median_latency([ran.samples_s for ran in repeats]))
            if width <= self._config.interval:
                return repeats, None
            if spent_s + spent_s / len(repeats) > plan.time_s:
                return repeats, (
                    f"after {len(repeats)} repeats the latency's interval is ± {width:.2%}, "
                    f"not ± {self._config.interval:.2%}: the time of {plan.time_s:g} s was up"
                )

    def _attempt(self, label: str, work: Callable[[], Outcome], energy_s: float = 0.0) -> Outcome:
        """What one child process does; what fails is tried again, after the reference has shown that the device is well.

        To take the agent along is to fail as well, but only a reference shows that it was the network's doing.
        """
        try:
            return work()
        except (wire.Failure, AgentDied, AgentTimeout) as failure:
            first = _suspected(failure).__name__
            if self.reference is not None:
                self._check_reference(self.reference, f"{label} failed ({first}: {failure})", energy_s)
        try:
            return work()
        except (wire.Failure, AgentDied, AgentTimeout) as second:
            error = _suspected(second)
            if self.reference is None and isinstance(second, BenchError):
                raise
            raise error(f"{label}: {second} (twice; first: {first})") from second

    def _check_reference(self, reference: Job, occasion: str, energy_s: float = 0.0) -> None:
        """Run the reference once, with the meter too if ``energy_s``. Raises BenchError when it fails as well."""
        plan = Plan(1, 0.0, samples=1, sample_s=0.0, energy_s=energy_s)
        once = replace(self._run_of(reference, plan), outputs=True, energy_s=energy_s)
        try:
            outputs.check(reference.label, reference.expected, self._session.run(once, reference.library).outputs)
        except (wire.Failure, WrongOutput, AgentDied, AgentTimeout) as error:
            raise BenchError(
                f"{occasion}, and so does the reference {reference.label}, which ran before: {error}. "
                "Look at the device, then run the same command again"
            ) from error

    def _run_of(self, job: Job, plan: Plan) -> wire.Run:
        """What every repeat of a job is asked to do; the session says where the library is."""
        share_s = plan.time_s / plan.repeats
        return wire.Run(
            library="",
            sha256=job.sha256,
            inputs=tuple(wire.Tensor(array.shape, array.dtype, array.data) for array in job.inputs),
            threads=self._threads,
            pin_threads=self._device.pin_threads,
            outputs=False,
            warm_up_s=share_s / 2,
            sample_s=plan.sample_s,
            samples=plan.samples,
            sample_limit_s=max(share_s / 2, plan.tail_s),
            energy_s=0.0,
            periods=0,
            energy_limit_s=15.0,
            meters=(str(self.facts["sensor"]),) if self.has_energy else (),
            # What is planned is no sign of a hang.
            timeout_s=self._config.timeout_s + plan.time_s + plan.tail_s + (plan.energy_s if self.has_energy else 0.0),
        )


def _doubts(repeats: list[wire.Ran]) -> list[str]:
    """What makes a measurement less trustworthy, in words."""
    doubts = []
    if unsteady := sum(not ran.steady for ran in repeats):
        longest_s = max(ran.warm_up_s for ran in repeats)
        doubts.append(f"warm-up was not shown to be steady in {unsteady} of {len(repeats)} repeats ({longest_s:.2g} s)")
    if steps := sum(ran.clock_steps for ran in repeats):
        doubts.append(f"the device's clock was set back {steps} times meanwhile: as many samples were left out")
    before, after = repeats[0].before, repeats[-1].after
    doubts += _throttled(before, after)
    first_hz, last_hz = repeats[0].after["frequency_hz"], after["frequency_hz"]
    if first_hz and last_hz and last_hz < 0.98 * first_hz:
        doubts.append(f"the processor's frequency fell from {first_hz:.3g} to {last_hz:.3g} Hz between repeats")
    return doubts


def _throttled(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    if before["throttles"] is not None and after["throttles"] is not None and after["throttles"] > before["throttles"]:
        return [f"the processor was throttled {after['throttles'] - before['throttles']} times meanwhile"]
    return []


def _restarts(losses: list[str]) -> list[str]:
    """The traces of agents that were lost, in words."""
    return [f"the agent was lost and started anew: {loss}" for loss in losses]


def _suspected(failure: wire.Failure | AgentDied | AgentTimeout) -> type[CandidateError]:
    """What a network is suspected of. Raises BenchError for a failure that none can be blamed for."""
    if isinstance(failure, AgentDied):
        return errors.Crashed
    if isinstance(failure, AgentTimeout):
        return errors.Hung
    if failure.kind in wire.CANDIDATE_KINDS:
        return {"OutOfMemory": errors.OutOfMemory, "Crashed": errors.Crashed, "Hung": errors.Hung}[failure.kind]
    kind = {"MeterError": MeterError, "BadFile": TransportError, "NoRuntime": TransportError}.get(
        failure.kind, BenchError
    )
    raise kind(f"the agent reports {failure.kind}: {failure}") from failure
