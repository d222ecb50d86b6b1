"""Two networks judged by the same examples: the difference is surer than either."""

from __future__ import annotations

import math

from torch import Tensor

from joulefront.records import Estimate
from joulefront.training.judging import Z_95


def accuracy_change(before: Tensor, after: Tensor) -> Estimate:
    """By how much the share of right answers changed, -1 to 1, from ``before`` to ``after``, (n,) bool, of the same examples.

    Only the examples count on which the two disagree (McNemar 1947). The 95 % interval is the Wald interval with one example
    added to either kind of disagreement (Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data"), which is right for few examples and few disagreements as well.
    """
    examples = len(before)
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    more, less = ((count + 1) / (examples + 2) for count in (gained, lost))
    spread = Z_95 * math.sqrt((more + less - (more - less) ** 2) / (examples + 2))
    value = (gained - lost) / examples
    return Estimate(value, min(max(more - less - spread, -1.0), value), max(min(more - less + spread, 1.0), value))
