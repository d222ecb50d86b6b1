"""What a handful of repeats says about the median latency, and how well."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from joulefront.records import Estimate

_MEDIAN_FACTOR = math.sqrt(math.pi / 2)


def median_latency(repeats_s: Sequence[Sequence[float]]) -> Estimate:
    """The median latency of one inference, in s, and its 95 % interval, from the samples of each repeat, in s.

    The value is the median of the repeats' medians, which one disturbed repeat does not move. The interval comes from
    the spread between the repeats alone, since samples within one are autocorrelated (a bootstrap of 300 AR(0.9)
    samples covers 40 %): ± t(0.975, n - 1) · f · s / sqrt(n), with s the standard deviation of the n repeats' medians
    and f = sqrt(pi / 2) the standard error of a median relative to a mean's (Cramér, Mathematical Methods of
    Statistics, 1946, section 28.5). f is the limit for many normal repeats and above the exact value for few, so that
    the interval covers about 97 % for 3 to 8 repeats; what is left over pays for stopping as soon as the interval is
    narrow enough (94 % and more, simulated). One repeat alone says nothing about the spread: its interval is infinite.
    """
    medians = np.array([np.median(samples) for samples in repeats_s])
    value = float(np.median(medians))
    if len(medians) < 2:
        return Estimate(value, 0.0, math.inf)
    error = (
        float(stdtrit(len(medians) - 1, 0.975)) * _MEDIAN_FACTOR * float(medians.std(ddof=1)) / math.sqrt(len(medians))
    )
    return Estimate(value, max(0.0, value - error), value + error)


def relative_width(estimate: Estimate) -> float:
    """Half the interval's width as a share of the value; of a value of 0, which a coarse clock gives, no width is."""
    return (
        math.inf
        if math.isinf(estimate.high) or not estimate.value
        else (estimate.high - estimate.low) / 2 / estimate.value
    )
