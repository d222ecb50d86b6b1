"""Energy from a counter that is updated too seldom to be read at two moments only: it is watched while the network runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from joulefront_agent.sensors import samples
from joulefront_agent.sensors.reading import STUCK_S, Reading
from joulefront_agent.sensors.sampler import Sampling, Source, Wait
from joulefront_agent.sensors.samples import Sample
from joulefront_agent.wire import Failure

_POWER_LIMIT_W = 2000.0
_LATE_S = 0.25  # an update that comes late is a large step to one that does not
_LEAST_CHANGES = 3


@dataclass(frozen=True)
class Scale:
    """One step of a counter in J, and where it begins anew in J; None where it is never to."""

    step_j: float
    range_j: float | None


class Counted(Sampling):
    """A counter as a sensor of energy: a thread watches ``energy_j`` from start to stop.

    ``energy_j`` returns J and raises OSError or ValueError. What the counter shows at the window's edges is between two of
    its updates: the energy goes straight from one to the next. It is read as sampler.Sampler does, which the other
    arguments are for.
    """

    def __init__(
        self,
        name: str,
        covers: str,
        energy_j: Callable[[], float],
        scale: Scale,
        cores: Collection[int] = (),
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = threading.Event.wait,
        stuck_s: float = STUCK_S,
        cost: Callable[[], float] = time.thread_time,
    ) -> None:
        self.name = name
        self.covers = covers
        super().__init__(Source(name, "J", energy_j, None, cores, clock, wait, cost, stuck_s, counter=True))
        self._scale = scale

    def stop(self) -> Reading:
        """End the window, and wait for an update after it. Raises Failure (MeterError).

        It is no measurement when it could not be read five times in a row, or does not answer, stood still, was hardly
        updated, jumped, may have begun anew more than once, or was not looked at around the window's end. Elsewhere a read
        that fails loses nothing: the next one holds what it would have told.
        """
        sampler = self._taken()
        start_s, end_s, taken = sampler.end()
        updates = self._updates(taken)
        inside = sum(start_s < moment < end_s for moment, _ in updates)
        if inside < _LEAST_CHANGES:
            raise Failure(
                "MeterError",
                f"{self.name} was updated {inside} times in {end_s - start_s:.3g} s: it is stuck, or too slow for that",
            )
        # The energy goes straight through what was not looked at: what comes after the window would count in it.
        unseen_s = end_s - max(moment for moment, _ in taken if moment <= end_s)
        if unseen_s > samples.unseen_limit(sampler.period_s, end_s - start_s):
            raise Failure("MeterError", f"{self.name} was not read for {unseen_s:.3g} s before the window's end")
        return Reading(
            energy_j=samples.value_at(updates, end_s) - samples.value_at(updates, start_s),
            window_s=end_s - start_s,
            resolution_j=self._scale.step_j,
            period_s=samples.update_period(taken) or (end_s - start_s) / inside,
            cost_s=sampler.cost_s,
        )

    def _updates(self, taken: list[Sample]) -> list[Sample]:
        """When the counter changed, and the J since it first did. Raises Failure (MeterError)."""
        updates: list[Sample] = []
        total_j, (changed_s, before_j), range_j = 0.0, taken[0], self._scale.range_j
        seen_s = changed_s
        for moment, now_j in taken:
            passed_s, seen_s = moment - seen_s, moment
            if range_j is not None and passed_s * _POWER_LIMIT_W > range_j:
                raise Failure(
                    "MeterError", f"{self.name} was not read for {passed_s:.3g} s: it may wrap more than once"
                )
            if now_j == before_j:
                continue
            more_j = now_j - before_j
            if more_j < 0 and range_j is not None and before_j < range_j:
                more_j += range_j
            # How long the first change took is not known, and what it was does not count.
            if updates:
                if not 0 <= more_j <= _POWER_LIMIT_W * (moment - changed_s + _LATE_S):
                    back = "back " if now_j < before_j else ""
                    raise Failure(
                        "MeterError",
                        f"{self.name} jumped {back}from {before_j:.6g} J to {now_j:.6g} J within "
                        f"{moment - changed_s:.3g} s: it was set anew, or is broken",
                    )
                total_j += more_j
            updates.append((moment, total_j))
            changed_s, before_j = moment, now_j
        return updates
