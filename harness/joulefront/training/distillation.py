"""Learning from another network's outputs beside the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.errors import ConfigError
from joulefront.training.forward import forward


@dataclass(frozen=True, slots=True)
class Teacher:
    """A classifier whose logits another one learns from (Hinton 2015, arXiv:1503.02531, section 2).

    loss = (1 - share) · labels + share · T² · KL(softmax(teacher / T) ‖ softmax(student / T)), the divergence being the mean
    over the examples, T the ``temperature``. T² keeps its gradients in proportion to the labels' whatever T is.
    Raises ConfigError for a temperature that is not above 0 or a share outside 0 to 1.
    """

    model: nn.Module
    temperature: float
    share: float

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"distillation's temperature: expected a number above 0, not {self.temperature:g}")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"distillation: expected the share of the loss, from 0 to 1, not {self.share:g}")

    def mixed(self, labels: Tensor, logits: Tensor, inputs: Any, targets: Tensor, *, place: str) -> Tensor:
        """The loss, a scalar: that of the ``labels``, and how far ``logits``, (n, classes, …), are from the teacher's.

        Raises ConfigError where the outputs are not logits of classes, or the teacher's are of other classes.
        """
        with torch.no_grad():
            wanted = forward(self.model, inputs, place=place).float()
        _check(logits, wanted, targets)
        soft, aim = (F.log_softmax(part / self.temperature, 1) for part in (logits, wanted))
        divergence = F.kl_div(soft, aim, log_target=True, reduction="sum") / targets.numel()
        return (1 - self.share) * labels + self.share * self.temperature**2 * divergence


def _check(logits: Tensor, wanted: Tensor, targets: Tensor) -> None:
    """Raise ConfigError unless there are logits along dimension 1 and a class number for each row of them."""
    classes = logits.dim() >= 2 and logits.shape[1] >= 2 and logits.shape[:1] + logits.shape[2:] == targets.shape
    if not classes or targets.is_floating_point():
        raise ConfigError(
            "distillation needs a classifier, whose outputs are (n, classes) and whose targets are class numbers (n,): these "
            f"are {tuple(logits.shape)} and {tuple(targets.shape)} of {targets.dtype}; leave distillation out for this task"
        )
    if wanted.shape != logits.shape:
        raise ConfigError(
            f"distillation: the teacher's outputs are {tuple(wanted.shape)} and the model's {tuple(logits.shape)}: expected "
            "the same classes"
        )
