"""Arithmetic of Estimates: what is made of two of them has an interval, too, and says if that is only indicative.

Half intervals are added in quadrature, end by end, on the logarithm (Zou and Donner, Statistics in Medicine 27, 2008,
section 2, for the logarithm of a ratio): for narrow ones that is the rule of the relative half widths, JCGM 100, 5.1.6. Each
holds the truth in 95 % of cases, so that what comes out does so in 95 % or more, where the two are independent. An end at 0
is infinitely far away there: what is known without a lower end has a ratio without an upper one.
"""

from __future__ import annotations

import math

from joulefront.records import Energy, Estimate

COMMON_PARTS = frozenset({"gain", "calibration"})
"""The parts of an Energy that all measurements by one meter share: no difference between two of them."""

_NO_RATIO = "what is not above 0 has no ratio"


def ratio(one: Estimate, other: Estimate) -> Estimate:
    """``one`` by ``other``, two that are independent; infinite where a value is not above 0."""
    if one.value <= 0 or other.value <= 0:
        return Estimate(one.value / other.value if other.value > 0 else math.inf, 0.0, math.inf, _NO_RATIO)
    value = one.value / other.value
    (below, above), (others_below, others_above) = _distances(one), _distances(other)
    low, high = math.hypot(below, others_above), math.hypot(above, others_below)
    return Estimate(value, value * math.exp(-low), value * _exp(high), indicative(one, other))


def product(one: Estimate, other: Estimate, *, together: bool = False) -> Estimate:
    """One times the other; ``together`` where an error of one is an error of the other, so that the widths add up."""
    if one.value <= 0 or other.value <= 0:
        return Estimate(one.value * other.value, 0.0, math.inf, _NO_RATIO)
    value = one.value * other.value
    (below, above), (others_below, others_above) = _distances(one), _distances(other)
    low = below + others_below if together else math.hypot(below, others_below)
    high = above + others_above if together else math.hypot(above, others_above)
    return Estimate(value, value * math.exp(-low), value * _exp(high), indicative(one, other))


def inverse(one: Estimate) -> Estimate:
    """1 by the estimate."""
    if one.value <= 0:
        return Estimate(math.inf, 0.0, math.inf, _NO_RATIO)
    return Estimate(1 / one.value, 1 / one.high, 1 / one.low if one.low > 0 else math.inf, one.indicative)


def scaled(one: Estimate, factor: float) -> Estimate:
    """The estimate times a number above 0 that is known."""
    return Estimate(one.value * factor, one.low * factor, one.high * factor, one.indicative)


def have_one_meter(one: Energy | None, other: Energy | None) -> bool:
    """Whether both were measured by the same meter, with the same factor: an error of its scale is then common to both."""
    return bool(one and other) and len({(by.meter, by.covers, by.factor) for by in (one, other) if by}) == 1


def within_one_meter(one: Estimate, energy: Energy) -> Estimate:
    """Joules, or what is made of them, to be compared with others by the same meter: without the parts that they share."""
    share = math.hypot(*(part for name, part in energy.parts.items() if name not in COMMON_PARTS))
    return Estimate(one.value, max(0.0, one.value * (1 - share)), one.value * (1 + share), one.indicative)


def is_below(one: Estimate, other: Estimate) -> bool:
    """Whether ``one`` is less beyond what their intervals leave open: whether that of their ratio lies below 1.

    Two intervals that overlap a little may be apart for all that (Schenker and Gentleman 2001). What is not above 0 has no
    ratio, and is less where the intervals do not overlap.
    """
    if one.value <= 0 or other.value <= 0:
        return one.high < other.low
    return one.value < other.value and ratio(one, other).high < 1.0


def indicative(*parts: Estimate) -> str | None:
    """Why what is made of these is only indicative: all the reasons, each once."""
    return "; ".join(dict.fromkeys(part.indicative for part in parts if part.indicative)) or None


def _distances(one: Estimate) -> tuple[float, float]:
    """How far the ends are from a value above 0, by their logarithms."""
    return math.log(one.value / one.low) if one.low > 0 else math.inf, math.log(one.high / one.value)


def _exp(power: float) -> float:
    return math.exp(power) if power < 700 else math.inf
