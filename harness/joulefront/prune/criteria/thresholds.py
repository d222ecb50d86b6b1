"""Criteria that say how much is pruned as well: what scores below their cutoff goes, where the user gives no ratio."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class AbsoluteThreshold:
    """The mean magnitude of the unit's weights: units below ``cutoff`` go.

    Of single weights abs(w) < cutoff (Han 2015, arXiv:1506.02626, section 3); of channels the mean of abs(w) over the
    filters that produce the channel, so that the cutoff is the size of a weight either way. The order is that of L1.
    The cutoff is in the weights' own scale, and means another share in each layer.
    """

    cutoff: float = 0.01

    def __call__(self, group: Group) -> Tensor:
        if not group.weights:
            return torch.zeros(group.channels)
        return torch.cat([weight.detach().double().abs() for weight in group.weights], 1).mean(1).float()


@dataclass(frozen=True, slots=True)
class RelativeThreshold:
    """The magnitude of the unit as a share of the layer's largest: units below ``cutoff``, from 0 to 1, go.

    Of single weights abs(w) < cutoff · max abs(W), over the layer's weights W. (Texts print abs(w)/w for the share, which
    is 1 or -1 for any weight: degenerate.) Of channels the mean of abs(w) over the filter, as a share of that of the
    layer's strongest filter; of several coupled layers the average, each as a share of its own. Does not depend on the
    layers' scales.
    """

    cutoff: float = 0.1

    def __call__(self, group: Group) -> Tensor:
        if not group.weights:
            return torch.zeros(group.channels)
        means = [weight.detach().double().abs().mean(1) for weight in group.weights]
        return (
            torch.stack([mean / mean.max().clamp(min=torch.finfo(mean.dtype).tiny) for mean in means]).mean(0).float()
        )
