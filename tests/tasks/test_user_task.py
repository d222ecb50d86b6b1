"""A user's object, and what is said when something about it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from user_task import images, task

from joulefront.errors import ConfigError
from joulefront.tasks.task import Task, check


def test_a_task_in_thirty_lines() -> None:
    checked = check(task(), needs_data=True)
    assert not checked.model.training
    assert [tuple(part.shape) for part in checked.example] == [(1, 1, 8, 8)]


def test_any_object_with_the_attributes_will_do() -> None:
    class Own:
        def __init__(self) -> None:
            self.model = task().model.train()
            self.example = (torch.zeros(1, 1, 8, 8),)
            self.train = self.validation = self.test = images(8, 0)

        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return F.cross_entropy(outputs, targets)

        def metric(self, outputs: Tensor, targets: Tensor) -> float:
            return 0.5

    own = Own()
    assert check(own, needs_data=True) is own
    assert not own.model.training


def test_a_model_that_is_only_measured_needs_no_data() -> None:
    bare = Task(task().model, torch.zeros(1, 1, 8, 8))
    assert check(bare, needs_data=False) is bare


def test_several_inputs_make_a_tuple() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.head(left + right)

    pairs: Any = [((torch.ones(2), torch.ones(2)), 1), ((torch.zeros(2), torch.ones(2)), 0)]
    two = Task(Sum(), [torch.zeros(1, 2), torch.zeros(1, 2)], pairs, pairs, pairs)  # type: ignore[arg-type]
    assert check(two, needs_data=True).example == two.example
    assert isinstance(two.example, tuple)


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no kernel\nat line 3")


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class OneOnly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 64)


@dataclass(frozen=True, eq=False)
class NoLoss(Task):
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise IndexError("target 7 is out of bounds")


@dataclass(frozen=True, eq=False)
class DetachedLoss(Task):
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.tensor(1.0)


@dataclass(frozen=True, eq=False)
class Percent(Task):
    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        return 98.3


@dataclass(frozen=True, eq=False)
class TensorMetric(Task):
    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        return torch.tensor(0.5)  # type: ignore[return-value]


class NoNumber(Task):
    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        return math.nan


def as_(kind: type[Task]) -> Task:
    good = task()
    return kind(good.model, good.example, good.train, good.validation, good.test)


WIDE = TensorDataset(torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long))
NOTHING = TensorDataset(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long))
STRINGS: Any = [("not a tensor", 1)]
SINGLES: Any = [torch.zeros(1, 8, 8)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SimpleNamespace(model=nn.ReLU()),
            "SimpleNamespace, has no example, train, validation, test, loss, metric",
        ),
        (lambda: replace(task(), model="resnet.pt"), r"task.model: expected a torch.nn.Module, not str"),
        (lambda: replace(task(), example=("image",)), "task.example: expected a tuple of tensors"),
        (lambda: replace(task(), example=()), "task.example: expected a tuple of tensors"),
        (lambda: replace(task(), example=torch.tensor(1.0)), "expected the batch dimension first"),
        (lambda: replace(task(), model=task().model.double()), r"expected float32 weights, not torch.float64"),
        (
            lambda: replace(task(), model=Fails()),
            "task.model fails on task.example: RuntimeError: no kernel at line 3 ",
        ),
        (lambda: replace(task(), model=Pair()), "task.model returns tuple: expected one tensor"),
        (lambda: replace(task(), train=None), "task.train is missing: a search needs"),
        (lambda: replace(task(), validation=NOTHING), "task.validation is empty"),
        (lambda: replace(task(), test=iter([1])), "task.test: expected a map-style dataset"),
        (
            lambda: replace(task(), test=STRINGS),
            r"task.test\[0\]: expected tensors as inputs, not str: give it a transform",
        ),
        (lambda: replace(task(), test=SINGLES), r"task.test\[0\]: expected a pair"),
        (
            lambda: replace(task(), train=WIDE),
            r"task.train: .* shape \(3, 8, 8\), .* without the batch dimension, \(1, 8, 8\)",
        ),
        (
            lambda: replace(task(), model=OneOnly()),
            "the model on a batch of two fails on examples of task.train: RuntimeError",
        ),
        (lambda: as_(NoLoss), "task.loss fails on examples of task.train: IndexError: target 7"),
        (lambda: as_(DetachedLoss), "task.loss: expected a tensor of one element that can be differentiated"),
        (lambda: as_(Percent), "task.metric: expected a finite number of at most 1, which is perfect, not 98.3"),
        (lambda: as_(TensorMetric), "task.metric: expected a finite number of at most 1"),
        (lambda: as_(NoNumber), "task.metric: expected a finite number of at most 1, which is perfect, not nan"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        check(make(), needs_data=True)
    assert "\n" not in str(raised.value)
