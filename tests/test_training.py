"""Retraining and judging: repeatable, and doing what the papers say."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from joulefront.errors import ConfigError, TrainError
from joulefront.tasks.models import tiny
from joulefront.tasks.ready_made import digits
from joulefront.tasks.task import Task
from joulefront.training import (
    Precision,
    data_sha256,
    evaluate,
    fit,
    load_batch,
    one_cycle,
    recalibrate,
    resolve_precision,
    seeded,
    wilson,
)


def blobs(count: int = 96) -> TensorDataset:
    """Two classes of points on a line, well apart: (n, 2) and (n,)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    return TensorDataset(torch.randn(count, 2, generator=generator) + 6.0 * labels[:, None], labels)


def line(classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, classes)).eval()


def task_of(train: Dataset[Any] | None, model: nn.Module | None = None) -> Task:
    return Task(model or line(), (torch.zeros(1, 2),), train, blobs(), blobs())


def trained(
    task: Task, *, epochs: float = 2, seed: int = 0, precision: Precision = "float32", learning_rate: float = 0.05
) -> nn.Module:
    model = line()
    fit(model, task, epochs=epochs, learning_rate=learning_rate, batch_size=16, seed=seed, precision=precision)
    return model


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_is_a_function_of_the_seed(precision: Precision) -> None:
    task = task_of(blobs())
    torch.manual_seed(1)
    first = trained(task, precision=precision)
    torch.manual_seed(2)
    assert same(first, trained(task, precision=precision))
    assert not same(first, trained(task, precision=precision, seed=1))
    assert evaluate(first, task, "validation").metric > 0.95
    assert not first.training
    assert all(parameter.dtype == torch.float32 and parameter.grad is None for parameter in first.parameters())


def drawn() -> list[float]:
    """What the global generators of torch, random and NumPy would draw next, left as they are."""
    python, legacy, own = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    numbers = [torch.rand(1).item(), random.random(), np.random.rand()]  # noqa: NPY002
    random.setstate(python)
    np.random.set_state(legacy)  # noqa: NPY002
    torch.set_rng_state(own)
    return numbers


class Noisy(TensorDataset):
    """Each look at an example adds noise from all three global generators."""

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        inputs, target = (tensor[index] for tensor in self.tensors)
        return inputs + torch.rand(2) + random.random() + np.random.rand(), target  # noqa: NPY002


def test_augmentation_may_draw_from_any_global_generator() -> None:
    noisy = Noisy(*blobs().tensors)
    task = Task(line(), (torch.zeros(1, 2),), noisy, noisy, noisy)

    def all_of_it() -> tuple[nn.Module, Any]:
        model = trained(task)
        recalibrate(model, task, batches=2, batch_size=16, seed=3)
        return model, evaluate(model, task, "validation", limit=50)

    before = drawn()
    first, score = all_of_it()
    assert drawn() == before
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    again, same_score = all_of_it()
    assert same(first, again)
    assert score == same_score


def test_seeding_gives_the_generators_back_even_after_a_failure() -> None:
    before, within = drawn(), []

    def fails() -> None:
        with seeded(2**40):
            within.extend(drawn())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert drawn() == before
    assert all(left != right for left, right in zip(before, within, strict=True))


def test_convolutions_train_in_bfloat16() -> None:
    task = digits()
    models = [tiny(), tiny()]
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        fit(model, task, epochs=2, learning_rate=0.1, batch_size=64, seed=0, precision="bfloat16")
    assert same(*models)
    assert models[0].get_parameter("conv2.weight").is_contiguous()
    assert evaluate(models[0], task, "validation").metric > 0.9


class Listed(Dataset[Any]):
    """The simplest dataset there is."""

    def __init__(self, source: TensorDataset) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        inputs, target = self._source[index]
        return inputs, int(target)


@pytest.mark.parametrize("wrap", [Listed, lambda source: Subset(source, range(len(source)))])
def test_every_map_style_dataset_trains_alike(wrap: Callable[[TensorDataset], Dataset[Any]]) -> None:
    assert same(trained(task_of(blobs())), trained(task_of(wrap(blobs()))))


def test_a_batch_of_a_model_of_several_inputs() -> None:
    pairs: Any = [((torch.tensor([1.0 * i]), torch.tensor([2.0])), i) for i in range(5)]
    inputs, targets = load_batch(pairs, torch.tensor([3, 1]))
    assert [part.tolist() for part in inputs] == [[[3.0], [1.0]], [[2.0], [2.0]]]
    assert targets.tolist() == [3, 1]


@pytest.mark.parametrize(("epochs", "batches"), [(0, 0), (0.5, 2), (1, 4), (2.25, 9)])
def test_an_epoch_is_the_whole_split_without_an_incomplete_batch(epochs: float, batches: int) -> None:
    seen: list[int] = []

    @dataclass(frozen=True, eq=False)
    class Counting(Task):
        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            seen.append(len(targets))
            return super().loss(outputs, targets)

    trained(Counting(line(), (torch.zeros(1, 2),), blobs(70)), epochs=epochs)
    assert seen == [16] * batches


def test_a_split_smaller_than_a_batch_is_one_batch() -> None:
    model = trained(task_of(blobs(10)), epochs=1)
    assert not same(model, line())


def test_the_learning_rate_climbs_to_its_peak_and_falls_to_almost_nothing() -> None:
    rates = [one_cycle(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert one_cycle(0, 1) == 1


def test_a_loss_that_is_not_finite_is_the_candidates_fault() -> None:
    data = blobs()
    data.tensors[0][:] = float("inf")
    with pytest.raises(TrainError, match=r"the loss is nan at step 1 of 12: .* --learning-rate of joulefront prune"):
        trained(task_of(data))


@pytest.mark.parametrize(("train", "message"), [(None, "has no train split"), (blobs(0), "train split is empty")])
def test_there_must_be_something_to_train_on(train: Dataset[Any] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(task_of(train))


def test_recalibration_is_the_average_over_batches() -> None:
    """Four batches of four numbers each, worked by hand: the mean of the batches' means and of their variances."""
    numbers = torch.arange(16.0)[:, None]
    norm = nn.BatchNorm1d(1)
    norm.running_mean = torch.tensor([-50.0])
    model = nn.Sequential(norm, nn.Dropout(0.9), nn.Linear(1, 2))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    task = Task(model, (torch.zeros(1, 1),), TensorDataset(numbers, torch.zeros(16, dtype=torch.long)))
    recalibrate(model, task, batches=4, batch_size=4, seed=0)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    variances = [numbers[batch].var() for batch in torch.split(order, 4)]
    assert norm.running_mean.tolist() == pytest.approx([7.5])
    assert norm.running_var is not None
    assert norm.running_var.tolist() == pytest.approx([float(sum(variances)) / 4])
    assert norm.momentum == 0.1
    assert not any(layer.training for layer in model.modules())
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_recalibration_of_nothing_changes_nothing() -> None:
    model = line()
    recalibrate(model, task_of(blobs()), batches=0, batch_size=16, seed=0)
    assert same(model, line())
    recalibrate(nn.Linear(2, 2), task_of(None), batches=4, batch_size=16, seed=0)


def test_recalibration_is_a_function_of_the_seed() -> None:
    models = [line(), line(), line()]
    for model, seed in zip(models, [0, 0, 1], strict=True):
        recalibrate(model, task_of(blobs()), batches=3, batch_size=16, seed=seed)
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_accuracy_of_a_whole_split_and_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joulefront.training.judging._BATCH", 7)
    data = TensorDataset(torch.eye(2).repeat(50, 1), torch.tensor([0, 1] * 30 + [0, 0] * 20))
    task = Task(nn.Identity(), (torch.zeros(1, 2),), None, data, data)
    score = evaluate(task.model, task, "test")
    assert (score.split, score.examples, score.metric) == ("test", 100, 0.8)
    assert score.error == wilson(1 - 0.8, 100)
    # By hand: outputs of (1, 0) or (0, 1), of which 80 are right: 50 of 70 of class 0, 30 of 30 of class 1.
    right, wrong = -math.log(math.e / (math.e + 1)), -math.log(1 / (math.e + 1))
    assert score.loss == pytest.approx(0.8 * right + 0.2 * wrong, rel=1e-5)
    assert score.macro["recall_error"].value == pytest.approx(1 - (50 / 70 + 30 / 30) / 2)
    part = evaluate(task.model, task, "validation", limit=30)
    assert part.examples == 30
    assert part == evaluate(task.model, task, "validation", limit=30)
    assert evaluate(task.model, task, "validation", limit=200) == evaluate(task.model, task, "validation")
    parts = {evaluate(task.model, task, "validation", limit=30, seed=seed).metric for seed in range(5)}
    assert len(parts) > 1


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (math.nan, TrainError, "metric of the test split is nan: expected a finite number"),
        (math.inf, TrainError, "metric of the test split is inf: expected a finite number"),
        (-math.inf, TrainError, "metric of the test split is -inf: expected a finite number"),
        (1.5, ConfigError, "returned 1.5: expected at most 1"),
    ],
)
def test_a_metric_that_is_none(value: float, error: type[Exception], message: str) -> None:
    @dataclass(frozen=True, eq=False)
    class Odd(Task):
        def metric(self, outputs: Tensor, targets: Tensor) -> float:
            return value

    task = Odd(line(), (torch.zeros(1, 2),), None, None, blobs())
    with pytest.raises(error, match=message):
        evaluate(task.model, task, "test")


def test_outputs_that_are_not_finite_are_the_candidates_fault() -> None:
    model = line()
    with torch.no_grad():
        next(model.parameters())[0] = math.nan
    with pytest.raises(TrainError, match="outputs on the validation split are not all finite"):
        evaluate(model, task_of(None), "validation")


def test_a_model_of_several_outputs_cannot_be_judged() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(ConfigError, match="the model returns tuple"):
        evaluate(Two(), task_of(None), "validation")


def test_a_split_that_is_missing() -> None:
    with pytest.raises(ConfigError, match="the task has no test split"):
        evaluate(line(), replace(task_of(None), test=None), "test")


@pytest.mark.parametrize(("wrong", "examples"), [(0, 50), (1, 50), (20, 1000), (500, 1000), (50, 50), (1, 1)])
def test_the_interval_is_wilsons(wrong: int, examples: int) -> None:
    estimate = wilson(wrong / examples, examples)
    expected = binomtest(wrong, examples).proportion_ci(0.95, method="wilson")
    assert estimate.value == wrong / examples
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_holds_its_value_even_for_what_is_no_share() -> None:
    estimate = wilson(1.7, 50)
    assert estimate.low < 1.7 == estimate.high


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_a_precision_that_was_asked_for_is_taken(wanted: Precision) -> None:
    assert resolve_precision(wanted) == wanted


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_is_what_the_cpu_computes_in(
    capabilities: dict[str, bool], expected: Literal["float32", "bfloat16"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto") == expected


def changed(tensor: Tensor) -> Tensor:
    """``tensor`` with another last element."""
    other = tensor.clone()
    other.view(-1)[-1] += 1
    return other


def test_the_identity_of_tensors_is_all_their_elements() -> None:
    inputs, labels = torch.zeros(200, 2), torch.zeros(200, dtype=torch.long)
    first = data_sha256(TensorDataset(inputs, labels))
    assert first == data_sha256(TensorDataset(inputs.clone(), labels))
    others = [(changed(inputs), labels), (inputs.int(), labels), (inputs.view(200, 2, 1), labels), (labels, inputs)]
    assert len({first, *(data_sha256(TensorDataset(*other)) for other in others)}) == 5
    assert data_sha256(TensorDataset(inputs.bfloat16().t().contiguous().t(), inputs[:, 0].bool()))


def test_the_identity_of_a_dataset_is_its_length_and_some_of_its_examples() -> None:
    inputs, labels = blobs(200).tensors
    first = data_sha256(Listed(TensorDataset(inputs, labels)))
    assert first == data_sha256(Listed(TensorDataset(inputs, labels)))
    assert first != data_sha256(Listed(TensorDataset(inputs, changed(labels))))
    assert first != data_sha256(Listed(TensorDataset(changed(inputs), labels)))
    longer = Subset(TensorDataset(inputs, labels), [*range(200), 199])
    assert first != data_sha256(longer)
    assert data_sha256(Listed(blobs(0))) != data_sha256(Listed(blobs(1)))


@pytest.mark.parametrize(
    ("example", "other"),
    [
        (({"a": torch.ones(2)}, 1), ({"b": torch.ones(2)}, 1)),
        (({"a": torch.ones(2)}, 1), ({"a": torch.zeros(2)}, 1)),
        (([torch.ones(2), torch.ones(2)], 1), ([torch.ones(2), torch.zeros(2)], 1)),
        (((torch.ones(2), torch.ones(2)), 1), ((torch.ones(4),), 1)),
        ((np.ones(2, np.uint8), 1.5), (np.ones(2, np.int16), 1.5)),
        ((np.ones(2), 1.5), (np.ones(2), 2.5)),
        ((torch.tensor(1), "cat"), (torch.tensor(1), "dog")),
    ],
)
def test_the_identity_sees_into_every_usual_kind_of_example(example: Any, other: Any) -> None:
    assert data_sha256([example] * 3) == data_sha256([example] * 3)  # type: ignore[arg-type]
    assert data_sha256([example] * 3) != data_sha256([example, example, other])  # type: ignore[arg-type]


def test_the_identity_is_no_objects_address() -> None:
    assert data_sha256([(object(), 1)]) == data_sha256([(object(), 1)])  # type: ignore[arg-type]


SHIFTED = """
import torch
from joulefront.tasks.images import ShiftedImages
from joulefront.training import data_sha256
torch.seed()
images = torch.arange(100 * 36.0).reshape(100, 1, 6, 6)
print(data_sha256(ShiftedImages(images, torch.arange(100), pixels=2, background=0.0)))
"""


def test_the_identity_of_randomly_shifted_images_is_the_same_in_every_process() -> None:
    outputs = {subprocess.run([sys.executable, "-c", SHIFTED], capture_output=True, check=True).stdout for _ in "12"}
    assert len(outputs) == 1
    assert len(outputs.pop().strip()) == 64


def test_a_layer_that_runs_in_training_alone_and_does_not_fit_is_named() -> None:
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.head = nn.Linear(2, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.main(x) + self.head(x) if self.training else self.main(x)

    model = Auxiliary().eval()
    task = Task(model, torch.zeros(1, 2), blobs(), blobs(), blobs())
    with pytest.raises(TrainError, match=r"fails in training mode: RuntimeError: .* such as auxiliary heads"):
        fit(model, task, epochs=1, learning_rate=0.1, batch_size=32, seed=0, precision="float32")
    assert not model.training
