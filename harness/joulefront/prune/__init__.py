"""Cutting whole channels out of a network: what can be cut, what to keep, the surgery and what it saves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

READY: Mapping[str, str] = MappingProxyType(
    {"l2": "joulefront.prune.criteria:L2", "random": "joulefront.prune.criteria:Random"}
)
"""The ready-made criteria: their names and where each is found."""

__all__ = ["READY"]
