"""When to stop warming up, and how long to sample. The timer itself is the runtime's own.

A timer takes a number of inferences and returns the time of each, in s; before those it runs one that it discards.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from time import monotonic

from joulefront_agent.sensors import Sensor
from joulefront_agent.wire import Energy

Timer = Callable[[int], Sequence[float]]

_BLOCKS = 5
_BLOCK_S = 0.01
_BOUND = 0.05
_MOST_SAMPLES = 10_000


def warm_up(timer: Timer, limit_s: float, clock: Callable[[], float] = monotonic) -> tuple[float, bool]:
    """Run until five successive blocks of about 10 ms agree; returns how long it took, in s, and whether they did.

    They agree when neither the slope through their medians (over their whole length) nor the medians' interquartile
    range is above 5 % of the median. It stops without that before it would take longer than ``limit_s``.
    """
    began_s = clock()
    inference_s = timer(1)[0]
    while True:
        count = max(1, math.ceil(_BLOCK_S / max(inference_s, 1e-9)))
        if clock() - began_s + (count * _BLOCKS + 1) * inference_s > limit_s:
            return clock() - began_s, False
        samples = timer(count * _BLOCKS)
        medians = [statistics.median(samples[start : start + count]) for start in range(0, len(samples), count)]
        if steady(medians):
            return clock() - began_s, True
        inference_s = statistics.median(medians)


def steady(medians: Sequence[float]) -> bool:
    """Whether blocks with these medians neither drift nor scatter."""
    middle = (len(medians) - 1) / 2
    spread = sum((index - middle) ** 2 for index in range(len(medians)))
    slope = sum((index - middle) * value for index, value in enumerate(medians)) / spread
    lower, _, upper = statistics.quantiles(medians, n=4, method="inclusive")
    bound = _BOUND * statistics.median(medians)
    return abs(slope) * (len(medians) - 1) <= bound and upper - lower <= bound


def sample(timer: Timer, least_s: float, least: int, limit_s: float) -> list[float]:
    """The time of each of at least ``least`` inferences that take at least ``least_s`` together, all in s.

    ``limit_s`` goes before both, but one inference is always timed; and 10,000 samples are enough of any network.
    """
    samples = list(timer(1))
    while True:
        total_s = sum(samples)
        inference_s = max(statistics.median(samples), 1e-9)
        wanted = max(least - len(samples), math.ceil((least_s - total_s) / inference_s))
        # One more than is timed: each call of the timer discards its first.
        affordable = math.floor((limit_s - total_s) / inference_s) - 1
        count = min(wanted, affordable, _MOST_SAMPLES - len(samples))
        if count < 1:
            return samples
        samples += timer(count)


def energy(run: Callable[[int], int], inference_s: float, sensor: Sensor, least_s: float) -> Energy:
    """The gross energy of inferences that run one after another for at least ``least_s``.

    ``run`` takes how many to run, and returns how many it did. Raises Failure (MeterError).
    """
    count = 0
    sensor.start()
    began_s = monotonic()
    while (left_s := least_s - (monotonic() - began_s)) > 0:
        count += run(max(1, math.ceil(left_s / inference_s)))
    reading = sensor.stop()
    return Energy(
        energy_j=reading.energy_j,
        window_s=reading.window_s,
        inferences=count,
        resolution_j=reading.resolution_j,
        period_s=reading.period_s,
        sensor=sensor.name,
        covers=sensor.covers,
    )
