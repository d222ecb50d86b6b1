"""Weights that are zero and stay so while the others are trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from joulefront.errors import ConfigError

Masks = Mapping[str, Tensor]
"""By a parameter's name, a bool tensor of its shape: true where it is zero and stays so."""


class Zeros:
    """Keeps to ``masks`` while ``optimizer`` trains ``model``: what they name is zero from now on, its momentum too.

    Raises ConfigError for a name or a shape that is not the model's.
    """

    def __init__(self, model: nn.Module, masks: Masks | None, optimizer: torch.optim.Optimizer | None = None) -> None:
        self._optimizer = optimizer
        parameters = dict(model.named_parameters(remove_duplicate=False))
        self._kept: list[tuple[nn.Parameter, Tensor]] = []
        for name, mask in (masks or {}).items():
            parameter = parameters.get(name)
            if parameter is None or parameter.shape != mask.shape:
                what = "is none of its parameters" if parameter is None else f"has the shape {tuple(parameter.shape)}"
                raise ConfigError(f"masks: {name!r} {what}, so it cannot have a mask of the shape {tuple(mask.shape)}")
            self._kept.append((parameter, mask.to(parameter.device)))
        self.restore()

    def restore(self) -> None:
        """Set to zero again what the last step has moved."""
        with torch.no_grad():
            for parameter, mask in self._kept:
                parameter.masked_fill_(mask, 0.0)
                state = self._optimizer.state.get(parameter, {}) if self._optimizer else {}
                if (momentum := state.get("momentum_buffer")) is not None:
                    momentum.masked_fill_(mask, 0.0)
