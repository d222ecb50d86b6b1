"""Pruning a network: what can go (channels, heads, blocks, single weights), what judges it, the surgery and what it saves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

READY: Mapping[str, str] = MappingProxyType(
    {
        "l1": "joulefront.prune.criteria.magnitudes:L1",
        "l2": "joulefront.prune.criteria.magnitudes:L2",
        "lamp": "joulefront.prune.criteria.magnitudes:Lamp",
        "random": "joulefront.prune.criteria.magnitudes:Random",
        "absolute-threshold": "joulefront.prune.criteria.thresholds:AbsoluteThreshold",
        "relative-threshold": "joulefront.prune.criteria.thresholds:RelativeThreshold",
        "fpgm": "joulefront.prune.criteria.relations:Fpgm",
        "standard-score": "joulefront.prune.criteria.relations:StandardScore",
        "gradient": "joulefront.prune.criteria.gradients:Gradient",
        "taylor": "joulefront.prune.criteria.gradients:Taylor",
        "hessian": "joulefront.prune.criteria.gradients:Hessian",
        "activation": "joulefront.prune.criteria.activations:Activation",
        "activation-std": "joulefront.prune.criteria.activations:ActivationStd",
        "apoz": "joulefront.prune.criteria.activations:Apoz",
        "transfer": "joulefront.prune.criteria.activations:Transfer",
        "contribution": "joulefront.prune.criteria.losses:Contribution",
        "bn-scale": "joulefront.prune.criteria.ready_made:BnScale",
        "group-l2": "joulefront.prune.criteria.ready_made:GroupL2",
        "group-taylor": "joulefront.prune.criteria.ready_made:GroupTaylor",
        "group-hessian": "joulefront.prune.criteria.ready_made:GroupHessian",
    }
)
"""The ready-made criteria: their names and where each is found."""

__all__ = ["READY"]
