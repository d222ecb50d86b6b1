"""Which channels of a network hang together: found by torch-pruning's dependency graph, held as plain data.

A group is a set of layers whose channels are coupled: where two convolutions are added, channel i of one cannot go
without channel i of the other, nor without the slices of every later layer that read it (DepGraph; Fang 2023,
arXiv:2301.12900).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from joulefront.errors import PruneError
from joulefront.plugins import describe
from joulefront.prune import attention, recurrent
from joulefront.prune.axes import Axis, ChannelGroup, Example, Groups, shapes
from joulefront.prune.graph import Fixed, Tracing
from joulefront.prune.opaque import Call, Opaque, shown
from joulefront.prune.resize import projections
from joulefront.space_records import inside

__all__ = ["Axis", "ChannelGroup", "Example", "Groups", "find_groups", "shapes"]


def find_groups(model: nn.Module, example: Example) -> Groups:
    """The groups of coupled channels of ``model``, which is left as it is.

    Channels are those of convolutions and linear layers, the heads of attentions (in runs of a head's channels) and the hidden
    units of recurrent layers. Raises PruneError when the network cannot be traced.
    """
    run = _run(model, example)
    if not run.order:
        return Groups((), {}, run.outputs)
    opaque = {name: found for name, call in run.calls.items() if (found := _opaque(model, name, call))}
    whole = shown(model, list(opaque.values()))
    sizes = {name: tensor.shape for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    tracing = Tracing(whole, example, opaque, sizes)
    groups: list[ChannelGroup] = []
    fixed: dict[str, str] = {}
    for name in run.order:
        module = next((opaque[owner] for owner in opaque if inside(name, [owner])), None)
        if module and module.inner and module.inner not in groups:
            groups.append(module.inner)
        fixed |= module.refused if module else {}
        try:
            layer, root = (module.stand_in.line, module.root) if module else (whole.get_submodule(name), name)
            if group := tracing.group(layer, root):
                groups.append(group)
        except Fixed as reason:
            fixed[root] = str(reason)
        except Exception as error:
            raise PruneError(f"the channels coupled to layer {name!r} cannot be found: {describe(error)}") from error
    return Groups(tuple(_disjoint(groups, fixed)), fixed, run.outputs)


@dataclass(frozen=True, slots=True)
class _Run:
    """A forward pass: the layers in the order in which it first called them, how attentions and recurrent layers were called
    first, and the shapes of what it returned."""

    order: list[str]
    calls: dict[str, Call]
    outputs: tuple[tuple[int, ...], ...]


def _run(model: nn.Module, example: Example) -> _Run:
    order: dict[str, None] = {}
    calls: dict[str, Call] = {}
    names = {module: name for name, module in model.named_modules()}
    hidden = [module for module in names if isinstance(module, recurrent.KINDS) or projections(module)]
    layers = [module for module in names if isinstance(module, _ConvNd | nn.Linear) or module in hidden]

    def note(module: nn.Module, _inputs: object) -> None:
        order.setdefault(names[module])

    def record(module: nn.Module, args: tuple[object, ...], keywords: dict[str, object], output: object) -> None:
        calls.setdefault(names[module], Call(args, keywords, output))

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    hooks += [module.register_forward_hook(record, with_kwargs=True) for module in hidden]
    try:
        with torch.no_grad():
            outputs = model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return _Run(list(order), calls, shapes(outputs))


def _opaque(model: nn.Module, name: str, call: Call) -> Opaque | None:
    module = model.get_submodule(name)
    return recurrent.opaque(name, module, call) or attention.opaque(name, module, call)


def _disjoint(groups: list[ChannelGroup], fixed: dict[str, str]) -> list[ChannelGroup]:
    """The groups that share no index of any tensor with another one; the others go to ``fixed``.

    Coupled channels that overlap would be one group: where they do, torch-pruning lost its way (as it does where a
    concatenation is flattened).
    """
    owners: dict[tuple[str, int], Tensor] = {}
    clashes: dict[str, str] = {}
    for number, group in enumerate(groups):
        for axis in group.axes:
            owner = owners.setdefault((axis.tensor, axis.dim), torch.full((axis.size,), -1))
            for other in torch.unique(owner[axis.owned]).tolist():
                if other not in (-1, number):
                    clashes[groups[other].name], clashes[group.name] = group.name, groups[other].name
            owner[axis.owned] = number
    fixed |= {name: f"torch-pruning mixes its channels up with those of {other!r}" for name, other in clashes.items()}
    return [group for group in groups if group.name not in clashes]
