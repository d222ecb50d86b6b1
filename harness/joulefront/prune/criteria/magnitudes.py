"""Criteria that look at how large the weights are, and the random order that they have to beat."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class L1:
    """The L1 norm of the filters that produce the channel, over all coupled layers together.

    score_i = Σ_W Σ|W_i|, the sum over the layers W of the group that are cut on their output side (Li 2017,
    arXiv:1608.08710, section 3.1; summed over coupled layers as in DepGraph, Fang 2023, arXiv:2301.12900). Of single
    weights it is abs(w). Scaling the whole group keeps the order; a coupled layer of larger weights has the larger say.
    """

    def __call__(self, group: Group) -> Tensor:
        return summed(group, Tensor.abs).float()


@dataclass(frozen=True, slots=True)
class L2:
    """The L2 norm of the filters that produce the channel, over all coupled layers together.

    score_i = sqrt(Σ_W ‖W_i‖²), the sum over the layers W of the group that are cut on their output side. The filter
    norm of Li 2017 (arXiv:1608.08710, section 3.1, with L2 for L1), summed over coupled layers as in DepGraph (Fang
    2023, arXiv:2301.12900, "Group-level Pruning"). Not normalised: scaling the whole group by a factor scales the
    scores by it and keeps the order; a coupled layer of larger weights has the larger say.
    """

    def __call__(self, group: Group) -> Tensor:
        return summed(group, Tensor.square).sqrt().float()


@dataclass(frozen=True, slots=True)
class Lamp:
    """The square of a unit's norm as a share of those that are at least as large: comparable between layers.

    score_i = ‖W_i‖² / Σ_{j: ‖W_j‖ ≥ ‖W_i‖} ‖W_j‖² (LAMP; Lee 2021, arXiv:2010.07611, section 2), which the paper gives
    for single weights. Within a group the order is that of L2, and the largest unit scores 1: so that each layer keeps at
    least one. It differs from L2 only where units of several layers are ranked together. Of equal units each counts the
    others that come after it, as in the paper. Not torch-pruning's: there the sum of the larger ones is a difference of
    float32 sums, which among ten million weights is 5 % off where it matters, at the largest.
    """

    comparable = True

    def __call__(self, group: Group) -> Tensor:
        squares = summed(group, Tensor.square)
        order = squares.argsort(stable=True)
        ascending = squares[order]
        at_least = ascending.flip(0).cumsum(0).flip(0)
        scores = torch.empty_like(squares)
        scores[order] = torch.where(at_least > 0, ascending / at_least, torch.zeros_like(at_least))
        return scores.float()


@dataclass(frozen=True, slots=True)
class Random:
    """A random order, the same for the same ``seed`` and group: the baseline that a criterion has to beat."""

    seed: int = 0

    def __call__(self, group: Group) -> Tensor:
        # Seeded by the name, so that a group's order does not depend on which other groups there are.
        digest = hashlib.sha256(f"{self.seed} {group.name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        return torch.rand(group.channels, generator=generator)


def summed(group: Group, value: Callable[[Tensor], Tensor]) -> Tensor:
    """The sum of ``value`` of all weights that produce a unit, over all coupled layers: (channels,), float64."""
    total = torch.zeros(group.channels, dtype=torch.float64)
    for weight in group.weights:
        total += value(weight.detach().double()).sum(1)
    return total
