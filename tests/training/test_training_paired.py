"""The change of accuracy between two networks that the same examples judged."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from joulefront.tasks.task import Task
from joulefront.training import accuracy_change, evaluate, predict, score_of


def _right(examples: int, *wrong: int) -> torch.Tensor:
    right = torch.ones(examples, dtype=torch.bool)
    right[list(wrong)] = False
    return right


def test_the_interval_is_that_of_the_disagreements_alone() -> None:
    # (1 - 13) / 1002 ± 1.95996 · sqrt((14 / 1002 - (12 / 1002)²) / 1002), worked by hand
    change = accuracy_change(_right(1000), _right(1000, *range(12)))
    assert (change.value, change.low, change.high) == pytest.approx((-0.012, -0.019257, -0.004695), abs=1e-6)
    both_wrong = accuracy_change(_right(1000, *range(500, 900)), _right(1000, *range(12), *range(500, 900)))
    assert both_wrong == change


def test_no_disagreement_is_no_certainty() -> None:
    change = accuracy_change(_right(100), _right(100))
    assert change.value == 0
    assert change.low == -change.high < -0.02


@pytest.mark.parametrize("wrong", [range(0), range(1), range(3)])
def test_the_interval_holds_the_value_and_stays_a_share(wrong: range) -> None:
    change = accuracy_change(_right(3, *wrong), _right(3, 0, 1, 2))
    assert -1 <= change.low <= change.value <= change.high <= 1


def test_predictions_are_in_the_same_order_for_every_model_and_score_as_evaluate_does() -> None:
    inputs, targets = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 3
    task = Task(nn.Linear(4, 3), (inputs[:1],), validation=TensorDataset(inputs, targets))
    one, other = (predict(model, task, "validation", limit=20) for model in (task.model, nn.Linear(4, 3)))
    assert len(one.targets) == 20
    assert torch.equal(one.targets, other.targets)
    assert score_of(one, task) == evaluate(task.model, task, "validation", limit=20)
    assert one.right is not None
    assert float(one.right.double().mean()) == score_of(one, task).metric
