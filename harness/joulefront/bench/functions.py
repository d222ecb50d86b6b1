"""Single functions of a library, timed against each other on the device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joulefront.bench import own_loops, settle
from joulefront.bench.blame import Blame
from joulefront.bench.orders import Orders
from joulefront.bench.session import Session
from joulefront.bench.statistics import median_latency
from joulefront.bench.validity import throttled
from joulefront.errors import CandidateError
from joulefront.records import Failure, FunctionTime, Job, Provenance
from joulefront_agent import wire
from joulefront_agent.wire_time import Timed, Timing
from joulefront_devices.tables import SettleTable


class Functions:
    """Times functions over one session."""

    def __init__(
        self, session: Session, blame: Blame, orders: Orders, rest: SettleTable, provenance: Provenance
    ) -> None:
        self._session = session
        self._blame = blame
        self._orders = orders
        self._rest = rest
        self._provenance = provenance

    def timed(self, library: Path, timing: Timing) -> tuple[FunctionTime | Failure, ...]:
        """Each function's time, or why it has none. Raises CandidateError for the library as a whole, and BenchError."""
        known = len(self._session.restarts)
        _, warning = settle.settle(self._session.conditions, self._rest)
        timed = self._blame.attempt(library.name, lambda: self._session.time(timing, library))
        doubts = [*throttled(timed.before, timed.after), *restarted(self._session.restarts[known:])]
        return self._times(timed, tuple([warning, *doubts] if warning else doubts))

    def own_loops(self, job: Job, latency_s: float) -> tuple[str, ...]:
        """What a network that ran spends in TVM's own loops, as warnings: what fails now is no failure of its own.

        Raises BenchError.
        """
        fallbacks = own_loops.timeable(job)
        if not fallbacks or not latency_s:  # a coarse clock may say that it took no time
            return ()
        plan: Mapping[str, Any] = own_loops.plan(job)
        timing = self._orders.timing(job.sha256, [one.function for one in fallbacks], **plan)
        try:
            timed = self._blame.attempt(job.label, lambda: self._session.time(timing, job.library))
        except CandidateError as error:
            times: tuple[FunctionTime | Failure, ...] = (Failure(type(error).__name__, str(error)),) * len(fallbacks)
        else:
            times = self._times(timed, ())
        return own_loops.warnings(fallbacks, times, latency_s)

    def _times(self, timed: Timed, warnings: tuple[str, ...]) -> tuple[FunctionTime | Failure, ...]:
        return tuple(
            Failure(one.kind, one.message)
            if isinstance(one, wire.Failure)
            else FunctionTime(self._provenance, median_latency([[seconds] for seconds in one]), one, warnings)
            for one in timed.functions
        )


def restarted(losses: list[str]) -> list[str]:
    """The traces of agents that were lost, in words."""
    return [f"the agent was lost and started anew: {loss}" for loss in losses]
