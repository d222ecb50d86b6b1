"""What a user hands over: a model, its input, and the data to retrain and judge it; and the check that it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from joulefront import protocols
from joulefront.errors import ConfigError
from joulefront.plugins import describe
from joulefront.training import load_batch
from joulefront.training.macro import is_classification


@dataclass(frozen=True, eq=False)
class Task:
    """A classifier and its data; override ``loss`` and ``metric`` for anything else.

    ``example`` is one input tensor or a sequence of them, batch dimension first. The splits are map-style datasets of
    ``(input, target)``; a model that is only measured needs none of them.
    """

    model: nn.Module
    example: tuple[Tensor, ...]
    train: Dataset[Any] | None = None
    validation: Dataset[Any] | None = None
    test: Dataset[Any] | None = None

    def __post_init__(self) -> None:
        example: object = self.example
        object.__setattr__(self, "example", (example,) if isinstance(example, Tensor) else tuple(self.example))
        if isinstance(self.model, nn.Module):
            self.model.eval()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits (n, classes) and class numbers (n,)."""
        return F.cross_entropy(outputs, targets)

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """Top-1 accuracy of logits (n, classes) and class numbers (n,)."""
        return float((outputs.argmax(1) == targets).double().mean())


def check(task: object, *, needs_data: bool) -> protocols.Task:
    """``task`` if it keeps to ``protocols.Task``, its model set to eval mode.

    The model is run once on the example, and with ``needs_data`` one example of each split is looked at. Raises
    ConfigError, one sentence that says what is wrong.
    """
    missing = [name for name in _ATTRIBUTES if not hasattr(task, name)]
    if missing:
        raise ConfigError(
            f"the task, a {type(task).__name__}, has no {', '.join(missing)}: return a joulefront.tasks.task.Task, "
            "or an object with the attributes and methods of joulefront.protocols.Task"
        )
    assert isinstance(task, protocols.Task)
    if not isinstance(task.model, nn.Module):
        raise ConfigError(f"task.model: expected a torch.nn.Module, not {type(task.model).__name__}")
    example = task.example
    if not isinstance(example, tuple) or not example or not all(isinstance(part, Tensor) for part in example):
        raise ConfigError("task.example: expected a tuple of tensors, one for each input of the model")
    if any(part.dim() == 0 for part in example):
        raise ConfigError("task.example: expected the batch dimension first, but a tensor has no dimension")
    odd = {str(p.dtype) for p in task.model.parameters() if p.dtype != torch.float32}
    if odd:
        raise ConfigError(f"task.model: expected float32 weights, not {', '.join(sorted(odd))}: call model.float()")
    task.model.eval()
    try:
        with torch.no_grad():
            output = task.model(*example)
    except Exception as error:
        raise ConfigError(f"task.model fails on task.example: {describe(error)}") from error
    if needs_data:
        if not isinstance(output, Tensor):
            raise ConfigError(f"task.model returns {type(output).__name__}: expected one tensor")
        for name in ("train", "validation", "test"):
            _check_split(name, getattr(task, name), example)
        _check_judgement(task)
    return task


def check_classifier(task: protocols.Task, asked: Sequence[str]) -> None:
    """Raise ConfigError unless the task is a classifier, where quantities are ``asked`` that only one has."""
    if not asked:
        return
    outputs, targets = _judged(task, task.validation)
    if not is_classification(outputs, targets):
        raise ConfigError(
            f"{' and '.join(asked)}: only a classifier has them, whose model returns scores (n, classes) for targets that are "
            f"class numbers (n,); of two examples of task.validation, this task's model returns {tuple(outputs.shape)} and "
            f"the targets are {tuple(targets.shape)} of {targets.dtype}. A measure of your own is task.metric: its error "
            "is 1 - metric"
        )


_ATTRIBUTES = ("model", "example", "train", "validation", "test", "loss", "metric")


def _check_split(name: str, dataset: Any, example: tuple[Tensor, ...]) -> None:
    """Raise ConfigError unless ``dataset`` holds (input, target) pairs whose inputs have the example's shape."""
    if dataset is None:
        raise ConfigError(f"task.{name} is missing: a search needs the splits train, validation and test")
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise ConfigError(f"task.{name}: expected a map-style dataset, with __len__ and __getitem__")
    if len(dataset) == 0:
        raise ConfigError(f"task.{name} is empty")
    try:
        inputs, _ = dataset[0]
    except Exception as error:
        raise ConfigError(f"task.{name}[0]: expected a pair (input, target): {describe(error)}") from error
    several = inputs if isinstance(inputs, tuple | list) else (inputs,)
    odd = [type(part).__name__ for part in several if not isinstance(part, Tensor)]
    if odd:
        raise ConfigError(f"task.{name}[0]: expected tensors as inputs, not {', '.join(odd)}: give it a transform")
    shapes = [tuple(part.shape) for part in several]
    expected = [tuple(part.shape[1:]) for part in example]
    if shapes != expected:
        raise ConfigError(
            f"task.{name}: its inputs have the shape {_shapes(shapes)}, those of task.example, without the batch "
            f"dimension, {_shapes(expected)}"
        )


def _check_judgement(task: protocols.Task) -> None:
    """Raise ConfigError unless loss and metric take what the model makes of two examples."""
    step = "the model on a batch of two"
    try:
        outputs, targets = _judged(task, task.train)
        step = "task.loss"
        loss = task.loss(outputs, targets)
        step = "task.metric"
        metric = task.metric(outputs.detach(), targets)
    except Exception as error:
        raise ConfigError(f"{step} fails on examples of task.train: {describe(error)}") from error
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise ConfigError("task.loss: expected a tensor of one element that can be differentiated")
    if not isinstance(metric, float | int) or not math.isfinite(metric) or metric > 1:
        raise ConfigError(f"task.metric: expected a finite number of at most 1, which is perfect, not {metric!r}")


def _judged(task: protocols.Task, split: Any) -> tuple[Tensor, Tensor]:
    """What the model makes of the first and the last example of a split, and what it should."""
    inputs, targets = load_batch(split, torch.tensor([0, len(split) - 1]))
    return (task.model(*inputs) if isinstance(inputs, tuple | list) else task.model(inputs)), targets


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(shape) for shape in shapes)
