"""What a handful of repeats says about the latency, the memory and the energy, and how well.

What is estimated is the median of the figures that repeats give, over the session in which they were made: half of all
repeats at any moment of it would have given less. Where the device drifts steadily, that is what it gives in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import stdtrit

from joulefront import estimates
from joulefront.records import Estimate

TAIL_SAMPLES, TAIL_SAMPLES_A_REPEAT = 1_000, 100
"""So many samples the 99th percentile needs: of all repeats, and of each."""

LEAST_REPEATS = 4
"""With fewer, a drift or one disturbed repeat cannot be told from noise."""

_LEVEL = 0.95
# The standard error of the median of n normal figures by that of a mean, at that level, with the drift taken out from four on:
# simulated, a million studies each (benchmarks/coverage.py --factors); beyond 12, what they come to by their limit.
_FACTORS = (1.0, 1.025, 0.987, 1.045, 1.051, 1.119, 1.094, 1.150, 1.127, 1.177, 1.148)
_LIMIT = math.sqrt(math.pi / 2)
# The 2.5 % points of von Neumann's ratio from five repeats on, the drift taken out, in the same way.
_RATIOS = (1.422, 1.208, 1.153, 1.139, 1.135, 1.140, 1.150, 1.163)
_FIRST_RATIO = 5
_NOT_NOISE = 0.05
_EXACT = 1e-9

Figures = NDArray[np.float64]


def of_repeats(figures: Sequence[float]) -> Estimate:
    """What one figure of each repeat, in the order of time, says about it, in the figure's unit, with a 95 % interval.

    The straight line of Theil (1950) and Sen (1968) is taken out of the figures, so that a steady drift neither moves the
    value nor widens the interval. The value is the median of what is left, which one disturbed repeat hardly moves. The
    interval comes from the spread between the repeats alone: ± t(n - 2) · f(n) · s / sqrt(n), with s their standard
    deviation around the line on n - 2 degrees of freedom, t at 95 %, and f the factor by which that covers 95 % for
    normal figures, whatever the drift; for many repeats it is sqrt(pi / 2) (Cramér, Mathematical Methods of Statistics,
    1946, section 28.5). Repeats that stop as soon as it is narrow enough are covered less: 92.9 % and more from five on.

    What is not noise around a line is tested for: figures that are not spread as noise is (Shapiro and Wilk 1965, at 5 %), and
    neighbours that are alike (the ratio of von Neumann 1941, at 2.5 %). Then the value is the figures' median, the interval
    holds that of the order statistics as well, which is good for any distribution (David and Nagaraja, Order Statistics,
    2003, section 7.1), and it is indicative. So it is, without a line, for fewer than LEAST_REPEATS. One repeat says
    nothing about the spread: its interval is infinite.
    """
    found = _judged(np.asarray(figures, np.float64))
    return replace(found.estimate, low=max(0.0, found.estimate.low))


def median_latency(repeats_s: Sequence[Sequence[float]]) -> Estimate:
    """The median latency of one inference, in s, of the samples of each repeat, in s, as ``of_repeats`` estimates it.

    Samples within one repeat are autocorrelated and say nothing about the interval: a bootstrap of 300 AR(0.9) samples
    covers 40 %.
    """
    return of_repeats([float(np.median(samples)) for samples in repeats_s])


def tail_latency(repeats_s: Sequence[Sequence[float]]) -> tuple[Estimate | None, str | None]:
    """The 99th percentile of the latency of one inference, in s, as ``of_repeats`` estimates it from each repeat's, which
    is Hyndman and Fan's (1996) eighth estimate: the usual one of so few samples is too low.

    Nothing, with the reason, of fewer than TAIL_SAMPLES samples, or of fewer than TAIL_SAMPLES_A_REPEAT in one of the repeats:
    one in a hundred is then hardly seen.
    """
    counts = [len(samples) for samples in repeats_s]
    if sum(counts) < TAIL_SAMPLES or min(counts) < TAIL_SAMPLES_A_REPEAT:
        return None, (
            f"a 99th percentile needs {TAIL_SAMPLES} samples, and {TAIL_SAMPLES_A_REPEAT} a repeat: there was time for "
            f"{sum(counts)}, and {min(counts)} at least"
        )
    return of_repeats([float(np.quantile(samples, 0.99, method="median_unbiased")) for samples in repeats_s]), None


def ratio_of_repeats(ones: Sequence[float], others: Sequence[float], paired: bool) -> Estimate:
    """By what factor the figures ``ones`` are above the ``others``, each of one repeat and in the order of time.

    ``paired`` figures were made in the same rounds, one of each: then whatever changes from round to round drops out, and
    what is estimated is the median of the rounds' ratios. It is estimated by its logarithm, as ``of_repeats`` does. Of
    figures that are not paired, the errors of both are added in quadrature, with the degrees of freedom of Welch (1947)
    and Satterthwaite (1946). A figure of 0, which a coarse clock gives, has no ratio: its interval is infinite.

    Raises ValueError for ``paired`` figures of which there are not equally many.
    """
    if paired and len(ones) != len(others):
        raise ValueError(f"{len(ones)} and {len(others)} figures are no pairs")
    if min(*ones, *others) <= 0:
        return estimates.ratio(of_repeats(ones), of_repeats(others))
    one, other = (np.log(np.asarray(figures, np.float64)) for figures in (ones, others))
    return _power(_judged(one - other).estimate if paired else _difference(_judged(one), _judged(other)))


def relative_width(estimate: Estimate) -> float:
    """Half the interval's width as a share of the value; of a value of 0, which a coarse clock gives, no width is."""
    return (
        math.inf
        if math.isinf(estimate.high) or not estimate.value
        else (estimate.high - estimate.low) / 2 / estimate.value
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """An estimate whose low end may be below 0; ``error`` is its standard error, with so many degrees of freedom.

    There is none where the interval is not Student's.
    """

    estimate: Estimate
    error: float | None
    freedom: int


def _judged(figures: Figures) -> _Judged:
    count, middle = len(figures), float(np.median(figures))
    if count < 2:
        return _Judged(Estimate(middle, -math.inf, math.inf), None, 0)
    if not np.ptp(figures):
        return _Judged(Estimate(middle, middle, middle), 0.0, count - 1)
    if count < LEAST_REPEATS:
        few = f"{count} repeats are too few to tell a drift, or a disturbed one, from noise"
        return _students(figures, count - 1, few)
    rest = _without_drift(figures)
    doubt = _doubt(figures, rest)
    if doubt is None:
        return _students(rest, count - 2, None)
    wide = _students(figures, count - 2, doubt).estimate
    ordered, k = np.sort(figures), max(1, int(stats.binom.ppf(0.025, count, 0.5)))
    low, high = min(wide.low, float(ordered[k - 1])), max(wide.high, float(ordered[-k]))
    return _Judged(Estimate(middle, low, high, doubt), None, count - 2)


def _students(figures: Figures, freedom: int, indicative: str | None) -> _Judged:
    count, value = len(figures), float(np.median(figures))
    spread = math.sqrt(float(np.sum((figures - figures.mean()) ** 2)) / freedom)
    error = _factor(count) * spread / math.sqrt(count)
    half = _quantile(freedom) * error
    return _Judged(Estimate(value, value - half, value + half, indicative), error, freedom)


def _difference(one: _Judged, other: _Judged) -> Estimate:
    value = one.estimate.value - other.estimate.value
    indicative = estimates.indicative(one.estimate, other.estimate)
    if one.error is None or other.error is None:
        low = math.hypot(one.estimate.value - one.estimate.low, other.estimate.high - other.estimate.value)
        high = math.hypot(one.estimate.high - one.estimate.value, other.estimate.value - other.estimate.low)
        return Estimate(value, value - low, value + high, indicative)
    error = math.hypot(one.error, other.error)
    if not error:
        return Estimate(value, value, value, indicative)
    freedom = error**4 / (one.error**4 / one.freedom + other.error**4 / other.freedom)
    half = _quantile(freedom) * error
    return Estimate(value, value - half, value + half, indicative)


def _without_drift(figures: Figures) -> Figures:
    """The figures less the line through them, which goes through 0 in the middle of the session."""
    places = np.arange(len(figures)) - (len(figures) - 1) / 2
    first, second = np.triu_indices(len(figures), 1)
    slope = np.median((figures[second] - figures[first]) / (second - first))
    return np.asarray(figures - slope * places, np.float64)


def _doubt(figures: Figures, rest: Figures) -> str | None:
    """Why they are not noise around a line, in words."""
    if np.ptp(rest) <= _EXACT * np.ptp(figures):
        return f"the {len(figures)} repeats lie exactly on a line: their clock or meter is too coarse to show noise"
    chance = float(stats.shapiro((figures - figures.mean()) / np.ptp(figures)).pvalue)
    if chance < _NOT_NOISE:
        return (
            f"the {len(figures)} repeats are not spread as noise is (by chance in {chance:.2g} of cases): some were "
            "disturbed, or the device has several speeds"
        )
    if len(rest) >= _FIRST_RATIO:
        ratio = float(np.sum(np.diff(rest) ** 2) / np.sum((rest - rest.mean()) ** 2))
        if ratio < _least_ratio(len(rest)):
            return (
                f"neighbours among the {len(rest)} repeats are alike (von Neumann's ratio is {ratio:.2g}): the device "
                "changed meanwhile, and not steadily"
            )
    return None


def _factor(count: int) -> float:
    return _FACTORS[count - 2] if count - 2 < len(_FACTORS) else _LIMIT * (1 - (0.66 if count % 2 else 1.0) / count)


def _least_ratio(count: int) -> float:
    known = count - _FIRST_RATIO
    return _RATIOS[known] if known < len(_RATIOS) else 2 - 3.92 / math.sqrt(count) * (1 - 3.5 / count)


def _quantile(freedom: float) -> float:
    return float(stdtrit(freedom, (1 + _LEVEL) / 2))


def _power(logarithm: Estimate) -> Estimate:
    ends = (logarithm.value, logarithm.low, logarithm.high)
    value, low, high = (math.inf if end > 700 else math.exp(end) for end in ends)
    return Estimate(value, low, high, logarithm.indicative)
