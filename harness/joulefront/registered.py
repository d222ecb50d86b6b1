"""What is known of the registered devices, as the documents of ``joulefront devices list`` and ``show``."""

from __future__ import annotations

from typing import Any

from joulefront.bench.target import target_of
from joulefront.errors import ConfigError
from joulefront_devices import load, profile, registry
from joulefront_devices.device import LOCAL, Device, sensors_in


def listing() -> list[dict[str, Any]]:
    """One row a device, this machine first. A file that is wrong is a row that says so."""
    names = [LOCAL, *(name for name in registry.names() if name != LOCAL)]
    return [_row(name) for name in names]


def show(name: str) -> dict[str, Any]:
    """All that is known of a device. Raises ConfigError."""
    device = load(name)
    board = profile(device.profile) if device.profile else None
    file = registry.file_of(name) if name in registry.names() else None
    return {
        **_known(device),
        "description": device.description,
        "arguments": device.transport.arguments,
        "meter": device.meter if isinstance(device.meter, str) else device.meter.kind,
        "calibration": device.calibration.model_dump() if device.calibration else None,
        "checked": device.checked.at if device.checked else None,
        "notes": list(board.notes) if board else [],
        "facts": dict(device.facts),
        "file": str(file) if file else None,
    }


def meters(device: Device) -> list[str]:
    """The meters that the device said it has when it was last checked, or the one that its file names."""
    if not isinstance(device.meter, str):
        return [device.meter.kind]
    if device.meter != "auto":
        return [] if device.meter == "none" else [device.meter]
    return sensors_in(device.facts)


def _row(name: str) -> dict[str, Any]:
    try:
        return {**_known(load(name)), "problem": None}
    except ConfigError as error:
        unknown = dict.fromkeys(("profile", "transport", "host", "target"))
        return {"name": name, **unknown, "meters": [], "status": "broken", "problem": str(error)}


def _known(device: Device) -> dict[str, Any]:
    host = device.transport.arguments.get("host")
    return {
        "name": device.name,
        "profile": device.profile,
        "transport": device.transport.kind,
        "host": str(host) if host is not None else None,
        "target": _target(device),
        "meters": meters(device),
        "status": device.checked.status if device.checked else "unchecked",
    }


def _target(device: Device) -> str | None:
    """LLVM's name of the processor that code is made for, where it is known by now."""
    if device.target is not None:
        return device.target.cpu
    if not {"architecture", "features", "cores"} <= device.facts.keys():
        return None
    try:
        return target_of(device, device.facts, 1).cpu
    except ConfigError:
        return None
