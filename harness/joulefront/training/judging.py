"""How good a network is on a split of the data, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from joulefront.errors import ConfigError, TrainError
from joulefront.protocols import Task
from joulefront.records import Estimate, Score
from joulefront.training.data import load_batch, split_of
from joulefront.training.device import Device, placed
from joulefront.training.forward import forward
from joulefront.training.macro import is_classification, macro_errors
from joulefront.training.seeds import seeded

Z_95 = 1.959963984540054
"""The standard normal's 97.5 % quantile: 95 % of it lies within ± this."""

Split = Literal["validation", "test"]

_BATCH = 100


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model returned for examples of a ``split``, and what was wanted: ``outputs`` (n, …) and ``targets`` (n, …)."""

    split: Split
    outputs: Tensor
    targets: Tensor

    @property
    def right(self) -> Tensor | None:
        """Whether the highest score is the target's, (n,) bool; None where these are not scores of classes."""
        if not is_classification(self.outputs, self.targets):
            return None
        return self.outputs.argmax(1) == self.targets


def evaluate(
    model: nn.Module, task: Task, split: Split, *, limit: int | None = None, seed: int = 0, device: Device = "auto"
) -> Score:
    """What ``model`` reaches on a split: ``score_of`` what it predicts. Raises as ``predict`` and ``score_of``."""
    return score_of(predict(model, task, split, limit=limit, seed=seed, device=device), task)


def predict(
    model: nn.Module, task: Task, split: Split, *, limit: int | None = None, seed: int = 0, device: Device = "auto"
) -> Predictions:
    """What ``model`` returns for a split: for all of it, or for the first ``limit`` examples of its order shuffled by ``seed``.

    They are the same for every model, in the same order; computed in float32. Raises ConfigError when the split is missing,
    and TrainError when the outputs are not finite.
    """
    dataset = split_of(task, split)
    indices = torch.arange(len(dataset))
    if limit is not None and limit < len(dataset):
        indices = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))[:limit]
    model.eval()
    outputs: list[Tensor] = []
    targets: list[Tensor] = []
    with placed(device, model) as place, seeded(seed), torch.no_grad():
        for batch in torch.split(indices, _BATCH):
            inputs, batch_targets = load_batch(dataset, batch)
            outputs.append(forward(model, inputs, place=place).cpu())
            targets.append(batch_targets)
    everything = torch.cat(outputs)
    if not everything.isfinite().all():
        raise TrainError(f"the model's outputs on the {split} split are not all finite")
    return Predictions(split, everything, torch.cat(targets))


def score_of(predictions: Predictions, task: Task) -> Score:
    """What predictions are worth by the task's metric and loss, which see the outputs of all examples at once.

    The error's interval is the 95 % Wilson interval, which is right for a metric that is a share of examples, such as top-1
    accuracy, and only a rough guide for any other. A classifier's score has the macro averages as well
    (``macro.macro_errors``). Raises TrainError when the metric is not finite, and ConfigError when it is above 1.
    """
    outputs, targets = predictions.outputs, predictions.targets
    with seeded(0), torch.no_grad():
        metric = float(task.metric(outputs, targets))
        loss = float(task.loss(outputs, targets))
    if not math.isfinite(metric):
        raise TrainError(f"the metric of the {predictions.split} split is {metric}: expected a finite number")
    if metric > 1 + 1e-9:
        raise ConfigError(f"task.metric returned {metric:g}: expected at most 1, which is perfect")
    examples = len(targets)
    error = wilson(1 - metric, examples)
    macro: Mapping[str, Estimate] = {}
    if is_classification(outputs, targets):
        macro = macro_errors(outputs, targets, perfect=wilson(0.0, examples))
    return Score(predictions.split, metric, error, examples, loss if math.isfinite(loss) else None, macro)


def wilson(share: float, examples: int) -> Estimate:
    """A share of ``examples`` with its 95 % interval (Wilson 1927; a share outside 0 to 1 is taken as the nearest)."""
    clipped = min(max(share, 0.0), 1.0)
    scale = 1 + Z_95**2 / examples
    centre = (clipped + Z_95**2 / (2 * examples)) / scale
    spread = Z_95 / scale * math.sqrt(clipped * (1 - clipped) / examples + Z_95**2 / (4 * examples**2))
    return Estimate(share, min(max(0.0, centre - spread), share), max(min(1.0, centre + spread), share))
