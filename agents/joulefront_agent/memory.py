"""How much memory this process came to hold, as Linux counts it: pages that are there, of files as well as of its own."""

from __future__ import annotations

from pathlib import Path

# What makes the kernel forget the most that the process has held so far; since Linux 4.0, see proc_pid_clear_refs(5).
_FORGET_PEAK = "5"


class Peak:
    """The most memory that this process has held since this was made, beyond what it held then.

    The kernel counts in batches: what is less than about 100 pages a core may not be seen. ``root`` is where /proc is.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "proc/self"
        self._before_b = 0
        self._reason: str | None = None
        try:
            (self._folder / "clear_refs").write_text(_FORGET_PEAK, encoding="ascii")
            self._before_b = self._read_b("VmRSS")
            self._read_b("VmHWM")  # a kernel without it shall say so now
        except (OSError, ValueError) as error:
            self._reason = f"the device does not say how much memory a process held: {error}"

    def added_b(self) -> tuple[int | None, str | None]:
        """How much it was at most, in bytes; or None and why that is not known."""
        if self._reason is not None:
            return None, self._reason
        return max(0, self._read_b("VmHWM") - self._before_b), None

    def _read_b(self, name: str) -> int:
        """One line of /proc/self/status, in bytes. Raises OSError, and ValueError where there is no such line."""
        path = self._folder / "status"
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == f"{name}:":
                return int(words[1]) * 1024
        raise ValueError(f"{path} has no {name}")
