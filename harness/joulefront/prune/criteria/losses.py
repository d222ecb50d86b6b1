"""The criterion that tries what happens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class Contribution:
    """The average loss reduction that is the unit's own: the mean loss without it, less the mean loss with it.

    Negative for a unit that does harm. Measured one unit at a time over 64 calibration examples, which takes as many
    forward passes as there are units: seconds for a small network, hours for a large one. Units that replace one another
    score low each, and cannot all go. Raises ConfigError for single weights, of which there are too many.
    """

    def __call__(self, group: Group) -> Tensor:
        return group.losses_without.float()
