"""Medians of a few rounds and their 95 % intervals, as plain values for JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy.stats import binom

Median = dict[str, float | None]
"""``value``, and ``low`` and ``high`` of its 95 % interval, which are None for fewer than six rounds."""


def median(rounds: Sequence[float]) -> Median:
    """The median of independent rounds, in their unit, and an interval that holds the true median in 95 % of cases or more.

    The interval goes from the k-th smallest to the k-th largest round, with the largest k for which a Binomial(n, 1/2)
    is below k in at most 2.5 % of cases: it holds for any distribution (David and Nagaraja, Order Statistics, 3rd
    edition, section 7.1). Of the ratios of a round's two times it is the interval of the paired sign test.
    """
    ordered, k = sorted(rounds), int(binom.ppf(0.025, len(rounds), 0.5))
    low, high = (ordered[k - 1], ordered[-k]) if k else (None, None)
    return {"value": statistics.median(ordered), "low": low, "high": high}
