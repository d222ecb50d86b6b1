"""What a handful of repeats says about the latency and the memory, and how well."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from joulefront.records import Estimate

TAIL_SAMPLES = 100
"""So many samples a repeat needs for its 99th percentile."""

_MEDIAN_FACTOR = math.sqrt(math.pi / 2)


def of_repeats(figures: Sequence[float]) -> Estimate:
    """What one figure of each repeat says about it on this device, in the figure's unit, with a 95 % interval.

    The value is the figures' median, which one disturbed repeat does not move. The interval comes from the spread
    between the repeats alone: ± t(0.975, n - 1) · f · s / sqrt(n), with s the standard deviation of the n figures
    and f = sqrt(pi / 2) the standard error of a median relative to a mean's (Cramér, Mathematical Methods of
    Statistics, 1946, section 28.5). f is the limit for many normal repeats and above the exact value for few, so that
    the interval covers about 97 % for 3 to 8 repeats; what is left over pays for stopping as soon as the interval is
    narrow enough (94 % and more, simulated). One repeat alone says nothing about the spread: its interval is infinite.
    """
    value = float(np.median(figures))
    if len(figures) < 2:
        return Estimate(value, 0.0, math.inf)
    spread = float(np.std(figures, ddof=1))
    error = float(stdtrit(len(figures) - 1, 0.975)) * _MEDIAN_FACTOR * spread / math.sqrt(len(figures))
    return Estimate(value, max(0.0, value - error), value + error)


def median_latency(repeats_s: Sequence[Sequence[float]]) -> Estimate:
    """The median latency of one inference, in s, of the samples of each repeat, in s, as ``of_repeats`` estimates it.

    Samples within one repeat are autocorrelated and say nothing about the interval: a bootstrap of 300 AR(0.9) samples
    covers 40 %.
    """
    return of_repeats([float(np.median(samples)) for samples in repeats_s])


def tail_latency(repeats_s: Sequence[Sequence[float]]) -> tuple[Estimate | None, str | None]:
    """The 99th percentile of the latency of one inference, in s, as ``of_repeats`` estimates it from each repeat's.

    Nothing, with the reason, where a repeat has fewer than TAIL_SAMPLES samples: one in a hundred is then not seen.
    """
    fewest = min(len(samples) for samples in repeats_s)
    if fewest < TAIL_SAMPLES:
        return None, f"a 99th percentile needs {TAIL_SAMPLES} samples a repeat, and there was time for {fewest}"
    return of_repeats([float(np.quantile(samples, 0.99)) for samples in repeats_s]), None


def relative_width(estimate: Estimate) -> float:
    """Half the interval's width as a share of the value; of a value of 0, which a coarse clock gives, no width is."""
    return (
        math.inf
        if math.isinf(estimate.high) or not estimate.value
        else (estimate.high - estimate.low) / 2 / estimate.value
    )
