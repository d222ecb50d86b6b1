"""Fixtures for all tests: a cache of their own, and one thread, so that results do not depend on the machine."""

import os
import tempfile
from pathlib import Path

import pytest

# Before anything of the project is imported, and for the processes that tests start too: the user's cache stays untouched.
_CACHE = tempfile.TemporaryDirectory(prefix="joulefront-tests-")
os.environ["JOULEFRONT_CACHE"] = _CACHE.name
# The devices' locks as well: a search of the user's on this machine is no concern of the tests, nor they of it.
os.environ["XDG_RUNTIME_DIR"] = _CACHE.name
os.environ["JOULEFRONT_DEVICES"] = f"{_CACHE.name}/devices"
# TVM starts as many threads as this says, at once and for good: parallel kernels are to run in parallel in the tests.
os.environ["TVM_NUM_THREADS"] = "2"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("JOULEFRONT_CACHE", str(folder))
    return folder
