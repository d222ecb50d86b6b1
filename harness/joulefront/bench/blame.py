"""Whose fault a failure on the device is: the network's, or the device's and nobody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from joulefront import errors
from joulefront.bench import outputs
from joulefront.bench.losses import Booted, undisturbed
from joulefront.bench.orders import Orders
from joulefront.bench.plan import Plan
from joulefront.bench.session import Session
from joulefront.errors import (
    AgentDied,
    AgentTimeout,
    BenchError,
    CandidateError,
    Crashed,
    MeterError,
    TransportError,
    WrongOutput,
)
from joulefront.records import Job
from joulefront_agent import wire

Outcome = TypeVar("Outcome")


class Blame:
    """Tries what fails again, after the ``reference``, a network that is known to run, has shown that the device is well."""

    def __init__(self, session: Session, orders: Orders, plan: Plan) -> None:
        """``plan`` says how long an energy window is with which the reference is run, where it was one that failed."""
        self._session = session
        self._orders = orders
        self._plan = plan
        self.reference: Job | None = None

    def attempt(self, label: str, work: Callable[[], Outcome], *, window: bool = False) -> Outcome:
        """What one child process does; what fails is tried again once. Raises CandidateError or BenchError.

        To take the agent along is to fail as well, but only a reference shows that it was the network's doing. With
        ``window``, the reference is run with the meter, too.
        """
        try:
            return work()
        except (wire.Failure, AgentDied, AgentTimeout) as failure:
            first = suspected(failure).__name__
            if self.reference is not None:
                self._check(self.reference, f"{label} failed ({first}: {failure})", window=window)
        try:
            return work()
        except (wire.Failure, AgentDied, AgentTimeout) as second:
            error = suspected(second)
            if self.reference is None and isinstance(second, BenchError):
                raise
            raise error(f"{label}: {second} (twice; first: {first})") from second

    def judge_boot(self, label: str, boots: Counter[str]) -> None:
        """The device booted while ``label`` was measured, which is added to the ``boots``: once is nobody's fault.

        Raises Crashed for the second boot if the reference runs, and BenchError without one.
        """
        while True:
            boots[label] += 1
            try:
                undisturbed(self._session, lambda: self._judge(label, boots[label]), since=self._session.boot)
            except Booted:
                continue
            return

    def _judge(self, label: str, boots: int) -> None:
        occasion = f"{label}: the device booted {boots} times while it was measured"
        if self.reference is not None:
            self._check(self.reference, occasion)
            if boots > 1:
                raise Crashed(occasion)
        elif boots > 1:
            raise BenchError(f"{occasion}, before any other network had run there: look at its power supply")

    def _check(self, reference: Job, occasion: str, *, window: bool = False) -> None:
        """Run the reference once, with the meter too if ``window``. Raises BenchError when it fails as well."""
        once = self._orders.once(reference, self._plan, window=window)
        try:
            outputs.check(reference.label, reference.expected, self._session.run(once, reference.library).outputs)
        except (wire.Failure, WrongOutput, AgentDied, AgentTimeout) as error:
            raise BenchError(
                f"{occasion}, and so does the reference {reference.label}, which ran before: {error}. "
                "Look at the device, then run the same command again"
            ) from error


def suspected(failure: wire.Failure | AgentDied | AgentTimeout) -> type[CandidateError]:
    """What a network is suspected of. Raises BenchError for a failure that none can be blamed for."""
    if isinstance(failure, AgentDied):
        return errors.Crashed
    if isinstance(failure, AgentTimeout):
        return errors.Hung
    if failure.kind in wire.CANDIDATE_KINDS:
        return {"OutOfMemory": errors.OutOfMemory, "Crashed": errors.Crashed, "Hung": errors.Hung}[failure.kind]
    raise bench_error(failure) from failure


def bench_error(failure: wire.Failure) -> BenchError:
    """A failure that no network can be blamed for."""
    kind = {"MeterError": MeterError, "BadFile": TransportError, "NoRuntime": TransportError}.get(
        failure.kind, BenchError
    )
    return kind(f"the agent reports {failure.kind}: {failure}")
