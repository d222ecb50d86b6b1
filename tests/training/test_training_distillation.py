"""Learning from a teacher: the formula, worked by hand, and who may have one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from joulefront.errors import ConfigError
from joulefront.tasks.task import Task
from joulefront.training import fit
from joulefront.training.distillation import Teacher

SCHOOL: dict[str, Any] = {"epochs": 4, "learning_rate": 0.1, "batch_size": 16, "seed": 0, "precision": "float32"}


def points(count: int = 96) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))


def student(classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, classes)).eval()


def teacher(classes: int = 2) -> nn.Module:
    """It tells points by the sign of their first coordinate."""
    layer = nn.Linear(2, classes, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0], layer.weight[1, 0] = -4.0, 4.0
    return layer.eval()


def mislabelled() -> Task:
    """The labels are the wrong way round."""
    inputs = points()
    return Task(student(), (torch.zeros(1, 2),), TensorDataset(inputs, (inputs[:, 0] < 0).long()))


def agreement(model: nn.Module) -> float:
    inputs = points()
    with torch.no_grad():
        return float((model(inputs).argmax(1) == (inputs[:, 0] > 0)).double().mean())


def test_the_loss_is_hintons() -> None:
    """Logits 2·ln 3 and 0 at T = 2 are 3/4 and 1/4; against 1/2 and 1/2 that is ¾ ln(3/2) + ¼ ln(1/2), four times; of two."""

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[2 * math.log(3), 0.0], [5.0, 5.0]])

    labels, logits = torch.tensor(1.0), torch.zeros(2, 2)
    mixed = Teacher(Fixed(), 2.0, 0.25).mixed(labels, logits, torch.zeros(2, 1), torch.tensor([0, 1]), place="cpu")
    divergence = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    assert float(mixed) == pytest.approx(0.75 + 0.25 * 4 * divergence, rel=1e-6)


def test_the_share_says_whom_to_believe() -> None:
    believed = {}
    for share in (0.0, 1.0):
        model = student()
        fit(model, mislabelled(), **SCHOOL, teacher=teacher(), distillation=share)
        believed[share] = agreement(model)
    assert believed[0.0] < 0.1
    assert believed[1.0] > 0.9


def test_a_teacher_without_a_share_changes_nothing() -> None:
    models = [student(), student()]
    fit(models[0], mislabelled(), **SCHOOL)
    fit(models[1], mislabelled(), **SCHOOL, teacher=teacher(), distillation=0.0)
    pairs = zip(models[0].parameters(), models[1].parameters(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


def test_the_teacher_stays_as_it_is() -> None:
    taught = teacher()
    fit(student(), mislabelled(), **SCHOOL, teacher=taught)
    assert torch.equal(taught.get_parameter("weight"), teacher().get_parameter("weight"))
    assert taught.get_parameter("weight").grad is None
    assert not taught.training


@dataclass(frozen=True, eq=False)
class Regression(Task):
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs[:, 0], targets)


@pytest.mark.parametrize(
    ("task", "other", "said"),
    [
        (Regression(student(), (points(1),), TensorDataset(points(), points()[:, 0])), teacher(), "needs a classifier"),
        (mislabelled(), teacher(3), r"the teacher's outputs are \(16, 3\) and the model's \(16, 2\)"),
    ],
)
def test_only_classifiers_of_the_same_classes_can_be_taught(task: Task, other: nn.Module, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fit(student(), task, **SCHOOL, teacher=other)


@pytest.mark.parametrize(
    ("odd", "said"),
    [({"temperature": 0.0}, "temperature: expected a number above 0"), ({"distillation": 1.5}, "from 0 to 1, not 1.5")],
)
def test_what_no_teacher_can_do(odd: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fit(student(), mislabelled(), **SCHOOL, teacher=teacher(), **odd)  # type: ignore[arg-type]
