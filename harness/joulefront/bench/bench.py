"""The measuring protocol: what is done, in which order, and who is to blame when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from joulefront import errors, plugins
from joulefront.bench import energy, lock, outputs, settle
from joulefront.bench.session import Session
from joulefront.bench.statistics import median_latency, relative_width
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
from joulefront.protocols import Transport
from joulefront.records import Grade, Job, Measurement, Provenance, Target
from joulefront_agent import identity, wire
from joulefront_devices.device import Device

TRANSPORTS = {
    "local": "joulefront.bench.local:LocalTransport",
    "ssh": "joulefront.bench.ssh:SshTransport",
}
# So often a measurement is begun anew after the connection was lost, before the way to the device counts as broken.
_MOST_LOSSES = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure: times in s, ``samples`` and ``sample_s`` at least, for each repeat."""

    repeats: int
    time_s: float
    samples: int
    sample_s: float
    energy_s: float

    @classmethod
    def of(cls, grade: Grade, config: MeasureConfig) -> Plan:
        """The plan for a grade. The energy windows are those of MLPerf Tiny (10 s), and a fifth of it for screening."""
        if grade == "screening":
            return cls(config.repeats, config.time_s, samples=30, sample_s=0.1, energy_s=2.0)
        return cls(config.full_repeats, config.full_time_s, samples=200, sample_s=0.5, energy_s=10.0)


class Bench:
    """Measures compiled networks on one device; a context manager that holds the device while it is open.

    Once it is open, ``facts`` is what the device says about itself, as plain values; ``target`` what to compile for;
    ``energy_reason`` why measurements will have no energy, None when they will; and ``shares_host`` whether the device is
    this very machine, where other work would disturb a measurement.
    ``reference`` is a network that is known to run there: when another fails, it settles whose fault that was.
    Opening raises ConfigError for a device that is described wrongly, and BenchError when it cannot be used.
    """

    def __init__(self, device: Device, measure: MeasureConfig, threads: int) -> None:
        self._device = device
        self._config = measure
        self._threads = threads
        self._stack = ExitStack()
        self._session: Session
        self.facts: Mapping[str, Any]
        self.target: Target
        self.energy_reason: str | None
        self.shares_host: bool
        self.reference: Job | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(lock.hold(self._device.name))
            where = f"device {self._device.name}: [transport]"
            transport: Transport = plugins.build(self._device.transport, TRANSPORTS, folder=Path.cwd(), where=where)
            stack.callback(transport.close)
            self._session = stack.enter_context(Session(transport, self._device.meter))
            self.facts = self._session.facts
            stack.enter_context(lock.hold(self._device.name, machine=str(self.facts["machine"])))
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

        Raises WrongOutput, OutOfMemory, Crashed or Hung when the network is at fault, and BenchError when it is not.
        """
        losses = boots = 0
        lost, began = False, self._session.boot
        while True:
            try:
                if lost:
                    self._session.renew()
                    lost = False
                if self._session.boot != began:
                    boots, began = boots + 1, self._session.boot
                    self._judge_boot(job, boots)
                measured = self._measured(job, grade)
                if self._session.boot == began:
                    return measured
            except ConnectionLost:
                losses, lost = losses + 1, True
                if losses > _MOST_LOSSES:
                    raise

    def _judge_boot(self, job: Job, boots: int) -> None:
        """Once is nobody's fault. Raises Crashed for the second boot if the reference runs, and BenchError without one."""
        occasion = f"{job.label}: the device booted {boots} times while it was measured"
        if self.reference is not None:
            self._check_reference(self.reference, occasion)
            if boots > 1:
                raise Crashed(occasion)
        elif boots > 1:
            raise BenchError(f"{occasion}, before any other network had run there: look at its power supply")

    def _measured(self, job: Job, grade: Grade) -> Measurement:
        plan = Plan.of(grade, self._config)
        known = len(self._session.restarts)
        run = self._run_of(job, plan)
        busy, warning = settle.settle(self._session.conditions, self._device.settle)
        repeats, width = self._repeats(job, run, plan)
        latency_s = median_latency([ran.samples_s for ran in repeats])
        window = next((ran.energy for ran in repeats if ran.energy), None)
        if self.has_energy and window is None:
            raise MeterError(f"the device's sensor {self.facts['sensor']!r} was there at first and is no more")
        provenance: Provenance = "simulated" if self.facts.get("simulated") else "measured"
        conditions = {"before": {"busy": busy, **repeats[0].before}, "after": repeats[-1].after}
        if window is not None:
            conditions["energy"] = {name: getattr(window, name) for name in window.__dataclass_fields__}
        return Measurement(
            grade=grade,
            provenance=provenance,
            latency_s=latency_s,
            repeats_s=tuple(ran.samples_s for ran in repeats),
            energy_j=energy.per_inference(window, latency_s) if window else None,
            energy_provenance=provenance if window else None,
            energy_reason=self.energy_reason,
            conditions=conditions,
            warnings=tuple(
                filter(None, [warning, width, *_doubts(repeats), *_restarts(self._session.restarts[known:])])
            ),
        )

    def _repeats(self, job: Job, run: wire.Run, plan: Plan) -> tuple[list[wire.Ran], str | None]:
        """Repeat until the interval is narrow enough or the time is up, which makes a warning."""
        repeats: list[wire.Ran] = []
        spent_s = 0.0
        while True:
            energy_s = plan.energy_s if len(repeats) == plan.repeats - 1 and self.has_energy else 0.0
            # Which repeat is the last is known only when it is over.
            compared = not repeats or len(repeats) >= plan.repeats - 1
            began_s = monotonic()
            ran = self._attempt(job, replace(run, outputs=compared, energy_s=energy_s))
            spent_s += monotonic() - began_s - (ran.energy.window_s if ran.energy else 0.0)
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

    def _attempt(self, job: Job, run: wire.Run) -> wire.Ran:
        """One repeat; a network that fails is tried again, after the reference has shown that the device is well.

        To take the agent along is to fail as well, but only a reference shows that it was the network's doing.
        """
        try:
            return self._session.run(run, job.library)
        except (wire.Failure, AgentDied, AgentTimeout) as failure:
            first = _suspected(failure).__name__
            if self.reference is not None:
                self._check_reference(self.reference, f"{job.label} failed ({first}: {failure})", run.energy_s)
        try:
            return self._session.run(run, job.library)
        except (wire.Failure, AgentDied, AgentTimeout) as second:
            error = _suspected(second)
            if self.reference is None and isinstance(second, BenchError):
                raise
            raise error(f"{job.label}: {second} (twice; first: {first})") from second

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
            sample_limit_s=share_s / 2,
            energy_s=0.0,
            meter=self._device.meter,
            # What is planned is no sign of a hang.
            timeout_s=self._config.timeout_s + plan.time_s + (plan.energy_s if self.has_energy else 0.0),
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
    if before["throttles"] is not None and after["throttles"] is not None and after["throttles"] > before["throttles"]:
        doubts.append(f"the processor was throttled {after['throttles'] - before['throttles']} times meanwhile")
    first_hz, last_hz = repeats[0].after["frequency_hz"], after["frequency_hz"]
    if first_hz and last_hz and last_hz < 0.98 * first_hz:
        doubts.append(f"the processor's frequency fell from {first_hz:.3g} to {last_hz:.3g} Hz between repeats")
    return doubts


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
