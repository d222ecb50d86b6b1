"""Criteria that look at what a unit gives to the layers that read it, over the calibration examples.

That is behind the norm, the activation and the pooling that follow the unit. Single weights have no outputs, and raise
ConfigError, but for ``Transfer``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class Activation:
    """The mean absolute activation of the unit (Molchanov 2017, arXiv:1611.06440, section 2.2, "activation").

    Blind to what the next layers do with it.
    """

    def __call__(self, group: Group) -> Tensor:
        return group.outputs.mean_abs.float()


@dataclass(frozen=True, slots=True)
class Apoz:
    """How often the unit is active: score_i = 1 - APoZ_i, the average percentage of zeros as a share.

    Hu 2016 (arXiv:1607.03250, section 3). The zeros are those that an activation such as ReLU makes: where
    none follows (GELU, SiLU, a sum behind the ReLU), no value is exactly zero, all units score 1, and the first ones stay.
    """

    def __call__(self, group: Group) -> Tensor:
        return 1 - group.outputs.zeros.float()


@dataclass(frozen=True, slots=True)
class ActivationStd:
    """The standard deviation of the unit's activations, over examples and positions.

    A unit that hardly varies is nearly a bias to those that read it (Polyak 2015, "Channel-level acceleration of deep face
    representations", prunes by the variance; Molchanov 2017, section 2.2).
    """

    def __call__(self, group: Group) -> Tensor:
        return group.outputs.std.float()


@dataclass(frozen=True, slots=True)
class Transfer:
    """Information transfer: how much less activation is carried to the next layers without the unit.

    score_i = Σ mean abs(a) · abs(w) over the connections that go with the unit: those that read it, with the mean absolute
    activation of what each is given. That is the mean absolute activation that connections carry before, less that after,
    up to the number of connections. Of single weights, the one connection: mean abs(input) · abs(w). It counts what flows,
    not what it is worth: large opposite flows cancel out in the layer, and count nevertheless.
    """

    def __call__(self, group: Group) -> Tensor:
        total = torch.zeros(group.channels, dtype=torch.float64)
        for connections in group.carried:
            total += connections.double().sum(1)
        return total.float()
