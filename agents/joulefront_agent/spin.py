"""Cores kept busy, for whatever watches the machine meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def spinning(cores: Sequence[int]) -> Iterator[None]:
    """A process on each of ``cores`` that does nothing but take its time.

    To be called before there are threads. They are of the caller's process group, and are killed with it.
    """
    children = []
    try:
        for core in cores:
            child = os.fork()
            if child == 0:
                _spin(core)
            children.append(child)
        yield
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def _spin(core: int) -> None:
    """Never returns."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {core})
    parent = os.getppid()
    while os.getppid() == parent:
        for _ in range(1_000_000):
            pass
    os._exit(0)
