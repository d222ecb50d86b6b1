"""Groups of coupled channels as plain data: which indices of which tensors each channel owns."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from joulefront.space_records import inside

Example = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of one parameter or buffer, ``size`` long, and which of its indices each channel of a group owns.

    ``owned`` is (channels, k): removing channel i removes the indices ``owned[i]``. Channels that go together may own an
    index together. ``produces`` tells the side that writes the channel (a convolution's filters, a BatchNorm's scale) from the
    side that reads it.
    """

    tensor: str
    dim: int
    size: int
    owned: Tensor
    produces: bool

    def left(self, width: int) -> int:
        """How long the dimension is when ``width`` channels are left."""
        channels = len(self.owned)
        return self.size - len(set(self.owned.flatten().tolist())) * (channels - width) // channels


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Coupled channels. ``name`` is the first of its layers in the order of execution.

    Channels go in runs of ``block`` neighbours, 1 but where a grouped convolution or a GroupNorm holds them together, or an
    attention: there a run is a head.
    """

    name: str
    channels: int
    block: int
    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups of a network: those that can be cut, in the order of execution, and why the others cannot.

    ``fixed`` maps the name of each layer that starts a group which is left alone to the reason.
    ``outputs`` are the shapes of the network's outputs.
    """

    groups: tuple[ChannelGroup, ...]
    fixed: dict[str, str]
    outputs: tuple[tuple[int, ...], ...]

    @property
    def by_name(self) -> dict[str, ChannelGroup]:
        """The groups that can be cut, by their names."""
        return {group.name: group for group in self.groups}

    def without(self, dropped: Collection[str]) -> Groups:
        """What is left of the groups when the modules named ``dropped`` are taken out, by the same names.

        Their axes go, and so do the groups that lay in these modules alone.
        """
        if not dropped:
            return self
        left = [
            replace(group, axes=tuple(axis for axis in group.axes if not inside(axis.tensor, dropped)))
            for group in self.groups
        ]
        return replace(self, groups=tuple(group for group in left if group.axes))


NO_GROUPS = Groups((), {}, ())
"""For what is about single weights alone."""


def kept_indices(groups: Groups, keep: Mapping[str, Tensor]) -> dict[tuple[str, int], Tensor]:
    """Which indices stay of each dimension of each tensor when the channels ``keep``, by group, stay; ascending."""
    masks: dict[tuple[str, int], Tensor] = {}
    by_name = groups.by_name
    for name, channels in keep.items():
        for axis in by_name[name].axes if name in by_name else ():
            mask = masks.setdefault((axis.tensor, axis.dim), torch.ones(axis.size, dtype=torch.bool))
            mask[axis.owned.flatten()] = False
            mask[axis.owned[channels].flatten()] = True
    return {key: mask.nonzero().flatten() for key, mask in masks.items()}


def touches(group: ChannelGroup, exclude: Collection[str]) -> bool:
    """Whether the group would cut the output side of an excluded layer, or of a layer inside an excluded module."""
    return any(axis.produces and inside(axis.tensor, exclude) for axis in group.axes)


def evaluating(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in eval mode."""
    copied = copy.deepcopy(model)
    copied.eval()  # a user's own may return something else than the model
    return copied


def shapes(outputs: object) -> tuple[tuple[int, ...], ...]:
    """The shapes of all tensors in a model's outputs."""
    if isinstance(outputs, Tensor):
        return (tuple(outputs.shape),)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        return tuple(shape for part in outputs for shape in shapes(part))
    return ()
