"""What samples of power say: the energy between two times, and how fine and how often the sensor tells it."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

Sample = tuple[float, float]
"""A time in s and a power in W, or a counter's J."""

_LEAST_CHANGES = 5
_UNIT_W = 1e-6
_UNSEEN_PERIODS, _UNSEEN, _MOST_UNSEEN = 5, 0.05, 0.25


def integral(samples: Sequence[Sample], start_s: float, end_s: float) -> float:
    """The joules between two times, in s, by trapezoids: the power goes straight from one sample to the next."""
    moments = [start_s, *(moment for moment, _ in samples if start_s < moment < end_s), end_s]
    points = [(moment, value_at(samples, moment)) for moment in moments]
    return sum((later[0] - earlier[0]) * (earlier[1] + later[1]) / 2 for earlier, later in pairs(points))


def longest_gap(samples: Sequence[Sample], start_s: float, end_s: float) -> float:
    """The longest time in s without a sample, between two times in s."""
    moments = [start_s, *(moment for moment, _ in samples if start_s < moment < end_s), end_s]
    return max(later - earlier for earlier, later in pairs(moments))


def unseen_limit(period_s: float, window_s: float) -> float:
    """How long, in s, a window may go without a sample, of which one each ``period_s`` was meant.

    Five periods or 5 % of the window, whichever is longer: a busy machine is late now and then. Never a quarter of it.
    """
    return min(max(_UNSEEN_PERIODS * period_s, _UNSEEN * window_s), _MOST_UNSEEN * window_s)


def step(samples: Sequence[Sample]) -> float:
    """The sensor's resolution in W, as far as it shows: the smallest difference between any two powers that differ.

    Where none do, the power stayed within one step, whose size it did not tell: the unit of hwmon's files, 1 uW.
    """
    powers = sorted({power for _, power in samples})
    steps = (later - earlier for earlier, later in pairs(powers))
    return min((step for step in steps if step > _UNIT_W), default=_UNIT_W)


def update_period(samples: Sequence[Sample]) -> float | None:
    """The time between two updates in s, from when the value changed; None when it changed less than five times.

    The first quartile of the times between changes: an update that changes nothing makes some too long, and one that
    comes between reading volts and amperes makes some too short.
    """
    changes = [later[0] for earlier, later in pairs(samples) if later[1] != earlier[1]]
    if len(changes) < _LEAST_CHANGES:
        return None
    times = [later - earlier for earlier, later in pairs(changes)]
    return statistics.quantiles(times, n=4, method="inclusive")[0]


def value_at(samples: Sequence[Sample], moment: float) -> float:
    """What lies between the two samples around a moment, in s, or the nearest beyond the first and last."""
    after = bisect_left(samples, (moment, -math.inf))
    if after in (0, len(samples)):
        return samples[min(after, len(samples) - 1)][1]
    (earlier_s, before), (later_s, behind) = samples[after - 1], samples[after]
    return before + (behind - before) * (moment - earlier_s) / (later_s - earlier_s)


def pairs(items: Sequence[Item]) -> list[tuple[Item, Item]]:
    """Each item with the one after it."""
    return [(items[index], items[index + 1]) for index in range(len(items) - 1)]
