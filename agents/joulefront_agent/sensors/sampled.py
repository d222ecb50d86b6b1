"""Energy from a sensor that tells only its power: it is sampled while the network runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from joulefront_agent.sensors import samples
from joulefront_agent.sensors.reading import STUCK_S, Reading
from joulefront_agent.sensors.sampler import Sampling, Source, Wait
from joulefront_agent.wire import Failure

_LEAST_SAMPLES = 3
_MOST_LOST = 0.001  # as MLPerf Tiny has it; a single one is a bus's moment


class Sampled(Sampling):
    """A sensor of power as one of energy: a thread samples ``power_w`` from start to stop.

    ``power_w`` returns W and raises OSError or ValueError; ``interval_s`` is how often its driver says that it is
    updated; ``gain`` is as in Reading, ``step`` as in meter.Meter. It is sampled as sampler.Sampler does, which the other
    arguments are for. One that ``moves`` is so fine that it never stays the same: where it does, it is stuck. Where it is
    the ``total``, nothing or less than nothing is no power of a machine that runs: such a sample could not be read.
    """

    def __init__(
        self,
        name: str,
        covers: str,
        power_w: Callable[[], float],
        interval_s: float | None,
        cores: Collection[int] = (),
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = threading.Event.wait,
        stuck_s: float = STUCK_S,
        gain: float | None = None,
        cost: Callable[[], float] = time.thread_time,
        moves: bool = False,
        step: Callable[[float], float] = lambda _: 0.0,
        total: bool = False,
    ) -> None:
        self.name = name
        self.covers = covers
        self._power_w = power_w
        read = self._positive_w if total else power_w
        super().__init__(Source(name, "W", read, interval_s, cores, clock, wait, cost, stuck_s))
        self._gain = gain
        self._moves = moves
        self._step = step

    def stop(self) -> Reading:
        """End the window, and wait for a sample after it. Raises Failure (MeterError).

        It is no measurement when it could not be read five times in a row, or does not answer, when more than one sample
        and more than 0.1 % of them were lost, fewer than three were taken, or none for longer than samples.unseen_limit
        allows, when nothing was above 0 W, or it is stuck.
        """
        sampler = self._taken()
        start_s, end_s, taken = sampler.end()
        window_s = end_s - start_s
        inside = [power for moment, power in taken if start_s < moment < end_s]
        lost = [reason for moment, reason in sampler.lost if start_s < moment < end_s]
        due = len(inside) + len(lost)
        if len(lost) > max(1, _MOST_LOST * due):
            raise Failure(
                "MeterError",
                f"{self.name} lost {len(lost)} of {due} samples in {window_s:.3g} s, the last as {lost[-1]}",
            )
        unseen_s = samples.longest_gap(taken, start_s, end_s)
        if len(inside) < _LEAST_SAMPLES or unseen_s > samples.unseen_limit(sampler.period_s, window_s):
            raise Failure(
                "MeterError",
                f"{self.name} was read {len(inside)} times in {window_s:.3g} s, once not for {unseen_s:.3g} s: "
                f"too seldom for a window of that length (one sample each {sampler.period_s:.3g} s was meant)",
            )
        if max(inside) <= 0:
            raise Failure("MeterError", f"{self.name} reads {max(inside):g} W for {window_s:.3g} s: not wired?")
        changes = sum(later != earlier for earlier, later in samples.pairs(inside))
        if self._moves and not changes:
            raise Failure(
                "MeterError", f"{self.name} reads {inside[0]:g} W for {window_s:.3g} s on end: it is stuck, or too slow"
            )
        energy_j = samples.integral(taken, start_s, end_s)
        if energy_j <= 0:
            raise Failure("MeterError", f"{self.name} measured {energy_j:g} J in {window_s:.3g} s: wired backwards?")
        # With few changes that is how long they took; a driver's own figure is for those that do not move.
        slow_s = window_s / changes if self._moves else None
        return Reading(
            energy_j=energy_j,
            window_s=window_s,
            # What was seen to change may have been finer than that: a sum's parts, or volts beside amperes.
            resolution_j=max(samples.step(taken), self._step(energy_j / window_s)) * window_s,
            # One that is updated more often than it is read tells no more than is read.
            period_s=max(sampler.period_s, samples.update_period(taken) or slow_s or self._source.interval_s or 0.0),
            gain=self._gain,
            cost_s=sampler.cost_s,
        )

    def _positive_w(self) -> float:
        power_w = self._power_w()
        if power_w <= 0:
            raise ValueError(f"it reads {power_w:g} W: not wired?")
        return power_w
