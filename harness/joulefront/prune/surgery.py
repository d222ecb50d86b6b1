"""Cutting a network down: blocks taken out, channels, heads and hidden units cut."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from joulefront.errors import PruneError
from joulefront.plugins import describe
from joulefront.problems import nearest
from joulefront.protocols import Criterion
from joulefront.prune.axes import evaluating, kept_indices
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.groups import ChannelGroup, Example, Groups, find_groups, shapes
from joulefront.prune.resize import slice_all
from joulefront.space_records import Pruning


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
    return shrink(model, example, groups, kept_channels(pruning, criterion, groups, evidence), pruning.dropped)


def kept_channels(pruning: Pruning, criterion: Criterion, groups: Groups, evidence: Evidence) -> dict[str, Tensor]:
    """The channels of each group that is cut, ascending, that ``cut`` keeps of the model of the ``groups`` and ``evidence``.

    Raises as ``cut``.
    """
    return {
        group.name: _best(group, width, score(evidence.group(group.name), criterion))
        for group, width in _chosen(groups, pruning)
        if width < group.channels
    }


def cut_to(model: nn.Module, example: Example, pruning: Pruning, *, groups: Groups | None = None) -> nn.Module:
    """A copy of ``model`` of the shapes that ``pruning`` leaves, with the first channels of each group: a place for weights.

    Raises PruneError as ``cut``.
    """
    groups = groups or find_groups(model, example)
    keep = {group.name: torch.arange(width) for group, width in _chosen(groups, pruning)}
    return shrink(model, example, groups, keep, pruning.dropped)


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
    small = _drop(evaluating(model), dropped)
    small = slice_all(small, kept_indices(groups.without(dropped), keep))
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


def _verify(small: nn.Module, example: Example, expected: tuple[tuple[int, ...], ...]) -> None:
    """Raise PruneError unless ``small`` runs and its outputs have the shapes ``expected``."""
    with torch.no_grad():
        try:
            actual = shapes(small(*example))
        except Exception as error:
            raise PruneError(f"the cut network does not run: {describe(error)}") from error
    if actual != expected:
        raise PruneError(f"the cut network's outputs have the shapes {list(actual)} instead of {list(expected)}")
