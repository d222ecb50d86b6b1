"""Which channels of a group matter most; the first of them are kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class L2:
    """The L2 norm of the filters that produce the channel, over all coupled layers together.

    score_i = sqrt(Σ_W ‖W_i‖²), the sum over the layers W of the group that are cut on their output side. The filter
    norm of Li 2017 (arXiv:1608.08710, section 3.1, with L2 for L1), summed over coupled layers as in DepGraph (Fang
    2023, arXiv:2301.12900, "Group-level Pruning"). Not normalised: scaling the whole group by a factor scales the
    scores by it and keeps the order; a coupled layer of larger weights has the larger say.
    """

    def __call__(self, group: Group) -> Tensor:
        squares = torch.zeros(group.channels, dtype=torch.float64)
        for weight in group.weights:
            squares += weight.detach().double().square().sum(1)
        return squares.sqrt().float()


@dataclass(frozen=True, slots=True)
class Random:
    """A random order, the same for the same ``seed`` and group: the baseline that a criterion has to beat."""

    seed: int = 0

    def __call__(self, group: Group) -> Tensor:
        # Seeded by the name, so that a group's order does not depend on which other groups there are.
        digest = hashlib.sha256(f"{self.seed} {group.name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        return torch.rand(group.channels, generator=generator)
