"""Two meters that measured the same windows: the ratio of their joules, and whether one factor explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from joulefront.bench.statistics import ratio_of_repeats
from joulefront.estimates import is_below
from joulefront.records import EnergyWindow, Estimate

# Ratios this close at either load are no sign of an offset, however sure they are.
_CLOSE = 0.01
# Loads whose watts are closer than this do not tell an offset from a factor.
_APART = 0.2
# Watts that differ by less are those of a meter that did not move.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Load:
    """The windows of one load: ``own`` of the meter that is checked, ``other`` of what it is checked against, in pairs."""

    own: Sequence[EnergyWindow]
    other: Sequence[EnergyWindow]

    @property
    def own_w(self) -> float:
        """The mean power by the meter that is checked, in W."""
        return float(np.mean(_watts(self.own)))

    @property
    def other_w(self) -> float:
        """The mean power by the other one, in W."""
        return float(np.mean(_watts(self.other)))

    @property
    def ratio(self) -> Estimate:
        """The other meter's joules over this one's."""
        return _widened(ratio_of_repeats(_watts(self.other), _watts(self.own), paired=True), *self._hidden())

    def _hidden(self) -> tuple[float, ...]:
        """Shares of the ratio that are the same in each window, so that no repetition shows them.

        Half a step of either meter, and the host's uncertainty about when the device's windows began and ended.
        """
        steps = (max(one.resolution_j / 2 / one.energy_j for one in side) for side in (self.own, self.other))
        return (*steps, max(2 * one.edges_s / one.window_s for one in (*self.own, *self.other)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``factor`` turns the joules of the meter that was checked into the other one's.

    ``reason`` says why no factor does, None where one does; ``doubts`` what makes it less good, in words.
    """

    factor: Estimate
    reason: str | None
    doubts: tuple[str, ...]


def judge(idle: Load, busy: Load) -> Verdict:
    """One factor for both loads, from rounds of a window each: the watts of a round's two windows weigh the same.

    Where the loads' ratios are apart beyond their intervals, so that the meters differ by an offset, there is none; but
    where that is less than 1 %, the factor's interval holds both loads' ratios.
    """
    own, other = ([a + b for a, b in zip(_watts(left), _watts(right), strict=True)]
                  for left, right in ((idle.own, busy.own), (idle.other, busy.other)))  # fmt: skip
    shares = [max(pair) for pair in zip(idle._hidden(), busy._hidden(), strict=True)]
    at_idle, at_busy = idle.ratio, busy.ratio
    apart = is_below(at_idle, at_busy) or is_below(at_busy, at_idle)
    if apart:
        shares.append(abs(math.log(at_busy.value / at_idle.value)))
    factor = _widened(ratio_of_repeats(other, own, paired=True), *shares, _gain(*idle.other, *busy.other))
    doubts = []
    if abs(busy.own_w - idle.own_w) < _APART * idle.own_w:
        doubts.append(
            f"the meter tells {idle.own_w:.3g} W idle and {busy.own_w:.3g} W busy: too close to one another to tell an "
            "offset from a factor"
        )
    if all(window.gain is None for window in idle.other):
        doubts.append("nobody says how far the other meter's scale may be off: that is not in the interval")
    doubts += [
        f"{which} tells the same power in every window: its steps do not show, and are not in the interval"
        for which, watts in (("the device's meter", own), ("the other meter", other))
        if max(watts) - min(watts) < _SAME * max(watts)
    ]
    if apart and shares[-1] > _CLOSE:
        return Verdict(factor, _why_not(idle, busy), tuple(doubts))
    return Verdict(factor, None, tuple(doubts))


def _why_not(idle: Load, busy: Load) -> str:
    """An offset, in words: the line through both loads."""
    gained_w = busy.own_w - idle.own_w
    line = ""
    if abs(gained_w) >= _APART * idle.own_w:
        slope = (busy.other_w - idle.other_w) / gained_w
        offset_w = idle.other_w - slope * idle.own_w
        line = f", about {slope:.3g} times its watts {'+' if offset_w >= 0 else '-'} {abs(offset_w):.3g} W"
    return (
        f"the ratio is {idle.ratio.value:.4g} idle and {busy.ratio.value:.4g} busy, beyond their intervals: the meters differ "
        f"by more than a factor{line}. One of them sees what the other does not, or its zero is off"
    )


def _gain(*windows: EnergyWindow) -> float:
    """Half a 95 % interval of how far a meter's scale is off, as a share: anywhere within its gain (JCGM 100, 4.3.7).

    It is the same at both loads, and tells nothing about how they differ. 0 where nobody says.
    """
    return max((1.96 / math.sqrt(3) * window.gain for window in windows if window.gain is not None), default=0.0)


def _watts(windows: Sequence[EnergyWindow]) -> list[float]:
    return [window.energy_j / window.window_s for window in windows]


def _widened(ratio: Estimate, *shares: float) -> Estimate:
    """The ratio with shares of it that its interval did not hold, in quadrature and by logarithms."""
    below = math.hypot(math.log(ratio.value / ratio.low), *shares)
    above = math.hypot(math.log(ratio.high / ratio.value), *shares)
    return Estimate(ratio.value, ratio.value * math.exp(-below), ratio.value * math.exp(above), ratio.indicative)
