"""How the machine is right now: what /sys and /proc say, and None for what they don't."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read(root: Path) -> dict[str, Any]:
    """The conditions as plain values, under the file system at ``root``; every key is there, None where unknown.

    ``cpu_busy_s`` and ``cpu_total_s`` are counters in s, over all ``cpu_cores`` since the machine's start: two readings
    give the load between them. ``throttles`` counts how often a core was slowed down by heat.
    """
    busy, total, counted = cpu_seconds(root)
    cores = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*"))
    return {
        "governor": ",".join(sorted({text for core in cores if (text := _text(core / "cpufreq/scaling_governor"))}))
        or None,
        "frequency_hz": _highest([_number(core / "cpufreq/scaling_cur_freq", 1e3) for core in cores]),
        "frequency_max_hz": _highest([_number(core / "cpufreq/scaling_max_freq", 1e3) for core in cores]),
        "temperature_c": _highest(
            [_number(zone / "temp", 1e-3) for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))]
        ),
        "throttles": _sum([_number(core / "thermal_throttle/core_throttle_count", 1) for core in cores]),
        "load_1min": _load(root),
        "cpu_busy_s": busy,
        "cpu_total_s": total,
        "cpu_cores": counted,
        "memory_available_b": memory(root, "MemAvailable"),
        "kernel": _text(root / "proc/sys/kernel/osrelease"),
    }


def memory(root: Path, name: str) -> int | None:
    """One line of /proc/meminfo, in bytes."""
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def cpu_seconds(root: Path) -> tuple[float | None, float | None, int | None]:
    """How long the cores were busy, how long they were there, and how many they are."""
    lines = (_text(root / "proc/stat") or "").splitlines()
    fields = lines[0].split() if lines else []
    if len(fields) < 9 or fields[0] != "cpu":
        return None, None, None
    # user nice system idle iowait irq softirq steal, in ticks of 10 ms on every Linux that shows them to programs.
    # Time stolen by other virtual machines counts as busy: it disturbs as much.
    ticks = [int(field) for field in fields[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / 100, sum(ticks) / 100, sum(line.startswith("cpu") for line in lines[1:])


def _load(root: Path) -> float | None:
    text = _text(root / "proc/loadavg")
    return float(text.split()[0]) if text else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path, factor: float) -> float | None:
    text = _text(path)
    try:
        return float(text) * factor if text else None
    except ValueError:
        return None


def _highest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _sum(values: list[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return int(sum(known)) if known else None
