"""Criteria that compare a unit with the others of its layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from joulefront.errors import ConfigError
from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class Fpgm:
    """How far a filter is from all of the others: one near their geometric median can be replaced by them.

    score_i = Σ_j ‖W_i - W_j‖, the filters of all coupled layers taken as one vector (FPGM; He 2019, arXiv:1811.00250,
    section 3). Scaling the group keeps the order. Not torch-pruning's: that one squares each weight before it takes the
    distance, so that a filter and its negative are the same to it, and counts the layers that read the channel as well.
    Raises ConfigError for single weights, which have no others to be replaced by.
    """

    def __call__(self, group: Group) -> Tensor:
        if group.single:
            raise ConfigError("it compares filters, not single weights: take 'l1' or 'lamp'")
        if not group.weights:
            return torch.zeros(group.channels)
        filters = torch.cat([weight.detach().double() for weight in group.weights], 1)
        exact = "donot_use_mm_for_euclid_dist"  # the faster way loses the distance of filters that are nearly equal
        return torch.cdist(filters, filters, compute_mode=exact).sum(1).float()


@dataclass(frozen=True, slots=True)
class StandardScore:
    """How many standard deviations the unit is from its layer's mean: what is usual goes first.

    score = abs(x - μ)/σ, where ``of`` says what x is and μ and σ are over the layer:

    - ``weights``: the weights that produce the unit; of a channel the mean of their scores, of coupled layers the average.
    - ``connections``: the same of the weights that read the channel.
    - ``outputs``: the mean absolute value of what the channel gives to those that read it; μ and σ are over channels.

    Doubtful as an importance: the layer's mean is near zero, so of ``weights`` it is nearly L1 in another scale; of
    ``outputs`` it keeps the least active channels along with the most active. Compare it with L1 before trusting it.
    Does not depend on the layers' scales. Where all are equal, all score 0. Raises ConfigError for what single weights do
    not have.
    """

    of: Literal["weights", "outputs", "connections"] = "weights"

    def __call__(self, group: Group) -> Tensor:
        if self.of == "outputs":
            return _standardised(group.outputs.mean_abs.double()).float()
        if self.of == "connections" and not group.consumers:
            raise ConfigError('nothing reads its units: take of = "weights"')
        return _averaged(group.weights if self.of == "weights" else group.consumers, group.channels).float()


def _averaged(layers: Sequence[Tensor], channels: int) -> Tensor:
    """The mean standard score of each row, (channels,), averaged over the layers."""
    if not layers:
        return torch.zeros(channels)
    return torch.stack([_standardised(weight.detach().double()).mean(1) for weight in layers]).mean(0)


def _standardised(values: Tensor) -> Tensor:
    """abs(x - μ)/σ of each value, zero where σ is."""
    distances, spread = (values - values.mean()).abs(), values.std(correction=0)
    return distances / spread if spread > 0 else torch.zeros_like(values)
