"""A group in torch-pruning's own form, so that its importances can judge any group of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
            grad = None if gradients is None else gradients[role][place]
            for layer in _layers(role, own, grad):
                node = Node(layer, None)
                item = GroupItem(Dependency(prune, prune, node, node), list(range(len(own))))
                item.root_idxs = list(range(len(own)))
                group._group.append(item)
    return group


def _layers(role: str, rows: Tensor, grad: Tensor | None) -> Iterator[nn.Module]:
    """The layer whose weight, in the layout of its kind, is ``rows``, with the gradient ``grad``."""
    channels, elements = rows.shape
    if role == "scales":  # a norm of flattened channels has several a channel, and torch-pruning wants one
        for column in range(elements):
            norm = nn.BatchNorm1d(channels, device="meta")
            yield _weighted(norm, rows[:, column], None if grad is None else grad[:, column])
    elif role == "writers":
        yield _weighted(nn.Linear(elements, channels, bias=False, device="meta"), rows, grad)
    else:
        reader = nn.Linear(channels, elements, bias=False, device="meta")
        yield _weighted(reader, rows.T, None if grad is None else grad.T)


def _weighted(layer: nn.Module, weight: Tensor, grad: Tensor | None) -> nn.Module:
    layer.weight = nn.Parameter(weight.clone())
    layer.weight.grad = None if grad is None else grad.clone()
    return layer
