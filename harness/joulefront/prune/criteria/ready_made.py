"""torch-pruning's own importances, applied to our groups.

They count more than ours of the same name: the weights that read the channel and the scales of its BatchNorms as well as
the weights that produce it, each layer with the same say; and they divide by the group's mean, so that groups can be
ranked together (DepGraph; Fang 2023, arXiv:2301.12900, "Group-level Pruning"). Formulas: ``torch_pruning.pruner.importance``.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch_pruning.pruner import importance

from joulefront.errors import ConfigError
from joulefront.protocols import Group


@dataclass(frozen=True, slots=True)
class GroupL2:
    """torch-pruning's GroupMagnitudeImportance: Σ w² over the whole group."""

    def __call__(self, group: Group) -> Tensor:
        return _scores(importance.GroupMagnitudeImportance()(group.coupled()))


@dataclass(frozen=True, slots=True)
class GroupTaylor:
    """torch-pruning's GroupTaylorImportance: Σ abs(w · ∂L/∂w) over the whole group but its BatchNorms."""

    def __call__(self, group: Group) -> Tensor:
        return _scores(importance.GroupTaylorImportance()(group.coupled("gradients")))


@dataclass(frozen=True, slots=True)
class GroupHessian:
    """torch-pruning's GroupHessianImportance: Σ w² h over the whole group, h as for ``Hessian``."""

    def __call__(self, group: Group) -> Tensor:
        return _scores(importance.GroupHessianImportance()(group.coupled("curvatures")))


@dataclass(frozen=True, slots=True)
class BnScale:
    """torch-pruning's BNScaleImportance: abs(γ) of the BatchNorms behind the channel, averaged.

    Network slimming (Liu 2017, arXiv:1708.06519, section 3), which trains with an L1 penalty on γ: without it the scales
    are less telling. Raises ConfigError for a group without BatchNorm.
    """

    def __call__(self, group: Group) -> Tensor:
        if not group.scales:
            raise ConfigError(
                "it judges channels, not single weights: take 'l1'"
                if group.single
                else "no BatchNorm scales its channels: take another criterion, or exclude that layer"
            )
        return _scores(importance.BNScaleImportance()(group.coupled()))


def _scores(scores: Tensor | None) -> Tensor:
    """Raises ConfigError when torch-pruning has nothing to judge by."""
    if scores is None:
        raise ConfigError("torch-pruning finds nothing to judge it by: take 'l2'")
    return scores.detach().float()
