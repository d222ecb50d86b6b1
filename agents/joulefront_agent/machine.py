"""What the machine is: facts that stay the same for a whole session."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from joulefront_agent import conditions, identity, processor, sensors, wire

_EMULATED = ("simulated", "qemu", "linux,dummy-virt")


def facts(root: Path, meter: str) -> dict[str, Any]:
    """The machine's facts as plain values, read under the file system at ``root``; None for what it does not tell.

    They hold those of the ``processor``. ``machine`` tells machines apart without naming them, ``boot`` one boot from
    another. ``architecture`` is that of the programs, which may have fewer bits than the kernel. ``simulated`` says why
    nothing that is measured here counts as measured, None on a real machine. ``sensor`` names the energy sensor that
    ``meter`` stands for and ``sensor_covers`` what it measures; where there is none, both are None and
    ``sensor_reason`` says why. ``sensors`` lists all that could be chosen, "" for none.
    """
    sensor, reason = sensors.find(root, meter)
    bits = 64 if sys.maxsize > 1 << 32 else 32
    return {
        "protocol": wire.VERSION,
        "python": platform.python_version(),
        "tvm_ffi": _version("apache-tvm-ffi"),
        "architecture": architecture(platform.machine(), bits),
        "userland_bits": bits,
        **processor.facts(root),
        "cores": len(os.sched_getaffinity(0)),
        "memory_b": conditions.memory(root, "MemTotal"),
        "kernel": platform.release(),
        "os": _os(root),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "model": _board(root) or _computer(root),
        "simulated": _simulated(_board(root)),
        "machine": identity.machine(root),
        "boot": _boot(root),
        "sensor": sensor.name if sensor else None,
        "sensor_covers": sensor.covers if sensor else None,
        "sensor_reason": reason,
        "sensors": ", ".join(sensors.names(root)),
    }


def architecture(kernel: str, bits: int) -> str:
    """The architecture of programs of so many bits under a kernel that calls its own ``kernel``."""
    return kernel if bits == 64 else {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}.get(kernel, kernel)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _os(root: Path) -> str | None:
    for line in _text(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return None


def _board(root: Path) -> str:
    """The model that the device tree names, "" on a machine without one."""
    return _text(root / "sys/firmware/devicetree/base/model")


def _computer(root: Path) -> str | None:
    """The model that the firmware of a PC names."""
    folder = root / "sys/class/dmi/id"
    return " ".join(filter(None, (_text(folder / "sys_vendor"), _text(folder / "product_name")))) or None


def _simulated(board: str) -> str | None:
    """Why a board is none. A virtual PC is no such case: its processor runs the code itself."""
    emulated = any(word in board.lower() for word in _EMULATED)
    return f"the device tree's model is {board!r}: an emulated board" if emulated else None


def _boot(root: Path) -> str | None:
    text = _text(root / "proc/sys/kernel/random/boot_id")
    return hashlib.sha256(b"joulefront:" + text.encode()).hexdigest()[:16] if text else None


def _text(path: Path) -> str:
    """A file's text without what surrounds it, such as the NUL at the end of a device tree's; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""
