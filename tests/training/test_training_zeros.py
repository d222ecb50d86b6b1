"""What is zero stays zero while the rest is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from joulefront.errors import ConfigError
from joulefront.prune.masks import masks_of
from joulefront.tasks.models import tiny
from joulefront.tasks.task import Task
from joulefront.training import Precision, fit
from joulefront.training.zeros import Zeros

BRIEF: dict[str, Any] = {"learning_rate": 0.1, "batch_size": 16, "seed": 0}


def net() -> nn.Module:
    torch.manual_seed(0)
    return tiny().eval()


def task(count: int = 48) -> Task:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    return Task(net(), (images[:1],), TensorDataset(images, torch.randint(0, 10, (count,), generator=generator)))


def half(model: nn.Module, *names: str) -> dict[str, Tensor]:
    """Every other weight of some parameters."""
    masks = {}
    for name in names:
        shape = model.get_parameter(name).shape
        masks[name] = (torch.arange(shape.numel()) % 2 == 0).reshape(shape)
    return masks


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_zeros_stay_and_the_rest_learns(precision: Precision) -> None:
    model = net()
    masks = half(model, "conv2.weight", "dense1.weight")
    fit(model, task(), epochs=2, masks=masks, precision=precision, **BRIEF)
    found = masks_of(model)
    assert set(found) == set(masks)
    assert all(torch.equal(found[name], masks[name]) for name in masks)
    assert not torch.equal(model.get_parameter("conv1.weight"), net().get_parameter("conv1.weight"))


def test_momentum_does_not_gather_behind_a_zero() -> None:
    weight = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.1, momentum=0.9)
    zeros = Zeros(weight, {"weight": torch.tensor([[True, False]])}, optimizer)
    for _ in range(3):
        weight(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        zeros.restore()
    assert weight.weight[0, 0] == 0
    momentum = optimizer.state[weight.weight]["momentum_buffer"]
    assert momentum[0, 0] == 0
    assert momentum[0, 1] != 0


def test_masks_may_grow_while_it_is_trained() -> None:
    """From step 2 on every other weight is zero, from step 5 on all but one filter; the hook sees the model as deployed."""
    model, seen = net(), []
    masks = half(model, "conv2.weight")
    last = {"conv2.weight": torch.ones_like(masks["conv2.weight"])}
    last["conv2.weight"][0] = False

    def on_step(step: int, steps: int) -> dict[str, Tensor] | None:
        seen.append((step, steps, model.training, int((model.get_parameter("conv2.weight") == 0).sum())))
        return {2: masks, 5: last}.get(step)

    fit(model, task(), epochs=2, on_step=on_step, precision="float32", **BRIEF)
    many = model.get_parameter("conv2.weight").numel()
    assert seen == [(step, 6, False, 0 if step <= 2 else many // 2) for step in range(6)]
    assert torch.equal(masks_of(model)["conv2.weight"], last["conv2.weight"])


def test_without_an_epoch_the_zeros_are_there_and_nothing_can_be_pruned_meanwhile() -> None:
    model = net()
    masks = half(model, "conv1.weight")
    fit(model, task(), epochs=0, masks=masks, precision="float32", **BRIEF)
    assert torch.equal(masks_of(model)["conv1.weight"], masks["conv1.weight"])
    with pytest.raises(ConfigError, match="recover for more than 0 epochs"):
        fit(model, task(), epochs=0, on_step=lambda _step, _steps: None, precision="float32", **BRIEF)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"conv9.weight": torch.ones(3, dtype=torch.bool)}, "'conv9.weight' is none of its parameters"),
        ({"conv1.weight": torch.ones(3, dtype=torch.bool)}, r"'conv1.weight' has the shape \(16, 1, 3, 3\)"),
    ],
)
def test_masks_of_another_model_are_refused(masks: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        fit(net(), task(), epochs=1, masks=masks, precision="float32", **BRIEF)
