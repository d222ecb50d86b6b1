"""What the agent is asked to do, in the words of the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from joulefront.bench.plan import Plan
from joulefront.kernel_records import Function
from joulefront.records import Job
from joulefront_agent import wire, wire_time
from joulefront_agent.wire_energy import Watch
from joulefront_agent.wire_time import Timing


@dataclass(frozen=True, slots=True)
class Orders:
    """Makes requests for one device: how many ``threads`` a network has there, whether they are pinned, which of the
    device's own ``sensors`` are read, after which ``timeout_s`` beyond what was planned something hangs, and the ``mark`` that
    is raised while a window lasts."""

    threads: int
    pin_threads: bool
    sensors: tuple[str, ...]
    timeout_s: float
    mark: str = ""

    def run(self, job: Job, plan: Plan, *, outputs: bool, window: bool) -> wire.Run:
        """One repeat of a job, with its ``outputs`` and an energy ``window``; the session says where the library is."""
        share_s = plan.time_s / plan.repeats
        return wire.Run(
            library="",
            sha256=job.sha256,
            inputs=tuple(wire.Tensor(array.shape, array.dtype, array.data) for array in job.inputs),
            threads=self.threads,
            pin_threads=self.pin_threads,
            outputs=outputs,
            warm_up_s=share_s / 2,
            sample_s=plan.sample_s,
            samples=plan.samples,
            sample_limit_s=max(share_s / 2, plan.tail_s),
            energy_s=plan.energy_s if window else 0.0,
            periods=plan.periods if window else 0,
            energy_limit_s=plan.energy_limit_s if window else 0.0,
            meters=self.sensors if window else (),
            # What is planned is no sign of a hang.
            timeout_s=self.timeout_s + plan.time_s + plan.tail_s + (plan.energy_limit_s if window else 0.0),
            mark=self.mark if window else "",
        )

    def once(self, job: Job, plan: Plan, *, window: bool) -> wire.Run:
        """A job run as quickly as can be, to see whether it runs; with an energy ``window`` of the plan's length."""
        run = self.run(job, plan, outputs=True, window=window)
        return replace(run, warm_up_s=0.0, sample_s=0.0, samples=1, sample_limit_s=0.0)

    def watch(self, least_s: float, periods: int, most_s: float, *, read: bool = True) -> Watch:
        """A window of the idle device, in s; without ``read``, nothing is looked at."""
        return Watch(
            self.sensors if read else (),
            0,
            least_s,
            periods,
            most_s,
            self.timeout_s + most_s,
            self.mark if read else "",
        )

    def timing(self, sha256: str, functions: Sequence[Function], **plan: Any) -> Timing:
        """Functions of a library timed in turns, as ``plan`` has it."""
        return Timing(
            library="",
            sha256=sha256,
            functions=tuple(
                wire_time.Function(one.name, tuple(wire_time.Argument(a.shape, a.dtype, a.warm) for a in one.arguments))
                for one in functions
            ),
            threads=self.threads,
            pin_threads=self.pin_threads,
            timeout_s=self.timeout_s,
            **plan,
        )
