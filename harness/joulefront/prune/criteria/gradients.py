"""Criteria that estimate what the loss would do without a unit, from its derivatives by the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class Gradient:
    """How much the loss depends on the unit's weights: score_i = Σ abs(∂L/∂w).

    L is the mean loss over the calibration examples; the sum is over the weights that produce the unit. Blind to the
    weights' size: what is nearly zero may score high, and in a well-trained network all gradients are small and noisy.
    Prefer Taylor.
    """

    def __call__(self, group: Group) -> Tensor:
        return _summed(group, group.gradients, lambda _, gradient: gradient.abs()).float()


@dataclass(frozen=True, slots=True)
class Taylor:
    """The change of the loss without the unit, to first order: score_i = abs(Σ w · ∂L/∂w).

    The sum is over the weights that produce the unit, before its absolute value is taken, since they go together
    (Molchanov 2019, arXiv:1906.10771, section 3, the joint importance of a group of weights; its square root, which has
    the same order). For a filter without bias the sum is also activation times gradient, as in Molchanov 2017
    (arXiv:1611.06440, section 2.2). L is the mean loss over all of the calibration examples, so that effects of opposite
    sign on different examples cancel out. Of single weights abs(w · ∂L/∂w).
    """

    def __call__(self, group: Group) -> Tensor:
        return _summed(group, group.gradients, lambda weight, gradient: weight * gradient).abs().float()


@dataclass(frozen=True, slots=True)
class Hessian:
    """The change of the loss without the unit, to second order: score_i = Σ ½ h w².

    The saliency of Optimal Brain Damage (LeCun 1990, "Optimal Brain Damage", section 2: diagonal, and at a minimum, so
    that the first order is left out). h is the diagonal of the empirical Fisher matrix, the mean over examples of the
    squared gradient, which is the Hessian's where the model fits its data (Molchanov 2019, section 3, takes it as well).
    """

    def __call__(self, group: Group) -> Tensor:
        return _summed(group, group.curvatures, lambda weight, curvature: curvature * weight.square() / 2).float()


def _summed(group: Group, derivatives: Sequence[Tensor], value: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The sum of ``value`` of all weights that produce a unit and their derivatives: (channels,), float64."""
    total = torch.zeros(group.channels, dtype=torch.float64)
    for weight, derivative in zip(group.weights, derivatives, strict=True):
        total += value(weight.detach().double(), derivative.detach().double()).sum(1)
    return total
