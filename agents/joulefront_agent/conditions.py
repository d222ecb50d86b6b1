"""How the machine is right now: what /sys, /proc and the firmware say, and None for what they don't."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from joulefront_agent import command

_FIRMWARE_S = 1.0
_THROTTLED = re.compile(r"throttled=0x([0-9a-fA-F]{1,8})")
# Firmware that did not answer once is not asked again: each time may take as long.
_silent: set[Path] = set()


def read(root: Path, cores: Collection[int] | None = None) -> dict[str, Any]:
    """The conditions as plain values, under the file system at ``root``; every key is there, None where unknown.

    The governor and the clock are those of ``cores``, which are told, or of all. ``frequency_hz`` is the highest of
    theirs now, and ``frequency_low_hz`` the lowest; ``frequency_min_hz`` and ``frequency_max_hz`` are what the kernel was
    asked to keep to, and ``boost`` is 1 where the processor may go beyond its nominal clock, 0 where it may not.
    ``throttles`` counts how often a core was slowed down by heat, and ``throttled`` are the bits of a Raspberry Pi's
    firmware: 0 to 3 for now, 16 to 19 for once since its start.
    ``cpu_busy_s`` and ``cpu_total_s`` are counters in s, over all ``cpu_cores`` since the machine's start: two readings
    give the load between them.
    """
    busy, total, counted = cpu_seconds(root)
    folders = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*"))
    chosen = [folder / "cpufreq" for folder in folders if cores is None or int(folder.name[3:]) in cores]
    now = [_number(clock / "scaling_cur_freq", 1e3) for clock in chosen]
    return {
        "cores": None if cores is None else ",".join(map(str, cores)),
        "governor": ",".join(sorted({text for clock in chosen if (text := _text(clock / "scaling_governor"))})) or None,
        "frequency_hz": _highest(now),
        "frequency_low_hz": _lowest(now),
        "frequency_min_hz": _lowest([_number(clock / "scaling_min_freq", 1e3) for clock in chosen]),
        "frequency_max_hz": _highest([_number(clock / "scaling_max_freq", 1e3) for clock in chosen]),
        "boost": _boost(root),
        "temperature_c": _highest(
            [_number(zone / "temp", 1e-3) for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))]
        ),
        "throttles": _sum([_number(folder / "thermal_throttle/core_throttle_count", 1) for folder in folders]),
        "throttled": _throttled(root),
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
            kibibytes = value.split()[:1]
            return int(kibibytes[0]) * 1024 if kibibytes and kibibytes[0].isdecimal() else None
    return None


def cpu_seconds(root: Path) -> tuple[float | None, float | None, int | None]:
    """How long the cores were busy, how long they were there, and how many they are."""
    lines = (_text(root / "proc/stat") or "").splitlines()
    fields = lines[0].split() if lines else []
    if len(fields) < 9 or fields[0] != "cpu" or not all(field.isdecimal() for field in fields[1:9]):
        return None, None, None
    # user nice system idle iowait irq softirq steal, in ticks of 10 ms on every Linux that shows them to programs.
    # Time stolen by other virtual machines counts as busy: it disturbs as much.
    ticks = [int(field) for field in fields[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / 100, sum(ticks) / 100, sum(line.startswith("cpu") for line in lines[1:])


def _boost(root: Path) -> int | None:
    folder = root / "sys/devices/system/cpu"
    for switch, on in ((folder / "cpufreq/boost", "1"), (folder / "intel_pstate/no_turbo", "0")):
        text = _text(switch)
        if text in ("0", "1"):
            return int(text == on)
    # Before Linux 6.11 this driver had no switch, and boosted.
    drivers = {_text(policy / "scaling_driver") or "" for policy in (folder / "cpufreq").glob("policy[0-9]*")}
    return 1 if any(driver.startswith("amd-pstate") for driver in drivers) else None


def _throttled(root: Path) -> int | None:
    path = _vcgencmd(root)
    if path is None or path in _silent:
        return None
    try:
        found = _THROTTLED.fullmatch(command.said(path, "get_throttled", limit_s=_FIRMWARE_S).strip())
    except OSError:
        found = None
    if found is None:
        _silent.add(path)
        return None
    return int(found[1], 16)


@cache
def _vcgencmd(root: Path) -> Path | None:
    """The Raspberry Pi's command, looked for once: most machines have none."""
    return command.find(root, "vcgencmd")


def _load(root: Path) -> float | None:
    text = _text(root / "proc/loadavg")
    return _finite(text.split()[0]) if text else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path, factor: float) -> float | None:
    value = _finite(_text(path) or "")
    return None if value is None else value * factor


def _finite(text: str) -> float | None:
    """A number, unless it is none: drivers write <unknown>, and JSON has no NaN."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _highest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _lowest(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _sum(values: list[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return int(sum(known)) if known else None
