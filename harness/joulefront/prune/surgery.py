"""Cutting a network down to chosen widths."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from joulefront.config import nearest
from joulefront.errors import PruneError
from joulefront.plugins import describe
from joulefront.protocols import Criterion
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.groups import ChannelGroup, Example, Groups, find_groups, shapes
from joulefront.records import Pruning


def cut(
    model: nn.Module,
    example: Example,
    pruning: Pruning,
    criterion: Criterion,
    *,
    groups: Groups | None = None,
    evidence: Evidence | None = None,
) -> nn.Module:
    """A copy of ``model`` without the blocks and, of each group, the channels that ``pruning`` takes away.

    The channels of the highest score stay. All scores come from the uncut model, so that no group's outcome depends on
    another's; of equal scores the first channel is kept. The copy is in eval mode and gives outputs of the same shape.
    ``groups``, what ``find_groups`` says of the model, saves finding them again (0.1 to 1 s). ``evidence`` of the model is
    for criteria that take data, and keeps what they saw for the next cut. Single weights (``pruning.sparsity``) are not
    zeroed here.

    Raises PruneError when the pruning is of another model, a score is no number, or the cut network does not work, and
    ConfigError when the criterion cannot judge a group that is cut.
    """
    groups = groups or find_groups(model, example)
    evidence = evidence or Evidence(model, None, example, groups)
    keep = {
        group.name: _best(group, width, score(evidence.group(group.name), criterion))
        for group, width in _chosen(groups, pruning)
        if width < group.channels
    }
    return shrink(model, example, groups, keep, pruning.dropped)


def cut_to(model: nn.Module, example: Example, pruning: Pruning, *, groups: Groups | None = None) -> nn.Module:
    """A copy of ``model`` of the shapes that ``pruning`` leaves, with the first channels of each group: a place for weights.

    Raises PruneError as ``cut``.
    """
    groups = groups or find_groups(model, example)
    keep = {group.name: torch.arange(width) for group, width in _chosen(groups, pruning)}
    return shrink(model, example, groups, keep, pruning.dropped)


def cut_to_widths(
    model: nn.Module, example: Example, widths: Mapping[str, int], *, groups: Groups | None = None
) -> nn.Module:
    """As ``cut_to``, where only channels go."""
    return cut_to(model, example, Pruning(widths), groups=groups)


def drop(model: nn.Module, names: Collection[str]) -> nn.Module:
    """A copy of ``model`` with nn.Identity in the place of the modules ``names``; whether it runs is not looked at.

    Raises PruneError for a name that the model does not have.
    """
    return _drop(copy.deepcopy(model), names)


def shrink(
    model: nn.Module, example: Example, groups: Groups, keep: Mapping[str, Tensor], dropped: Collection[str] = ()
) -> nn.Module:
    """A copy of ``model`` with only the channels ``keep``, ascending, of each group named there, and all of the others.

    Without the blocks ``dropped``, if any; groups that went with them may be named in ``keep``. The copy is in eval mode.
    Raises PruneError when the cut network does not run, or its outputs have another shape.
    """
    small = _drop(copy.deepcopy(model).eval(), dropped)
    kept: dict[tuple[str, int], Tensor] = {}
    by_name = groups.without(dropped).by_name
    for name, channels in keep.items():
        for axis in by_name[name].axes if name in by_name else ():
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


def _chosen(groups: Groups, pruning: Pruning) -> list[tuple[ChannelGroup, int]]:
    """The groups that ``pruning`` decides on and their widths, without those that go with a block."""
    left = groups.without(pruning.dropped).by_name
    for name, width in pruning.widths.items():
        _check_width(_find(groups, name), width)
    return [(left[name], width) for name, width in pruning.widths.items() if name in left]


def _drop(model: nn.Module, names: Collection[str]) -> nn.Module:
    """``model`` itself, with nn.Identity in the place of the modules ``names``."""
    modules = {name for name, _ in model.named_modules() if name}
    for name in names:
        if name not in modules:
            raise PruneError(f"the model has no block {name!r}; {nearest(name, modules)}")
    for name in names:
        path, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(path), attribute, nn.Identity())
    return model


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
