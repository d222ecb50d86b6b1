"""Batches of examples, out of any map-style dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate

from joulefront.errors import ConfigError
from joulefront.protocols import Task


def load_batch(dataset: Dataset[Any], indices: Tensor) -> tuple[Any, Tensor]:
    """The examples at ``indices``, (n,), of any map-style dataset: inputs (n, …) and targets (n, …)."""
    if type(dataset) is TensorDataset:  # a subclass may do more than look up
        inputs, targets = (tensor[indices] for tensor in dataset.tensors)
        return inputs, targets
    wanted = indices.tolist()
    if hasattr(dataset, "__getitems__"):  # torch's protocol for a whole batch at a time
        examples: Sequence[Any] = dataset.__getitems__(wanted)
    else:
        examples = [dataset[index] for index in wanted]
    inputs, targets = default_collate(list(examples))
    return inputs, targets


def shuffled(
    dataset: Dataset[Any], batch_size: int, seed: int, count: int, *, among: Tensor | None = None
) -> Iterator[tuple[Any, Tensor]]:
    """``count`` batches: epoch after epoch, each in an order of its own, incomplete last batches left out.

    They are of the examples at ``among``, (n,), where that is given, else of all.
    """
    generator = torch.Generator().manual_seed(seed)
    size = len(dataset) if among is None else len(among)  # type: ignore[arg-type]  # a map-style dataset has a length; torch's base class does not say so
    while True:
        order = torch.randperm(size, generator=generator)
        complete = max(size // batch_size * batch_size, min(size, batch_size))
        for batch in torch.split(order[:complete], batch_size):
            if count == 0:
                return
            yield load_batch(dataset, batch if among is None else among[batch])
            count -= 1


def split_of(task: Task, name: Literal["train", "validation", "test"]) -> Any:
    """A split that is there and not empty. Raises ConfigError."""
    dataset = getattr(task, name)
    if dataset is None:
        raise ConfigError(f"the task has no {name} split: set its attribute {name!r} to a dataset of (input, target)")
    if len(dataset) == 0:
        raise ConfigError(f"the task's {name} split is empty")
    return dataset
