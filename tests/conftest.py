"""For all tests: a cache of their own, one thread, so that results do not depend on the machine, and how many processes.

Each of the processes has a cache and locks of its own: no test waits for another, and none finds what another one made.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from joulefront.workers import Workers

# Before anything of the project is imported, and for the processes that tests start too: the user's cache stays untouched.
_CACHE = tempfile.TemporaryDirectory(prefix="joulefront-tests-")
os.environ["JOULEFRONT_CACHE"] = _CACHE.name
# The devices' locks as well: a search of the user's on this machine is no concern of the tests, nor they of it.
os.environ["XDG_RUNTIME_DIR"] = _CACHE.name
os.environ["JOULEFRONT_DEVICES"] = f"{_CACHE.name}/devices"
# TVM starts as many threads as this says, at once and for good: parallel kernels are to run in parallel in the tests.
os.environ["TVM_NUM_THREADS"] = "2"

_MOST_PROCESSES = 8  # each may take 2 GB


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as there are cores for whole folders of tests; for what a command line chooses, this one alone."""
    chosen = config.option.keyword or config.option.markexpr not in config.getini("addopts")
    whole = all(Path(path).is_dir() for path in config.option.file_or_dir)
    cores = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    return cores if whole and not chosen and cores > 1 else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole studies first, of which a file takes longest, so that all processes have something to do until the end."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def shared_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that measure on this machine, beside others that work there: no reason to refuse what they measure."""
    monkeypatch.setattr("joulefront.bench.validity._MOST_SHARED", math.inf)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("JOULEFRONT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def one_worker() -> Iterator[type[Workers]]:
    """See shared_workers.shared: one for all tests of this process."""
    from shared_workers import shared

    with shared() as workers:
        yield workers


@pytest.fixture
def shared_workers(one_worker: type[Workers], monkeypatch: pytest.MonkeyPatch) -> type[Workers]:
    """One worker for all studies of a test, and for those of other tests."""
    for module in ("study", "estimate"):
        monkeypatch.setattr(f"joulefront.{module}.Workers", one_worker)
    return one_worker
