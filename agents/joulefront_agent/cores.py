"""Which cores a network runs on."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from joulefront_agent.wire import Failure


def fastest(root: Path, count: int) -> list[int]:
    """``count`` of the cores that this process may use, the fastest first, in the order of their numbers.

    Raises Failure (NoThreads) when there are too few.
    """
    allowed = os.sched_getaffinity(0)
    if count > len(allowed):
        raise Failure("NoThreads", f"{count} threads were asked for, but the agent may use {len(allowed)} cores only")
    return ordered(root, allowed)[:count]


def spare(used: Collection[int]) -> set[int]:
    """Where to read sensors: the cores that this process may use and that are not ``used``, or all where none is left."""
    allowed = os.sched_getaffinity(0)
    return allowed.difference(used) or allowed


def ordered(root: Path, cores: set[int]) -> list[int]:
    """The cores from the fastest to the slowest, equal ones in the order of their numbers.

    The kernel's figure for what a core is capable of goes before its highest frequency: some little cores have a higher
    one than the big ones. Where the file system at ``root`` tells neither, a core counts as the slowest.
    """

    def rank(core: int) -> tuple[int, int, int]:
        folder = root / f"sys/devices/system/cpu/cpu{core}"
        return -_number(folder / "cpu_capacity"), -_number(folder / "cpufreq/cpuinfo_max_freq"), core

    return sorted(cores, key=rank)


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
