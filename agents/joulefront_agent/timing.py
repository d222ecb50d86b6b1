"""When to stop warming up, and how long to sample. The timer itself is the runtime's own.

A timer takes a number of inferences and returns the time of each, in s; before those it runs one that it discards.
Its clock is the time of day, which may be set meanwhile: back, and a time is negative; forward, and all of them together
are longer than the call of the timer was, by the clock that nothing sets.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from joulefront_agent.window import raw_s
from joulefront_agent.wire import Failure

Clock = Callable[[], float]
Timer = Callable[[int], Sequence[float]]

_BLOCKS = 5
_BLOCK_S = 0.01
_BOUND = 0.05
_MOST_SAMPLES = 10_000
_MOST_STEPS = 10
_LEAST_S = 1e-9
_SLACK, _SLACK_S = 1e-3, 1e-6  # the two clocks differ by 0.05 % where one of them is slewed


def warm_up(timer: Timer, limit_s: float, clock: Clock = raw_s) -> tuple[float, bool]:
    """Run until five successive blocks of about 10 ms agree; returns how long it took, in s, and whether they did.

    They agree when neither the slope through their medians (over their whole length) nor the medians' interquartile
    range is above 5 % of the median. It stops without that before it would take longer than ``limit_s``; what is left
    of that when five blocks no longer fit is warmed up as well. Two inferences always run. Raises Failure (BadClock).
    """
    began_s = clock()
    inference_s = _one(timer, clock)
    while True:
        count = max(1, math.ceil(_BLOCK_S / inference_s))
        if clock() - began_s + (count * _BLOCKS + 1) * inference_s > limit_s:
            while clock() - began_s + 2 * inference_s <= limit_s:
                inference_s = _one(timer, clock)
            return clock() - began_s, False
        samples = timer(count * _BLOCKS)
        medians = [statistics.median(samples[start : start + count]) for start in range(0, len(samples), count)]
        if steady(medians):
            return clock() - began_s, True
        # By half at most, so that a clock too coarse or set back makes no round last for ever.
        inference_s = max(statistics.median(medians), inference_s / 2)


def steady(medians: Sequence[float]) -> bool:
    """Whether blocks with these medians neither drift nor scatter."""
    middle = (len(medians) - 1) / 2
    spread = sum((index - middle) ** 2 for index in range(len(medians)))
    slope = sum((index - middle) * value for index, value in enumerate(medians)) / spread
    lower, _, upper = statistics.quantiles(medians, n=4, method="inclusive")
    bound = _BOUND * statistics.median(medians)
    return abs(slope) * (len(medians) - 1) <= bound and upper - lower <= bound


def fits(samples_s: Sequence[float], elapsed_s: float) -> bool:
    """Whether so many s hold samples that were timed in them: where they don't, the samples' clock was set forward."""
    return sum(samples_s) <= elapsed_s * (1 + _SLACK) + _SLACK_S


def sample(timer: Timer, least_s: float, least: int, limit_s: float, clock: Clock = raw_s) -> tuple[list[float], int]:
    """The time of each of at least ``least`` inferences that take at least ``least_s`` together, all in s.

    ``limit_s`` goes before both, but one inference is always timed; and 10,000 samples are enough of any network. What was
    timed while the time of day was set is no sample: a negative one, or all of a call where it is not known which. How
    often that was comes second. Raises Failure (BadClock) when it was often.
    """
    samples, steps, lost_s = [_one(timer, clock)], 0, 0.0
    while True:
        total_s = sum(samples)
        inference_s = max(statistics.median(samples), _LEAST_S)
        wanted = max(least - len(samples), math.ceil((least_s - total_s) / inference_s))
        # One more than is timed: each call of the timer discards its first.
        affordable = math.floor((limit_s - lost_s - total_s) / inference_s) - 1
        count = min(wanted, affordable, _MOST_SAMPLES - len(samples))
        if count < 1:
            return samples, steps
        began_s = clock()
        taken = [taken_s for taken_s in timer(count) if taken_s >= 0]
        elapsed_s = clock() - began_s
        steps += count - len(taken)
        if fits(taken, elapsed_s):
            samples += taken
        else:
            steps += 1
            lost_s += elapsed_s
        if steps > _MOST_STEPS:
            raise Failure("BadClock", f"the device's time of day was set {steps} times while a network was timed")


def _one(timer: Timer, clock: Clock) -> float:
    """The time of one inference, in s, timed again when the time of day was set meanwhile. Raises Failure (BadClock)."""
    for _ in range(_MOST_STEPS):
        began_s = clock()
        (taken_s,) = timer(1)
        if taken_s > 0 and fits([taken_s], clock() - began_s):
            return taken_s
    raise Failure(
        "BadClock",
        f"the device's time of day does not go on: {_MOST_STEPS} inferences took no time, or more than went by",
    )
