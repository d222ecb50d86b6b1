"""Modules that torch-pruning cannot see through, attention and recurrence: what it is shown in their place.

It reads a network off autograd, where a reshape into heads or a loop over time hides which channels hang together. So it is
shown a linear layer from the module's inputs to its outputs, and what the two mean in terms of the module's tensors is said here.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from joulefront.prune.axes import ChannelGroup


@dataclass(frozen=True, slots=True)
class Call:
    """How a module was called: its arguments and what it returned."""

    args: tuple[Any, ...]
    keywords: dict[str, Any]
    output: Any

    @property
    def first(self) -> Tensor | None:
        """The tensor that was returned, or the first of them; None if there is none."""
        first = self.output[0] if isinstance(self.output, tuple) and self.output else self.output
        return first if isinstance(first, Tensor) else None

    def inputs(self, channels: int) -> list[Tensor]:
        """The different tensors of so many channels, in the last dimension, that the module was given."""
        found = {
            id(value): value
            for value in (*self.args, *self.keywords.values())
            if isinstance(value, Tensor)
            and value.is_floating_point()
            and value.dim() > 1
            and value.shape[-1] == channels
        }
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Slices:
    """One dimension of a tensor of a module, by its name there, and which of its indices each channel owns, (channels, k)."""

    tensor: str
    dim: int
    owned: Tensor
    produces: bool


class StandIn(nn.Module):
    """Has the outputs of a module in shape and dependence, and no more: ``line`` is where its channels begin and end."""

    def __init__(self, whole: nn.Module, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.line = nn.Linear(channels_in, channels_out)
        object.__setattr__(self, "_whole", whole)  # no part of it: its layers are not to be seen

    def __getattr__(self, name: str) -> Any:
        """What a model asks of the module beside calling it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(object.__getattribute__(self, "_whole"), name)


@dataclass(frozen=True, slots=True)
class Opaque:
    """A module that is shown as ``stand_in``.

    ``reads`` and ``writes`` are by the channel of its input and of its output; outputs go in runs of ``block``. A group
    that begins with its outputs is called ``root``. ``fixed`` says why neither can be cut, if so. ``inner`` are channels
    that show neither in its input nor in its output, as heads do; where there are none, ``refused`` says why, by name.
    """

    name: str
    stand_in: StandIn
    reads: tuple[Slices, ...]
    writes: tuple[Slices, ...]
    root: str
    block: int = 1
    fixed: str = ""
    inner: ChannelGroup | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


def shown(model: nn.Module, opaque: Collection[Opaque]) -> nn.Module:
    """A copy of ``model`` with the stand-ins in their places; ``model`` itself where there is none."""
    if not opaque:
        return model
    copied = copy.deepcopy(model)
    for module in opaque:
        path, _, attribute = module.name.rpartition(".")
        setattr(copied.get_submodule(path), attribute, module.stand_in)
    return copied


def columns(size: int) -> Tensor:
    """One index for each of ``size`` channels, (size, 1)."""
    return torch.arange(size)[:, None]
