"""Joulefront: pruned networks whose accuracy, latency and energy were measured on the device that will run them.

``import joulefront`` loads nothing: each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joulefront.errors import BenchError, CandidateError, ConfigError, JoulefrontError
    from joulefront.library import Comparison, Study, compare, open, run  # noqa: A004

__all__ = [
    "BenchError",
    "CandidateError",
    "Comparison",
    "ConfigError",
    "JoulefrontError",
    "Study",
    "compare",
    "open",
    "run",
]
_ERRORS = frozenset({"BenchError", "CandidateError", "ConfigError", "JoulefrontError"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'joulefront' has no attribute {name!r}")
    return getattr(importlib.import_module("joulefront.errors" if name in _ERRORS else "joulefront.library"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
