"""Attention: its heads as channels, where cutting one is tried on the module itself and leaves what the others compute.

How a module lays out its heads is not read off its class: the usual layouts are tried, and the one stays with which a module
that lost a head gives what the whole one gives with that head silenced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from joulefront.prune.axes import Axis, ChannelGroup, Groups, evaluating, kept_indices
from joulefront.prune.opaque import Call, Opaque, Slices, StandIn, columns
from joulefront.prune.resize import Projections, projections, slice_all


def opaque(name: str, module: nn.Module, call: Call) -> Opaque | None:
    """The attention ``module``, called so; None for a module that does not look like one, or is no line from in to out."""
    found = projections(module)
    if found is None or not (inputs := call.inputs(found.channels)) or call.first is None:
        return None
    if call.first.shape[:-1] != inputs[0].shape[:-1]:
        return None
    reads = list(_read(module, found))
    first = f"{name}.{found.into[0]}" if found.into else name
    group, reason = _heads(first, module, found, call)
    if not found.out:  # what follows reads the heads themselves
        writes = tuple(Slices(axis.tensor, axis.dim, axis.owned, axis.produces) for axis in group.axes) if group else ()
        stand_in = _Attention(module, found.channels, found.total, call)
        return Opaque(name, stand_in, tuple(reads), writes, first, found.size, reason)
    out = module.get_submodule(found.out)
    writes = tuple(_written(found.out, out))
    wide = int(out.out_features)  # type: ignore[arg-type]
    fixed = "" if _widths_can_change(module, call, inputs, reads, writes) else f"{name!r} counts on its width"
    if group:
        group = ChannelGroup(
            group.name,
            group.channels,
            group.block,
            tuple(Axis(f"{name}.{a.tensor}", a.dim, a.size, a.owned, a.produces) for a in group.axes),
        )
    return Opaque(
        name,
        _Attention(module, found.channels, wide, call),
        tuple(reads),
        writes,
        f"{name}.{found.out}",
        fixed=fixed,
        inner=group,
        refused={} if group else {first: reason},
    )


class _Attention(StandIn):
    """What an attention looks like: all that it is given, mixed, in the shapes that it returned."""

    def __init__(self, whole: nn.Module, channels_in: int, channels_out: int, call: Call) -> None:
        super().__init__(whole, channels_in, channels_out)
        self._channels = channels_in
        self._others = call.output[1:] if isinstance(call.output, tuple) else None

    def forward(self, *args: Any, **keywords: Any) -> Any:
        first, *others = Call(args, keywords, None).inputs(self._channels)
        y = self.line(first)
        for other in others:
            y = y + self.line(other).mean()
        return y if self._others is None else (y, *self._others)


def _read(module: nn.Module, found: Projections) -> Iterator[Slices]:
    """What each input channel owns: in the projections, and in what gates the heads."""
    owned, gates = columns(found.channels), {(found.total, found.channels), (found.total * 3, found.channels)}
    for name, tensor in module.named_parameters():
        if name.rpartition(".")[0] != found.out and tuple(tensor.shape) in gates:
            yield Slices(name, 1, owned, False)


def _into(module: nn.Module, found: Projections, kind: str) -> list[str]:
    """The names of the weights, or of the biases, that make queries, keys and values."""
    names = [f"{layer}.{kind}" for layer in found.into] or [f"in_proj_{kind}"]
    tensors = dict(module.named_parameters())
    return [name for name in names if name in tensors]


def _written(name: str, layer: nn.Module) -> Iterator[Slices]:
    """What each output channel of a linear layer owns."""
    owned = columns(int(layer.out_features))  # type: ignore[arg-type]
    yield Slices(f"{name}.weight", 0, owned, True)
    if layer.bias is not None:
        yield Slices(f"{name}.bias", 0, owned, True)


def _heads(name: str, module: nn.Module, found: Projections, call: Call) -> tuple[ChannelGroup | None, str]:
    """The group of the heads, its tensors named as in the module; or None and why not."""
    if found.heads == 1:
        return None, "it has a single head"
    for rows in _layouts(found):
        group = ChannelGroup(name, found.total, found.size, tuple(_head_axes(module, found, rows)))
        if _works(module, found, group, call):
            return group, ""
    return None, "its forward does not work with fewer heads"


def _layouts(found: Projections) -> Iterator[Tensor]:
    """Which rows of a projection the channels of the heads may be, (channels, copies): all queries first, or head by head."""
    rows = torch.arange(found.total * found.copies)
    yield rows.reshape(found.copies, found.total).T
    if found.copies > 1:
        yield rows.reshape(found.heads, found.copies, found.size).transpose(1, 2).reshape(-1, found.copies)


def _head_axes(module: nn.Module, found: Projections, rows: Tensor) -> Iterator[Axis]:
    """All that the channels of the heads own, also in tables that have one entry for each head."""
    channels, of_heads = columns(found.total), columns(found.total) // found.size
    made = {*_into(module, found, "weight"), *_into(module, found, "bias")}
    norms = {name for name, part in module.named_modules() if type(part).__name__.endswith("Norm")}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        owner = name.rpartition(".")[0]
        if name in made:
            yield Axis(name, 0, len(tensor), rows, True)
        elif found.out and owner == found.out:
            if tensor.dim() > 1:
                yield Axis(name, 1, found.total, channels, False)
        elif owner not in norms and tensor.dim():
            sizes = list(tensor.shape[:1] if isinstance(module.get_submodule(owner), nn.Linear) else tensor.shape)
            if found.total in sizes:
                yield Axis(name, sizes.index(found.total), found.total, channels, True)
            elif found.heads in sizes:
                yield Axis(name, sizes.index(found.heads), found.heads, of_heads, False)


def _works(module: nn.Module, found: Projections, group: ChannelGroup, call: Call) -> bool:
    """Whether the module without its first head gives what it gives with that head silenced."""
    keep = torch.arange(found.total)[found.size :]
    silenced = evaluating(module)
    with torch.no_grad():
        if found.out:
            weight = silenced.get_submodule(found.out).weight
            assert isinstance(weight, Tensor)
            weight[:, : found.size] = 0
        kept = kept_indices(Groups((group,), {}, ()), {group.name: keep})
        cut, expected = _tried(slice_all(evaluating(module), kept), call), _tried(silenced, call)
    if expected is not None and not found.out:
        expected = expected[..., keep]
    return _agree(cut, expected)


def _widths_can_change(
    module: nn.Module, call: Call, inputs: list[Tensor], reads: list[Slices], writes: tuple[Slices, ...]
) -> bool:
    """Whether the module with half of its inputs and outputs gives what the whole one makes of these inputs."""
    half_in, half_out = (torch.arange(len(side[0].owned))[1::2] for side in (reads, writes))
    kept = {(part.tensor, part.dim): part.owned[half_in].flatten() for part in reads}
    kept |= {(part.tensor, part.dim): part.owned[half_out].flatten() for part in writes}
    narrow = {id(x): x[..., half_in] for x in inputs}
    zeroed = {id(x): torch.zeros_like(x).index_copy(-1, half_in, x[..., half_in]) for x in inputs}
    with torch.no_grad():
        cut = _tried(slice_all(evaluating(module), kept), _with(call, narrow))
        expected = _tried(evaluating(module), _with(call, zeroed))
    return _agree(cut, None if expected is None else expected[..., half_out])


def _with(call: Call, tensors: dict[int, Tensor]) -> Call:
    """The call with other tensors in the place of those of these identities."""
    return Call(
        tuple(tensors.get(id(value), value) for value in call.args),
        {name: tensors.get(id(value), value) for name, value in call.keywords.items()},
        None,
    )


def _tried(module: nn.Module, call: Call) -> Tensor | None:
    """What the module returns first; None where it does not run."""
    try:
        return Call((), {}, module(*call.args, **call.keywords)).first
    except Exception:  # noqa: BLE001 -- what a user's module says is why it is left alone
        return None


def _agree(first: Tensor | None, second: Tensor | None) -> bool:
    return (
        first is not None
        and second is not None
        and first.shape == second.shape
        and torch.allclose(first, second, rtol=1e-3, atol=1e-5)
    )
