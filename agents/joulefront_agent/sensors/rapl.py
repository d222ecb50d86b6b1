"""RAPL: the energy counters that Intel's and AMD's processors keep of themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from pathlib import Path

from joulefront_agent.sensors import sysfs
from joulefront_agent.sensors.meter import Looked, Meter, Unusable
from joulefront_agent.sensors.reading import Reading
from joulefront_agent.wire import Failure

_TICK_LIMIT_S = 0.5
_POWER_LIMIT_W = 1000.0
_STEP_J = 1e-6
_FILES = ("energy_uj", "max_energy_range_uj")
_COVERS = "processor packages: "


def look(root: Path) -> Looked:
    """The counters under the file system at ``root``."""
    zones = _packages(root / "sys/class/powercap")
    if not zones:
        return Looked(absent="/sys/class/powercap has no RAPL package zone, as on virtual machines and ARM")
    covers = _COVERS + ", ".join(sysfs.text(zone / "name") for zone in zones)
    try:
        for zone in zones:
            for file in _FILES:
                sysfs.number(zone / file)
    except PermissionError:
        reason = "RAPL's counters are readable by root only since 2020 (CVE-2020-8694)"
        return _not_to_be_read(
            covers, reason, sysfs.rule("powercap", "KERNEL", "intel-rapl*", ["energy_uj", "max_energy_range_uj"])
        )
    except (OSError, ValueError) as error:
        return _not_to_be_read(covers, f"RAPL cannot be read: {error}", None)

    def energy_j() -> float:
        return sum(sysfs.number(zone / "energy_uj") for zone in zones) * _STEP_J

    def make(_: str, __: Collection[int]) -> Rapl:
        return Rapl(zones)

    return Looked([Meter(("rapl",), covers, "counter", True, make, energy_j, lambda _: _STEP_J)])


def _not_to_be_read(covers: str, reason: str, fix: str | None) -> Looked:
    return Looked(unusable=[Unusable("rapl", covers, "counter", reason, fix)])


class Rapl:
    """The energy counters of the processor packages (Intel and AMD), summed over the sockets.

    Only package zones: core and uncore are parts of them, and psys contains them.
    """

    name = "rapl"

    def __init__(self, zones: list[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._zones = zones
        self._clock = clock
        self._range_uj = [sysfs.number(zone / "max_energy_range_uj") for zone in zones]
        self._start_uj: list[int] = []
        self._start_s = 0.0
        self.period_s = 0.0
        self.covers = _COVERS + ", ".join(sysfs.text(zone / "name") for zone in zones)

    def start(self) -> None:
        """Begin a window at the moment of an update, so that its first edge is sharp. Raises Failure (MeterError)."""
        earlier_s, _ = self._tick()
        self._start_s, self._start_uj = self._tick()
        self.period_s = self._start_s - earlier_s

    def stop(self) -> Reading:
        """End the window now. Raises Failure (MeterError) for a counter that stood still or may have wrapped twice."""
        began_s = time.thread_time()
        now_uj, window_s = self._read(), self._clock() - self._start_s
        cost_s = time.thread_time() - began_s
        total_uj = 0
        for index, zone in enumerate(self._zones):
            start, now, span = self._start_uj[index], now_uj[index], self._range_uj[index]
            if now == start:
                raise Failure("MeterError", f"{zone}/energy_uj stood still for {window_s:.3g} s: the counter is stuck")
            if span < _POWER_LIMIT_W * window_s * 1e6:
                raise Failure("MeterError", f"{zone}/energy_uj may wrap more than once in {window_s:.3g} s")
            more_uj = now - start if now > start else now - start + span
            if more_uj > _POWER_LIMIT_W * max(window_s, 1.0) * 1e6:
                raise Failure(
                    "MeterError",
                    f"{zone}/energy_uj went from {start} to {now} in {window_s:.3g} s: it was set anew, or is broken",
                )
            total_uj += more_uj
        resolution_j = _STEP_J * len(self._zones)
        return Reading(total_uj * _STEP_J, window_s, resolution_j, self.period_s, cost_s=cost_s)

    def _tick(self) -> tuple[float, list[int]]:
        """Wait for an update: the time and the counters right after it."""
        first, began_s = self._read(), self._clock()
        while True:
            counters, now_s = self._read(), self._clock()
            if counters[0] != first[0]:
                return now_s, counters
            if now_s - began_s > _TICK_LIMIT_S:
                raise Failure("MeterError", f"{self._zones[0]}/energy_uj stands still: the counter is stuck")

    def _read(self) -> list[int]:
        try:
            return [sysfs.number(zone / "energy_uj") for zone in self._zones]
        except (OSError, ValueError) as error:
            raise Failure("MeterError", f"RAPL cannot be read: {error}") from error


def _packages(folder: Path) -> list[Path]:
    """One zone a package. A package shows up twice where it has a memory-mapped interface too: the first is enough."""
    found: dict[str, Path] = {}
    for pattern in ("intel-rapl:*", "intel-rapl-mmio:*"):
        for zone in sorted(folder.glob(pattern)):
            name = sysfs.text(zone / "name")
            if re.match(r"package-\d+", name):
                found.setdefault(name, zone)
    return list(found.values())
