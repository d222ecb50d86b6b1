"""A batch through a model."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from joulefront.errors import ConfigError


def forward(model: nn.Module, inputs: Any, *, channels_last: bool = False, place: str = "cpu") -> Tensor:
    """The model's output for a batch: one tensor, or a sequence of them for a model of several inputs.

    ``place`` is the device that the model is on. Raises ConfigError when it returns anything but one tensor.
    """
    several = inputs if isinstance(inputs, tuple | list) else (inputs,)
    if place != "cpu":
        several = [x.to(place) for x in several]
    if channels_last:
        several = [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in several]
    outputs = model(*several)
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"the model returns {type(outputs).__name__}: only models of one output tensor can be trained"
        )
    return outputs


def set_layout(model: nn.Module, layout: torch.memory_format) -> None:
    """Store the model's 4-d weights in ``layout``."""
    cast(Any, model).to(memory_format=layout)
