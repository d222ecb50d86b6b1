"""What could measure a device's energy: its own sensors, and the meters on this host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulefront.bench.opening import opened
from joulefront.protocols import Listener
from joulefront_agent.wire_energy import Found
from joulefront_devices import load

_UNITS = {"counter": "J", "power": "W"}


def survey(name: str, listener: Listener) -> dict[str, Any]:
    """The document of ``joulefront devices meters``: everything that was found, also what cannot be used, and why.

    Raises ConfigError for a device that is none, and BenchError for one that cannot be reached or is in use.
    """
    device = load(name)
    listener.stage(f"opening {name}")
    with opened(device) as session:
        listener.stage(f"looking at each meter of {name} for a moment")
        found, facts = session.meters(), session.facts
    provenance = "simulated" if facts.get("simulated") else "measured"
    return {
        "device": name,
        "meter": device.meter if isinstance(device.meter, str) else device.meter.kind,
        "calibration": device.calibration.model_dump() if device.calibration else None,
        "meters": [_on_device(meter, facts, provenance) for meter in found],
        "reason": None if facts.get("sensor") else facts.get("sensor_reason"),
    }


def _on_device(meter: Found, facts: Mapping[str, Any], provenance: str) -> dict[str, Any]:
    """One of the device's own; ``used`` is the one that the device's file stands for."""
    return {
        "name": meter.name,
        "place": "device",
        "covers": meter.covers,
        "kind": meter.kind,
        "provenance": provenance,
        "used": meter.name == facts.get("sensor"),
        "auto": meter.auto,
        "period_s": meter.period_s,
        "resolution": meter.resolution,
        "resolution_unit": _UNITS[meter.kind] if meter.resolution is not None else None,
        "read_s": meter.read_s,
        "reason": meter.reason,
        "fix": meter.fix,
    }
