"""What the device takes when nothing runs, before, between and after networks that are measured."""

from __future__ import annotations

from dataclasses import dataclass

from joulefront.bench import validity
from joulefront.bench.blame import bench_error
from joulefront.bench.metering import Metering
from joulefront.bench.orders import Orders
from joulefront.bench.plan import Plan
from joulefront.bench.session import Session
from joulefront.errors import AgentDied, AgentTimeout, MeterError
from joulefront.records import EnergyWindow
from joulefront_agent import wire
from joulefront_agent.wire_energy import Watch, Watched

# A baseline says what the device takes for so long, in s: its temperature, its fan and the room's go on.
_FRESH_S = 60.0
_MOST_DRIFT = 0.03
_MOST_FAILURES = 3


@dataclass(frozen=True, slots=True)
class _Baseline:
    """``end_s`` is by the device's clock, since its ``boot``; ``others_cores`` is what something took, None if unknown.
    ``slowed`` says that the processor was throttled meanwhile."""

    boot: str | None
    end_s: float
    window: EnergyWindow
    others_cores: float | None
    slowed: tuple[str, ...]


class Baselines:
    """The idle windows of one session, each half as long as a network's."""

    def __init__(self, session: Session, metering: Metering, orders: Orders) -> None:
        self._session = session
        self._metering = metering
        self._orders = orders
        self._taken: list[_Baseline] = []

    def begin(self) -> None:
        """What is measured from now on has baselines of its own; the last one may be the first of them."""
        self._taken = [last for last in self._taken[-1:] if self._is_fresh(last)]

    def before(self, plan: Plan) -> None:
        """Take one, unless the last is fresh. Raises BenchError, MeterError above all."""
        if not self._taken or not self._is_fresh(self._taken[-1]):
            self.take(plan)

    def take(self, plan: Plan) -> None:
        """Take one now; what fails is tried again, twice, and so is one of a throttled processor, which is a doubt in the end.

        Raises BenchError, MeterError above all.
        """
        asked = self._orders.watch(plan.energy_s / 2, plan.periods // 2, plan.energy_limit_s / 2)
        for failures in range(1, _MOST_FAILURES + 1):
            try:
                watched, window = self._watched(asked)
            except (MeterError, AgentDied, AgentTimeout):
                if failures == _MOST_FAILURES:
                    raise
            else:
                slowed = validity.throttled(watched.before, watched.after)
                if slowed and failures < _MOST_FAILURES:
                    continue
                told = watched.window
                others = None if told.busy_cores is None else max(0.0, told.busy_cores - told.own_cores)
                self._taken.append(_Baseline(self._session.boot, told.end_s, window, others, tuple(slowed)))
                return

    def _watched(self, asked: Watch) -> tuple[Watched, EnergyWindow]:
        try:
            return self._metering.watch(self._session, asked)
        except wire.Failure as failure:
            raise bench_error(failure) from failure

    @property
    def windows(self) -> tuple[EnergyWindow, ...]:
        """Those since ``begin``, in order."""
        return tuple(one.window for one in self._taken)

    def doubts(self) -> list[str]:
        """That the idle power was not the same all the time, or that the device was not idle or not cool, in words."""
        said = []
        watts = [window.energy_j / window.window_s for window in self.windows]
        if watts and max(watts) > (1 + _MOST_DRIFT) * min(watts):
            said.append(
                f"the idle device took between {min(watts):.3g} and {max(watts):.3g} W before, between and after: "
                f"more than {_MOST_DRIFT:.0%} apart, which the net joules suffer from"
            )
        most = max((one.others_cores for one in self._taken if one.others_cores is not None), default=0.0)
        if most > validity.least_others(float(self._session.facts["cores"])):
            said.append(f"other work took up to {most:.2g} cores while the idle device was measured")
        reasons = dict.fromkeys(reason for one in self._taken for reason in (*one.slowed, *one.window.doubts))
        said += [f"while the idle device was measured, {reason}" for reason in reasons]
        return said

    def _is_fresh(self, one: _Baseline) -> bool:
        if one.boot != self._session.boot:
            return False
        try:
            now_s, _, _ = self._session.clock()
        except (AgentDied, AgentTimeout):  # another agent will be there for the next one
            return False
        return one.boot == self._session.boot and 0 <= now_s - one.end_s <= _FRESH_S
