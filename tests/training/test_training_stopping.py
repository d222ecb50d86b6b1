"""Early stopping: by whom, when, and with which weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from joulefront.errors import ConfigError
from joulefront.tasks.task import Task
from joulefront.training import fit
from joulefront.training.stopping import held_out

HARD: dict[str, Any] = {"learning_rate": 0.5, "batch_size": 16, "seed": 0, "precision": "float32"}


def noise(count: int = 80) -> TensorDataset:
    """Labels that nothing can tell: to learn them by heart makes what is held out worse. Inputs end in their number."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.cat([torch.randn(count, 8, generator=generator), torch.arange(count)[:, None] / count], 1)
    return TensorDataset(inputs, torch.randint(0, 2, (count,), generator=generator))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(9, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 2)).eval()


@dataclass(frozen=True, eq=False)
class Watched(Task):
    """It keeps the mean loss of every look at what is held out, which is one batch, and counts the steps."""

    looks: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = super().loss(outputs, targets)
        if loss.requires_grad:
            self.steps.append(len(targets))
        else:
            self.looks.append(float(loss))
        return loss


def watched() -> Watched:
    return Watched(net(), (torch.zeros(1, 9),), noise())


def judged(model: nn.Module) -> float:
    """The loss of a model on what is held out of the noise."""
    inputs, targets = noise().tensors
    _, out = held_out(noise(), 0)
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(inputs[out]), targets[out]))


def test_it_ends_with_the_best_weights_of_all_epochs() -> None:
    task, model = watched(), net()
    fit(model, task, epochs=30, patience=4, **HARD)
    assert len(task.looks) < 30
    assert task.looks.index(min(task.looks)) == len(task.looks) - 5
    assert judged(model) == pytest.approx(min(task.looks), rel=1e-5)
    assert judged(model) < task.looks[-1]
    assert not model.training


def test_without_patience_nothing_is_held_out() -> None:
    task = watched()
    fit(net(), task, epochs=2, **HARD)
    assert task.looks == []
    assert len(task.steps) == 10
    patient = watched()
    fit(net(), patient, epochs=2, patience=5, **HARD)
    assert len(patient.looks) == 2
    assert len(patient.steps) == 8


def test_what_is_held_out_is_never_trained_on() -> None:
    trained, out = held_out(noise(), 3)
    assert len(out) == 8
    assert sorted([*trained.tolist(), *out.tolist()]) == list(range(80))
    seen: set[int] = set()

    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = net()

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                seen.update(round(80 * number) for number in x[:, -1].tolist())
            scores: Tensor = self.layers(x)
            return scores

    fit(Noting(), watched(), epochs=6, patience=9, **{**HARD, "seed": 3})
    assert seen <= set(trained.tolist())
    assert len(seen) > 64
    assert not torch.equal(out, held_out(noise(), 4)[1])


def test_it_is_a_function_of_the_seed() -> None:
    models = [net(), net()]
    for model in models:
        fit(model, watched(), epochs=4, patience=2, **HARD)
    pairs = zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


def test_a_split_that_is_too_small_to_hold_any_out() -> None:
    with pytest.raises(ConfigError, match="holds a tenth of the train split out, and that has 4 examples"):
        fit(net(), Task(net(), (torch.zeros(1, 9),), noise(4)), epochs=1, patience=1, **HARD)


def test_a_part_of_an_epoch_at_the_end_counts_as_well() -> None:
    task = watched()
    fit(net(), task, epochs=2.5, patience=9, **HARD)
    assert len(task.looks) == 3


def test_what_is_pruned_meanwhile_is_pruned_to_the_end_and_does_not_come_back() -> None:
    """The best epoch is one of the first, when nothing was zero yet."""
    model, task = net(), watched()
    gone = torch.zeros(64, 9, dtype=torch.bool)
    gone[:60] = True
    at_24 = {24: {"0.weight": gone}}
    fit(model, task, epochs=8, patience=1, on_step=lambda step, _: at_24.get(step), **HARD)
    assert len(task.steps) == 32
    assert bool((model.get_parameter("0.weight")[:60] == 0).all())
    assert judged(model) == pytest.approx(min(task.looks[6:]), rel=1e-5)
