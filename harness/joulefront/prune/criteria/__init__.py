"""What tells how much each unit of a group is worth: one small callable each, group -> one score a unit, higher is kept.

A group is coupled channels, or the single weights of one layer (``joulefront.protocols.Group``). Where a criterion scores
channels, everything that goes with a channel is counted, over all coupled layers.
"""

from joulefront.prune.criteria.activations import Activation, ActivationStd, Apoz, Transfer
from joulefront.prune.criteria.gradients import Gradient, Hessian, Taylor
from joulefront.prune.criteria.losses import Contribution
from joulefront.prune.criteria.magnitudes import L1, L2, Lamp, Random
from joulefront.prune.criteria.ready_made import BnScale, GroupHessian, GroupL2, GroupTaylor
from joulefront.prune.criteria.relations import Fpgm, StandardScore
from joulefront.prune.criteria.thresholds import AbsoluteThreshold, RelativeThreshold

__all__ = [
    "L1",
    "L2",
    "AbsoluteThreshold",
    "Activation",
    "ActivationStd",
    "Apoz",
    "BnScale",
    "Contribution",
    "Fpgm",
    "Gradient",
    "GroupHessian",
    "GroupL2",
    "GroupTaylor",
    "Hessian",
    "Lamp",
    "Random",
    "RelativeThreshold",
    "StandardScore",
    "Taylor",
    "Transfer",
]
