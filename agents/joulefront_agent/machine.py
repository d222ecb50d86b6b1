"""What the machine is: facts that stay the same for a whole session."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from joulefront_agent import conditions, sensors, wire


def facts(root: Path, meter: str) -> dict[str, Any]:
    """The machine's facts as plain values, read under the file system at ``root``.

    ``features`` are the processor's, separated by spaces, in the kernel's spelling. ``machine`` tells machines apart
    without naming them. ``sensor`` names the energy sensor and ``sensor_covers`` what it measures; where there is
    none, both are None and ``sensor_reason`` says why.
    """
    sensor, reason = sensors.find(root, meter)
    processor = _processor(root)
    return {
        "protocol": wire.VERSION,
        "python": platform.python_version(),
        "tvm_ffi": _version("apache-tvm-ffi"),
        "architecture": platform.machine(),
        "cpu": processor.get("model name") or processor.get("CPU part"),
        "features": processor.get("flags") or processor.get("Features") or "",
        "cores": len(os.sched_getaffinity(0)),
        "memory_b": conditions.memory(root, "MemTotal"),
        "kernel": platform.release(),
        "os": _os(root),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "machine": _identity(root, processor),
        "sensor": sensor.name if sensor else None,
        "sensor_covers": sensor.covers if sensor else None,
        "sensor_reason": reason,
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _processor(root: Path) -> dict[str, str]:
    """The first processor's lines in /proc/cpuinfo."""
    table: dict[str, str] = {}
    for line in _lines(root / "proc/cpuinfo"):
        if not line.strip() and table:
            break
        key, _, value = line.partition(":")
        table.setdefault(key.strip(), value.strip())
    return table


def _os(root: Path) -> str | None:
    for line in _lines(root / "etc/os-release"):
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return None


def _identity(root: Path, processor: dict[str, str]) -> str:
    """A hash that is this machine's own: systemd asks that the machine's id itself is not shown to others."""
    lasting = sorted(item for item in processor.items() if item[0] not in ("cpu MHz", "bogomips", "BogoMIPS"))
    secret = "".join(_lines(root / "etc/machine-id")) or repr(lasting)
    return hashlib.sha256(b"joulefront:" + secret.encode()).hexdigest()[:16]
