"""A group in torch-pruning's own form, so that its importances can judge any group of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch_pruning._helpers import GroupItem
from torch_pruning.dependency import Dependency, Node
from torch_pruning.dependency import Group as CoupledGroup
from torch_pruning.pruner import function

_PRUNES = {
    "writers": function.prune_linear_out_channels,
    "readers": function.prune_linear_in_channels,
    "scales": function.prune_batchnorm_out_channels,
}


def coupled(
    rows: Mapping[str, Sequence[Tensor]], gradients: Mapping[str, Sequence[Tensor]] | None = None
) -> CoupledGroup:
    """A torch-pruning group of as many linear layers and BatchNorms as there are tensors, each (channels, elements).

    ``rows`` holds what the ``writers`` and ``readers`` of the channels and the BatchNorms' ``scales`` own of each
    channel. torch-pruning's importances look at rows alone, so that a linear layer stands for any other: for the filter
    of a convolution, for a head of attention, for the four gates of a hidden unit. ``gradients``, of the same shapes,
    become the layers' ``grad``.
    """
    group = CoupledGroup()
    for role, prune in _PRUNES.items():
        for place, own in enumerate(rows.get(role, ())):
            node = Node(_layer(role, own, None if gradients is None else gradients[role][place]), None)
            # A norm of flattened channels has several scales a channel.
            units = torch.arange(len(own)).repeat_interleave(own.shape[1] if role == "scales" else 1).tolist()
            item = GroupItem(Dependency(prune, prune, node, node), list(range(len(units))))
            item.root_idxs = units
            group._group.append(item)
    return group


def _layer(role: str, rows: Tensor, grad: Tensor | None) -> nn.Module:
    """A layer whose weight is ``rows``, in the layout of its kind, and has the gradient ``grad``."""
    channels, elements = rows.shape
    layer: nn.Module
    if role == "scales":
        layer = nn.BatchNorm1d(rows.numel(), device="meta")
    elif role == "writers":
        layer = nn.Linear(elements, channels, bias=False, device="meta")
    else:
        layer = nn.Linear(channels, elements, bias=False, device="meta")

    def laid_out(tensor: Tensor) -> Tensor:
        return tensor.T.clone() if role == "readers" else tensor.reshape(layer.weight.shape).clone()

    weight = nn.Parameter(laid_out(rows))
    if grad is not None:
        weight.grad = laid_out(grad)
    layer.weight = weight
    return layer
