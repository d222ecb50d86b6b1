"""How busy the machine's cores were over a stretch of time, and how much of that was this process."""

from __future__ import annotations

from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import monotonic

from joulefront_agent import conditions

_TICKS_S = 0.03
_TOLD_CORES = 0.1


class Load:
    """What the cores did since this was made. ``root`` is where /proc is."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._began_s = monotonic()
        self._own_s = _own()
        self._busy_s = conditions.cpu_seconds(root)[0]

    def busy_cores(self) -> float | None:
        """How many cores' time was taken on average, by whatever there was; None where the kernel does not say."""
        busy_s = conditions.cpu_seconds(self._root)[0]
        if busy_s is None or self._busy_s is None:
            return None
        return max(0.0, busy_s - self._busy_s) / self._span_s()

    def own_cores(self) -> float:
        """How many this process and its children that have ended took."""
        return max(0.0, _own() - self._own_s) / self._span_s()

    def others_cores(self) -> float | None:
        """How many all others took; None where the kernel does not say, or after too short a time to tell.

        The kernel counts what the cores did in ticks of 10 ms, user's and system's time apart, and tells whole ones only; and
        whoever is there at a tick has all of it. So a difference may be off by three, which are to be less than a tenth of
        a core.
        """
        busy = self.busy_cores()
        if busy is None or self._span_s() * _TOLD_CORES < _TICKS_S:
            return None
        return max(0.0, busy - self.own_cores())

    def _span_s(self) -> float:
        return max(monotonic() - self._began_s, 1e-9)


def _own() -> float:
    return sum(used.ru_utime + used.ru_stime for used in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))
