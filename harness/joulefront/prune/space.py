"""What a search may choose from: the legal widths of every group of coupled channels, and what else may be pruned."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from joulefront.errors import ConfigError, PruneError
from joulefront.problems import nearest
from joulefront.prune.axes import touches
from joulefront.prune.blocks import find_blocks
from joulefront.prune.genes import (
    MOST_GENES,
    Shared,
    block_genes,
    criterion_genes,
    sparsity_genes,
    width_genes,
)
from joulefront.prune.groups import ChannelGroup, Example, Groups, find_groups
from joulefront.prune.surgery import shrink
from joulefront.space_records import Space, inside

_LEAST_MULTIPLE = 4


def find_space(
    model: nn.Module,
    example: Example,
    *,
    multiple: int,
    floor: float,
    floors: Mapping[str, float] = MappingProxyType({}),
    exclude: Sequence[str] = (),
    least_widths: int = 1,
    shared: Shared = "auto",
    blocks: bool | Sequence[str] = False,
    sparsity: Sequence[float] = (),
    criteria: Sequence[str] = (),
    own_criterion: str = "l2",
) -> Space:
    """Genes for the widths of groups of coupled channels, in the order of execution, named after the group's first layer.

    The legal widths are the multiples of ``multiple`` (of how many floats a vector of the target holds: facts say that
    other widths waste lanes) from the share ``floor`` of the full width up, and the full width itself. A layer that has
    fewer than ``least_widths`` of them gets finer ones (see ``legal_widths``). Left alone are the layers whose channels
    are the model's output, those named in ``exclude`` (with whatever they are coupled to), and groups with a single
    legal width. Every group is cut once, to its smallest width, to see that the network works. ``floors`` gives the layers
    below a name a floor of their own; ``shared`` says which have a gene together (``genes.together``). After the widths come
    residual ``blocks`` that may be taken out (all of them, or those named), shares of single weights that may be zero
    (``sparsity``), and the ``criteria`` to choose from beside the study's own.

    Raises ConfigError for a name that the model does not have, and PruneError when torch.export does not take the
    model, when nothing can be pruned, or when a cut breaks the network (the message says which name to exclude).
    """
    layers = {name for name, _ in model.named_modules() if name}
    for key, names in (("exclude", exclude), ("floors", floors)):
        for name in names:
            if name not in layers:
                raise ConfigError(f"space.{key}: the model has no layer {name!r}; {nearest(name, layers)}")
    for name in exclude:
        if not any(True for _ in model.get_submodule(name).parameters()):
            raise ConfigError(f"space.exclude: layer {name!r} has no weights, so there is nothing to leave alone")
    export(model, example)
    found = find_groups(model, example)
    groups = [group for group in found.groups if not touches(group, exclude)]
    widths = {
        group.name: legal_widths(group, multiple, _floor_of(group.name, floors, floor), least_widths)
        for group in groups
    }
    widths = {name: legal for name, legal in widths.items() if len(legal) > 1}
    _try_each(model, example, found, widths)
    choices = block_genes(_blocks(model, example, found, blocks, exclude))
    room = MOST_GENES - len(choices) - bool(sparsity) - bool(criteria)
    genes = [*width_genes(widths, shared, room), *choices]
    if sparsity:
        genes += sparsity_genes(_layers(model, exclude), sparsity, shared, MOST_GENES - len(genes) - bool(criteria))
    if not genes:
        raise PruneError(f"nothing in the model can be cut: {_reason(found, groups, multiple, floor)}")
    return Space((*genes, *criterion_genes(criteria, own_criterion)))


def legal_widths(group: ChannelGroup, multiple: int, floor: float, least_widths: int = 1) -> tuple[int, ...]:
    """The widths that ``group`` may have, ascending; the last one is its full width.

    Where there are fewer than ``least_widths``, the multiple is halved, but not below 4: a narrow layer that fills half a
    vector beats one that cannot be pruned at all.
    """
    step = math.lcm(multiple, group.block)
    # The tolerance is for a floor such as 0.3 of 10 channels, which is 3 and not a rounding error above it.
    smallest = max(math.ceil(floor * group.channels - 1e-9), step)
    first = math.ceil(smallest / step) * step
    widths = (*range(first, group.channels, step), group.channels)
    if len(widths) < least_widths and multiple >= 2 * _LEAST_MULTIPLE and multiple % 2 == 0:
        return legal_widths(group, multiple // 2, floor, least_widths)
    return widths


def export(model: nn.Module, example: Example) -> torch.export.ExportedProgram:
    """What torch.export makes of ``model``. Raises PruneError, with the reason in one line, when it does not take it."""
    level = logging.root.manager.disable
    # What torch says meanwhile is about its internals, and pages long: what a user has to know is in the exception.
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            return torch.export.export(model, example)
        except Exception as error:
            # Its reports go on for pages behind the first paragraph.
            reason = str(error).strip().split("\n\n")[0]
            raise PruneError(
                f"torch.export does not take the model: {type(error).__name__}: {' '.join(reason.split())}"
            ) from error
        finally:
            logging.disable(level)


def _floor_of(name: str, floors: Mapping[str, float], floor: float) -> float:
    """The floor of the nearest name that has one of its own."""
    above = [prefix for prefix in floors if inside(name, [prefix])]
    return floors[max(above, key=len)] if above else floor


def _layers(model: nn.Module, exclude: Sequence[str]) -> list[str]:
    """The convolutions and linear layers that are not excluded, less those whose weights are computed (weight_norm).

    Raises ConfigError when there is none.
    """
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, _ConvNd | nn.Linear)
        and "weight" in dict(module.named_parameters(recurse=False))
        and not inside(name, exclude)
    ]
    if not found:
        raise ConfigError(
            "space.sparsity: there is no convolution or linear layer that is not excluded and has weights of its own, "
            "which weight_norm takes from it: leave sparsity out"
        )
    return found


def _blocks(
    model: nn.Module, example: Example, groups: Groups, wanted: bool | Sequence[str], exclude: Sequence[str]
) -> list[str]:
    """The residual blocks that a search may take out. Raises ConfigError for one that is wanted and is none."""
    if wanted is False or wanted == ():
        return []
    found = [name for name in find_blocks(model, example, groups) if not inside(name, exclude)]
    if wanted is True:
        return found
    for name in wanted:
        if name not in found:
            raise ConfigError(
                f"space.blocks: {name!r} is no residual block that can be taken out; {nearest(name, found)}"
            )
    return [name for name in found if name in wanted]


def _try_each(model: nn.Module, example: Example, groups: Groups, widths: Mapping[str, tuple[int, ...]]) -> None:
    """Cut each group alone to its smallest width: a coupling that was missed shows when only one side is cut."""
    broken: dict[str, PruneError] = {}
    for name, legal in widths.items():
        # From the end, so that a cut which only works where the first channels are kept does not pass.
        keep = torch.arange(legal[-1])[-legal[0] :]
        try:
            shrink(model, example, groups, {name: keep})
        except PruneError as error:
            broken[name] = error
    if broken:
        name, first = next(iter(broken.items()))
        raise PruneError(
            f"layer {name!r} cannot be cut: {first}. To leave alone what cannot be cut, set "
            f"exclude = {json.dumps(list(broken))} in [space]"
        ) from first


def _reason(found: Groups, groups: Sequence[ChannelGroup], multiple: int, floor: float) -> str:
    """Why there is no gene."""
    if groups:
        widest = max(groups, key=lambda group: group.channels)
        return (
            f"no layer has a second legal width (multiples of {multiple}, at least {floor:g} of the full width; the "
            f"widest layer, {widest.name!r}, has {widest.channels} channels)"
        )
    if found.groups:
        return "space.exclude leaves no layer"
    if found.fixed:
        return "; ".join(f"{name!r}: {reason}" for name, reason in found.fixed.items())
    return "it has no convolution or linear layer"
