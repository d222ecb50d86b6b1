"""Which machine this is. The harness asks too, to see whether a device is the very machine that it runs on."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHANGING = ("cpu MHz", "bogomips", "BogoMIPS")


def machine(root: Path) -> str:
    """16 hex digits that are this machine's own, from the file system at ``root``; the same after a reboot.

    The machine's id comes with the card that it boots from, and cards are cloned: a board's serial number is added
    where there is one. They are hashed, since systemd asks that the id itself is not shown to others. Where there is
    neither, machines with the same processor are not told apart.
    """
    processor = _processor(root)
    serials = [
        _text(root / "etc/machine-id"),
        _text(root / "sys/firmware/devicetree/base/serial-number"),
        processor.get("Serial", ""),
    ]
    secret = "\n".join(filter(None, serials))
    if not secret:
        secret = repr(sorted(item for item in processor.items() if item[0] not in _CHANGING))
    return hashlib.sha256(b"joulefront:" + secret.encode()).hexdigest()[:16]


def _processor(root: Path) -> dict[str, str]:
    """What /proc/cpuinfo says; of what it says of several processors, the first."""
    table: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        table.setdefault(key.strip(), value.strip())
    return table


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""
