"""Ready-made tasks and small models, and the check of a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from joulefront.tasks.task import Task

READY: Mapping[str, str] = MappingProxyType(
    {
        "mnist5k": "joulefront.tasks.ready_made:mnist5k",
        "digits": "joulefront.tasks.ready_made:digits",
        "fashion_mnist": "joulefront.tasks.ready_made:fashion_mnist",
    }
)
"""The ready-made tasks: their names and where each is found."""

__all__ = ["READY", "Task"]
