"""Retraining and judging a model on a task: the loop that the base models and every pruned candidate share.

Everything here is deterministic in its arguments and the seed, for a given number of torch threads and precision.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset, TensorDataset, default_collate

from joulefront.errors import ConfigError, TrainError
from joulefront.protocols import Task
from joulefront.records import Estimate, Score

Precision = Literal["float32", "bfloat16"]

Z_95 = 1.959963984540054
"""The standard normal's 97.5 % quantile: 95 % of it lies within ± this."""

WARM_UP = 0.1
"""The share of the steps in which the learning rate climbs to its peak."""


def resolve_precision(wanted: Literal["auto", "float32", "bfloat16"]) -> Precision:
    """What ``wanted`` means on this machine: "auto" is bfloat16 where the CPU has instructions for it, else float32.

    Without such instructions bfloat16 is emulated, and slower. What this returns belongs in the key of whatever was
    trained: both precisions are deterministic, and differ.
    """
    if wanted != "auto":
        return wanted
    capabilities = torch.cpu.get_capabilities()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if native else "float32"


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed what dropout and augmentation draw from, and give it back as it was.

    These are the global generators of torch, of ``random`` and of NumPy (its legacy one: the others have no global).
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- the global state is what this is about
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def fit(
    model: nn.Module,
    task: Task,
    *,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    seed: int,
    precision: Precision,
    weight_decay: float = 5e-4,
) -> None:
    """Train ``model``, in place, on the task's train split; leaves it in eval mode, float32.

    SGD with Nesterov momentum 0.9; the learning rate climbs linearly to ``learning_rate`` over the first tenth of the
    steps and falls to zero along a cosine (one cycle; Smith 2017, arXiv:1708.07120). ``epochs`` may be a fraction; an
    incomplete last batch is left out, because BatchNorm cannot learn from a single example. With ``precision``
    bfloat16, forward and backward run under autocast in the channels-last layout; the weights stay float32.

    Raises ConfigError when there is nothing to train on, and TrainError when the loss stops being finite.
    """
    dataset = _split(task, "train")
    steps_per_epoch = max(1, len(dataset) // batch_size)
    steps = round(epochs * steps_per_epoch)
    if steps == 0:
        model.eval()
        return
    half = precision == "bfloat16"
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, nesterov=True, weight_decay=weight_decay)
    with seeded(seed), torch.enable_grad():
        _set_layout(model, torch.channels_last if half else torch.contiguous_format)
        model.train()
        try:
            for step, (inputs, targets) in enumerate(_shuffled(dataset, batch_size, seed, steps)):
                optimizer.param_groups[0]["lr"] = learning_rate * one_cycle(step, steps)
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    outputs = _forward(model, inputs, channels_last=half)
                loss = task.loss(outputs.float(), targets)
                if not math.isfinite(loss.item()):
                    raise TrainError(
                        f"the loss is {loss.item()} at step {step + 1} of {steps}: a smaller recover.learning_rate "
                        f"(now {learning_rate:g}) may help"
                    )
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        finally:
            model.eval()
            _set_layout(model, torch.contiguous_format)
            optimizer.zero_grad(set_to_none=True)


def recalibrate(model: nn.Module, task: Task, *, batches: int, batch_size: int, seed: int) -> None:
    """Give every BatchNorm of ``model``, in place, the statistics of the pruned network; leaves it in eval mode.

    The running mean and variance are forgotten and replaced by the cumulative average over ``batches`` random batches
    of the train split (adaptive BatchNorm; Li 2020, EagleEye, arXiv:2007.02491). No weight changes.
    Does nothing with no batches, and for a model without BatchNorm. Raises ConfigError as ``fit``.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    model.eval()
    if batches == 0 or not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's spelling of a cumulative average
        layer.train()
    try:
        with seeded(seed), torch.no_grad():
            for inputs, _ in _shuffled(_split(task, "train"), batch_size, seed, batches):
                _forward(model, inputs)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.eval()


def evaluate(
    model: nn.Module,
    task: Task,
    split: Literal["validation", "test"],
    *,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 100,
) -> Score:
    """What ``model`` reaches on a split: all of it, or the first ``limit`` examples of its order shuffled by ``seed``.

    Computed in float32; the metric sees the outputs of all examples at once. The error's interval is the 95 % Wilson
    interval, which is right for a metric that is a share of examples, such as top-1 accuracy, and only a rough guide
    for any other.

    Raises ConfigError when the split is missing or the metric is above 1, and TrainError when the outputs or the metric
    are not finite.
    """
    dataset = _split(task, split)
    indices = torch.arange(len(dataset))
    if limit is not None and limit < len(dataset):
        indices = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))[:limit]
    model.eval()
    outputs: list[Tensor] = []
    targets: list[Tensor] = []
    with seeded(seed), torch.no_grad():
        for batch in torch.split(indices, batch_size):
            inputs, wanted = load_batch(dataset, batch)
            outputs.append(_forward(model, inputs))
            targets.append(wanted)
        everything = torch.cat(outputs)
        if not everything.isfinite().all():
            raise TrainError(f"the model's outputs on the {split} split are not all finite")
        metric = float(task.metric(everything, torch.cat(targets)))
    if not math.isfinite(metric):
        raise TrainError(f"the metric of the {split} split is {metric}: expected a finite number")
    if metric > 1 + 1e-9:
        raise ConfigError(f"task.metric returned {metric:g}: expected at most 1, which is perfect")
    return Score(split, metric, wilson(1 - metric, len(indices)), len(indices))


def wilson(share: float, examples: int) -> Estimate:
    """A share of ``examples`` with its 95 % interval (Wilson 1927; a share outside 0 to 1 is taken as the nearest)."""
    clipped = min(max(share, 0.0), 1.0)
    scale = 1 + Z_95**2 / examples
    centre = (clipped + Z_95**2 / (2 * examples)) / scale
    spread = Z_95 / scale * math.sqrt(clipped * (1 - clipped) / examples + Z_95**2 / (4 * examples**2))
    return Estimate(share, min(max(0.0, centre - spread), share), max(min(1.0, centre + spread), share))


def one_cycle(step: int, steps: int) -> float:
    """The learning rate of ``step`` (from 0), as a share of its peak."""
    climb = max(1, round(WARM_UP * steps))
    if step < climb:
        return (step + 1) / climb
    return 0.5 * (1 + math.cos(math.pi * (step - climb + 1) / (steps - climb + 1)))


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


def data_sha256(dataset: Dataset[Any], *, examples: int = 64) -> str:
    """The identity of a map-style dataset, for the key of what was made from it.

    Of a TensorDataset it is all elements; of any other its length and ``examples`` of its examples, spread evenly and
    drawn under ``seeded(0)``. Of what is neither number, text, tensor nor array only the type counts.
    """
    digest = hashlib.sha256()
    if type(dataset) is TensorDataset:
        _feed(digest, dataset.tensors)
        return digest.hexdigest()
    size = len(dataset)  # type: ignore[arg-type]  # as in _shuffled
    count = min(examples, size)
    _feed(digest, size)
    with seeded(0):
        for place in range(count):
            _feed(digest, dataset[place * (size - 1) // max(count - 1, 1)])
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, value: Any) -> None:
    """Add ``value`` to ``digest``: how it is nested, and the type, shape and bytes of what it holds."""
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, tuple | list):
        digest.update(f"{len(value)} in a row;".encode())
        for part in value:
            _feed(digest, part)
        return
    if value is None or isinstance(value, str | bytes):
        digest.update(f"{value!r};".encode())
        return
    try:
        tensor = torch.as_tensor(value if isinstance(value, Tensor) else np.asarray(value)).detach().cpu()
    except (TypeError, ValueError):  # an object of somebody's own: its repr may hold an address
        digest.update(f"{type(value).__qualname__};".encode())
        return
    digest.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
    digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _shuffled(dataset: Dataset[Any], batch_size: int, seed: int, count: int) -> Iterator[tuple[Any, Tensor]]:
    """``count`` batches: epoch after epoch, each in an order of its own, incomplete last batches left out."""
    generator = torch.Generator().manual_seed(seed)
    size = len(dataset)  # type: ignore[arg-type]  # a map-style dataset has a length; torch's base class does not say so
    while True:
        order = torch.randperm(size, generator=generator)
        complete = max(size // batch_size * batch_size, min(size, batch_size))
        for batch in torch.split(order[:complete], batch_size):
            if count == 0:
                return
            yield load_batch(dataset, batch)
            count -= 1


def _split(task: Task, name: Literal["train", "validation", "test"]) -> Any:
    """A split that is there and not empty."""
    dataset = getattr(task, name)
    if dataset is None:
        raise ConfigError(f"the task has no {name} split: set its attribute {name!r} to a dataset of (input, target)")
    if len(dataset) == 0:
        raise ConfigError(f"the task's {name} split is empty")
    return dataset


def _forward(model: nn.Module, inputs: Any, *, channels_last: bool = False) -> Tensor:
    """The model's output for a batch: one tensor, or a sequence of them for a model of several inputs."""
    several = inputs if isinstance(inputs, tuple | list) else (inputs,)
    if channels_last:
        several = [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in several]
    outputs = model(*several)
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"the model returns {type(outputs).__name__}: only models of one output tensor can be trained"
        )
    return outputs


def _set_layout(model: nn.Module, layout: torch.memory_format) -> None:
    """Store the model's 4-d weights in ``layout``."""
    cast(Any, model).to(memory_format=layout)
