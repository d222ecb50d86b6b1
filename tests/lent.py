"""What the tests of one room lend to those of another."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest


def lent(name: str) -> ModuleType:
    """A module beside the tests of a room, such as "prune/networks": the very one that these import."""
    path = Path(__file__).parent / name
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)
        return importlib.import_module(path.name)
