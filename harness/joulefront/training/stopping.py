"""Ending training when it no longer helps, by examples that are held out of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from joulefront.errors import ConfigError
from joulefront.protocols import Task
from joulefront.training.data import load_batch
from joulefront.training.forward import forward

_SHARE, _LEAST = 0.1, 2


def held_out(dataset: Dataset[Any], seed: int) -> tuple[Tensor, Tensor]:
    """Which examples of the train split are trained on, and which tenth of them is held out: (n,) and (m,).

    Drawn by ``seed``. The validation split is not for this: it judges candidates against one another, and would flatter
    those that were stopped by it. Raises ConfigError when there are too few to hold any out.
    """
    size = len(dataset)  # type: ignore[arg-type]  # a map-style dataset has a length; torch's base class does not say so
    count = round(_SHARE * size)
    if count < 1 or size - count < _LEAST:
        raise ConfigError(f"early stopping holds a tenth of the train split out, and that has {size} examples: too few")
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    return order[count:].sort().values, order[:count].sort().values


class Best:
    """The best weights so far, by the mean loss on held-out examples; ``patience`` is how many looks without a better one
    it takes to give up."""

    def __init__(self, task: Task, dataset: Dataset[Any], examples: Tensor, patience: int, batch_size: int) -> None:
        self._task, self._patience = task, patience
        self._dataset, self._batches = dataset, torch.split(examples, batch_size)
        self.forget()

    def forget(self) -> None:
        """Begin anew: what the network was until now is none that can be had again."""
        self._loss, self._weights, self._since = float("inf"), dict[str, Tensor](), 0

    def look(self, model: nn.Module, *, place: str) -> bool:
        """Judge ``model``; returns whether it is time to give up. Leaves it in train mode."""
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in self._batches:
                inputs, targets = load_batch(self._dataset, batch)
                outputs = forward(model, inputs, place=place).float()
                total += float(self._task.loss(outputs, targets.to(place))) * len(batch)
                count += len(batch)
        model.train()
        if total / count < self._loss:
            self._loss, self._since = total / count, 0
            self._weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        else:
            self._since += 1
        return self._since >= self._patience

    def restore(self, model: nn.Module) -> None:
        """Give ``model``, in place, the best weights; without any look it stays as it is."""
        if self._weights:
            model.load_state_dict(self._weights)
