"""Beginning with what a larger candidate has learnt, instead of with the unpruned network's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from joulefront.errors import StoreError
from joulefront.protocols import Criterion
from joulefront.prune.axes import evaluating, kept_indices
from joulefront.prune.evidence import Evidence
from joulefront.prune.groups import Groups
from joulefront.prune.surgery import kept_channels
from joulefront.space_records import Pruning, inside


def nearest(child: Pruning, others: Sequence[Pruning], groups: Groups) -> int | None:
    """Which of ``others`` is the smallest step from ``child`` among those that hold all that it keeps; None if none does.

    One does that has the same criterion, no block less and, in what is left of the child, no smaller width and no layer with
    more zeros: since a criterion judges the unpruned network, what is kept of a smaller width is kept of a larger one. Steps
    are counted in shares of a group's channels, in blocks and in shares of zeros; of equally near ones it is the first.
    """
    steps = [
        (_step(parent, child, groups), index) for index, parent in enumerate(others) if _holds(parent, child, groups)
    ]
    return min(steps)[1] if steps else None


def learnt(
    model: nn.Module,
    parent: Pruning,
    weights: Mapping[str, Tensor],
    criterion: Criterion,
    *,
    groups: Groups,
    evidence: Evidence,
) -> nn.Module:
    """A copy of ``model``, unpruned, that has the parent's ``weights`` wherever the parent has any: to be pruned further.

    ``parent`` is what was pruned of it by ``criterion``, and ``weights`` its tensors by name, as ``storage.parsed`` gives
    them. ``groups`` and ``evidence`` are the unpruned model's. What is pruned of the copy by the same criterion and evidence
    begins with what the parent has learnt, provided that the parent ``nearest`` holds it.

    Raises StoreError when the weights are not the parent's, and otherwise as ``surgery.cut``.
    """
    kept = kept_indices(groups.without(parent.dropped), kept_channels(parent, criterion, groups, evidence))
    whole = evaluating(model)
    state = whole.state_dict()
    for name, tensor in weights.items():
        if name not in state:
            raise StoreError(f"{name!r} is no tensor of the model: these are the weights of another network")
        sizes = state[name].shape
        places = tuple(
            kept.get((name, dim), torch.arange(size)).reshape(-1, *[1] * (len(sizes) - 1 - dim))
            for dim, size in enumerate(sizes)
        )
        if state[name][places].shape != tensor.shape:
            raise StoreError(f"{name!r} is {tuple(tensor.shape)}: these are the weights of another network")
        state[name][places] = tensor
    return whole


def _holds(parent: Pruning, child: Pruning, groups: Groups) -> bool:
    return (
        parent.criterion == child.criterion
        and set(parent.dropped) <= set(child.dropped)
        and all(
            _width(parent, group.name, group.channels) >= _width(child, group.name, group.channels)
            for group in groups.without(child.dropped).groups
        )
        and all(
            child.sparsity.get(layer, 0.0) >= share
            for layer, share in parent.sparsity.items()
            if not inside(layer, child.dropped)
        )
    )


def _step(parent: Pruning, child: Pruning, groups: Groups) -> float:
    """How much more is pruned of the child than of the parent."""
    widths = sum(
        (_width(parent, group.name, group.channels) - _width(child, group.name, group.channels)) / group.channels
        for group in groups.without(child.dropped).groups
    )
    zeros = sum(share - parent.sparsity.get(layer, 0.0) for layer, share in child.sparsity.items())
    return widths + len(set(child.dropped) - set(parent.dropped)) + zeros


def _width(pruning: Pruning, name: str, channels: int) -> int:
    return pruning.widths.get(name, channels)
