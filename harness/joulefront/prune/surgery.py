"""Cutting a network down to chosen widths."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from joulefront.config import nearest
from joulefront.errors import PruneError
from joulefront.plugins import describe
from joulefront.protocols import Criterion
from joulefront.prune.groups import ChannelGroup, Example, Groups, find_groups, shapes
from joulefront.records import Genome, Space


def cut(
    model: nn.Module,
    example: Example,
    space: Space,
    genome: Genome,
    criterion: Criterion,
    *,
    groups: Groups | None = None,
) -> nn.Module:
    """A copy of ``model`` that keeps, of each gene's channels, as many as ``genome`` says: those of the highest score.

    All scores come from the uncut model, so that no gene's outcome depends on another's; of equal scores the first
    channel is kept. The copy is in eval mode and gives outputs of the same shape. ``groups``, what ``find_groups`` says
    of the model, saves finding them again (0.1 to 1 s).

    Raises PruneError when the space is of another model, a score is no number, or the cut network does not work.
    """
    groups = groups or find_groups(model, example)
    keep: dict[str, Tensor] = {}
    tensors = dict(model.state_dict())
    for name, width in space.widths(genome).items():
        group = _find(groups, name)
        _check_width(group, width)
        if width < group.channels:
            keep[name] = _best(group, width, _scores(group, tensors, criterion))
    return shrink(model, example, groups, keep)


def cut_to_widths(
    model: nn.Module, example: Example, widths: Mapping[str, int], *, groups: Groups | None = None
) -> nn.Module:
    """A copy of ``model`` in which each group named in ``widths`` has its first so many channels: a place for weights.

    Raises PruneError as ``cut``.
    """
    groups = groups or find_groups(model, example)
    for name, width in widths.items():
        _check_width(_find(groups, name), width)
    return shrink(model, example, groups, {name: torch.arange(width) for name, width in widths.items()})


def shrink(model: nn.Module, example: Example, groups: Groups, keep: Mapping[str, Tensor]) -> nn.Module:
    """A copy of ``model`` with only the channels ``keep``, ascending, of each group named there, and all of the others.

    Raises PruneError when the cut network does not run, or its outputs have another shape.
    """
    small = copy.deepcopy(model).eval()
    kept: dict[tuple[str, int], Tensor] = {}
    by_name = groups.by_name
    for name, channels in keep.items():
        for axis in by_name[name].axes:
            key = axis.tensor, axis.dim
            mask = kept.setdefault(key, torch.ones(axis.size, dtype=torch.bool))
            mask[axis.owned.flatten()] = False
            mask[axis.owned[channels].flatten()] = True
    for (tensor, dim), mask in kept.items():
        _slice(small, tensor, dim, mask.nonzero().flatten())
    for module in small.modules():
        _resize(module)
    _verify(small, example, groups.outputs)
    return small


@dataclass(frozen=True, slots=True)
class _Scored:
    """A group as a criterion sees it: ``joulefront.protocols.Group``."""

    name: str
    channels: int
    weights: tuple[Tensor, ...]


def _scores(group: ChannelGroup, tensors: Mapping[str, Tensor], criterion: Criterion) -> Tensor:
    """The criterion's scores of the group's channels, (channels,)."""
    weights = [
        tensors[axis.tensor].movedim(axis.dim, 0)[axis.owned].reshape(group.channels, -1)
        for axis in group.axes
        if axis.produces and tensors[axis.tensor].dim() > 1
    ]
    scores = criterion(_Scored(group.name, group.channels, tuple(weights)))
    if scores.shape != (group.channels,) or not bool(scores.isfinite().all()):
        raise PruneError(
            f"{type(criterion).__name__} gives layer {group.name!r} no finite score for each of its {group.channels} "
            "channels"
        )
    return scores


def _best(group: ChannelGroup, width: int, scores: Tensor) -> Tensor:
    """The ``width`` channels to keep, ascending, in whole blocks: those whose scores have the highest sum."""
    blocks = scores.double().reshape(-1, group.block).sum(1)
    best = blocks.argsort(descending=True, stable=True)[: width // group.block].sort().values
    return (best[:, None] * group.block + torch.arange(group.block)).flatten()


def _find(groups: Groups, name: str) -> ChannelGroup:
    by_name = groups.by_name
    if name not in by_name:
        raise PruneError(f"the model has no channels named {name!r} that can be cut; {nearest(name, by_name)}")
    return by_name[name]


def _check_width(group: ChannelGroup, width: int) -> None:
    if not 0 < width <= group.channels or width % group.block:
        raise PruneError(
            f"layer {group.name!r} cannot have {width} of its {group.channels} channels"
            + (f": they go in runs of {group.block}" if group.block > 1 else "")
        )


def _slice(model: nn.Module, name: str, dim: int, indices: Tensor) -> None:
    """Replace a parameter or buffer by its slices at ``indices``."""
    path, _, attribute = name.rpartition(".")
    module = model.get_submodule(path)
    old = getattr(module, attribute)
    new = old.detach().index_select(dim, indices).contiguous()
    if isinstance(old, nn.Parameter):
        setattr(module, attribute, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(module, attribute, new)


def _resize(module: nn.Module) -> None:
    """Make the module's own account of its channels agree with its tensors."""
    if isinstance(module, _ConvNd):
        before, after = module.weight.shape[:2]
        if module.groups > 1 and module.in_channels == module.out_channels:
            module.groups = module.groups * before // module.out_channels
            after *= module.groups
        elif module.groups > 1:
            return
        if isinstance(module, _ConvTransposeNd):
            before, after = after, before
        module.out_channels, module.in_channels = before, after
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _BatchNorm | _InstanceNorm):
        kept = module.weight if module.weight is not None else module.running_mean
        if kept is not None:
            module.num_features = len(kept)
    elif isinstance(module, nn.GroupNorm) and module.weight is not None:
        if module.num_groups > 1:
            module.num_groups = module.num_groups * len(module.weight) // module.num_channels
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.LayerNorm) and module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.embedding_dim = module.weight.shape[1]


def _verify(small: nn.Module, example: Example, expected: tuple[tuple[int, ...], ...]) -> None:
    """Raise PruneError unless ``small`` runs and its outputs have the shapes ``expected``."""
    with torch.no_grad():
        try:
            actual = shapes(small(*example))
        except Exception as error:
            raise PruneError(f"the cut network does not run: {describe(error)}") from error
    if actual != expected:
        raise PruneError(f"the cut network's outputs have the shapes {list(actual)} instead of {list(expected)}")
