"""What could measure a device's energy: its own sensors, and the meters on this host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from joulefront.bench.metering import watched
from joulefront.bench.meters import build
from joulefront.bench.meters.survey import HostMeter
from joulefront.bench.meters.survey import survey as host_meters
from joulefront.bench.opening import opened
from joulefront.bench.session import Session
from joulefront.config import Plugin
from joulefront.errors import JoulefrontError, MeterError
from joulefront.protocols import Listener
from joulefront_agent import wire
from joulefront_agent.wire_energy import Found, Watch
from joulefront_devices import load
from joulefront_devices.device import Device
from joulefront_devices.registry import file_of

_UNITS = {"counter": "J", "power": "W"}
_LOOK_S, _TIMEOUT_S = 1.0, 30.0


def survey(name: str, listener: Listener) -> dict[str, Any]:
    """The document of ``joulefront devices meters``: everything that was found, also what cannot be used, and why.

    Raises ConfigError for a device that is none, and BenchError for one that cannot be reached or is in use.
    """
    device = load(name)
    listener.stage(f"opening {name}")
    chosen = None
    with opened(device) as session:
        listener.stage(f"looking at each meter of {name} for a moment")
        try:
            found, facts = session.meters(), session.facts
        except wire.Failure as failure:
            raise MeterError(f"device {name!r} cannot tell what meters it has: {failure}") from failure
        if isinstance(device.meter, Plugin):
            chosen = _described(session, device, device.meter)
    provenance = "simulated" if facts.get("simulated") else "measured"
    return {
        "device": name,
        "meter": device.meter if isinstance(device.meter, str) else device.meter.kind,
        "calibration": device.calibration.model_dump() if device.calibration else None,
        "meters": [
            *(_on_device(meter, facts, provenance) for meter in found),
            *_on_host(chosen),
        ],
        "reason": None if facts.get("sensor") or device.sensor == "none" else facts.get("sensor_reason"),
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


def _on_host(chosen: HostMeter | None) -> list[dict[str, Any]]:
    """Those on this host: the one that the device's file describes, and what else there is."""
    others = [
        meter
        for meter in host_meters()
        # Of a kind that the file describes, what is missing is missing no more.
        if not (chosen and (meter.name == chosen.name or (meter.kind == chosen.kind and meter.reason)))
    ]
    return [_row(meter, used=meter is chosen) for meter in [*([chosen] if chosen else []), *others]]


def _described(session: Session, device: Device, plugin: Plugin) -> HostMeter:
    """The meter of the device's file, as it shows in a window of the idle device; or why it cannot be used."""
    where = f"device {device.name}: [meter]"
    try:
        with closing(build(plugin, folder=Path.cwd(), where=where)) as meter:
            seen = HostMeter(meter.name, plugin.kind, meter.covers, meter.provenance)
            _, window = watched(session, meter, Watch((), 0, _LOOK_S, 0, _LOOK_S, _TIMEOUT_S))
    except (JoulefrontError, wire.Failure) as error:
        fix = f"mend [meter] in {file_of(device.name)}, or choose another"
        return HostMeter(plugin.kind, plugin.kind, "", "measured", reason=str(error), fix=fix)
    return replace(seen, period_s=window.period_s or None, resolution_j=window.resolution_j or None)


def _row(meter: HostMeter, *, used: bool) -> dict[str, Any]:
    return {
        "name": meter.name,
        "place": "host",
        "covers": meter.covers,
        "kind": meter.kind,
        "provenance": meter.provenance,
        "used": used,
        "auto": False,
        "period_s": meter.period_s,
        "resolution": meter.resolution_j,
        "resolution_unit": _UNITS["counter"] if meter.resolution_j is not None else None,
        "read_s": None,
        "reason": meter.reason,
        "fix": meter.fix,
    }
