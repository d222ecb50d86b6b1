"""Which cores a network runs on."""

from __future__ import annotations

import os
from pathlib import Path

from joulefront_agent.wire import Failure


def fastest(root: Path, count: int) -> list[int]:
    """``count`` of the cores that this process may use, the fastest first, in the order of their numbers.

    Where the file system at ``root`` does not tell a core's highest frequency, it counts as the slowest. Raises Failure
    (NoThreads) when there are too few.
    """
    allowed = os.sched_getaffinity(0)
    if count > len(allowed):
        raise Failure("NoThreads", f"{count} threads were asked for, but the agent may use {len(allowed)} cores only")
    return sorted(allowed, key=lambda core: (-_frequency_khz(root, core), core))[:count]


def _frequency_khz(root: Path, core: int) -> int:
    try:
        return int((root / f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
