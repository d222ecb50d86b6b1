"""What could measure a device's energy: its own sensors, and the meters on this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from joulefront import plugins
from joulefront.bench.metering import watched
from joulefront.bench.meters import build
from joulefront.bench.meters.look import look
from joulefront.bench.meters.survey import HostMeter
from joulefront.bench.meters.survey import survey as host_meters
from joulefront.bench.opening import opened
from joulefront.bench.session import Session
from joulefront.config import Plugin
from joulefront.errors import BenchError, ConfigError, MeterError
from joulefront.protocols import Listener
from joulefront.records import EnergyWindow
from joulefront_agent import wire
from joulefront_agent.wire_energy import Found, Watch
from joulefront_devices import load
from joulefront_devices.device import Device
from joulefront_devices.registry import file_of

_UNITS = {"counter": "J", "power": "W"}
_TIMEOUT_S = 30.0  # beyond what is asked for
# Why a sensor that can be read did not show it.
_UNSEEN = {
    "period_s": "its value changed too seldom while it was looked at",
    "resolution": "its value did not change while it was looked at, and its driver says none",
    "read_s": "it was not looked at",
}


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
        others = host_meters()
        if isinstance(device.meter, Plugin):
            chosen = _described(session, device, device.meter, others)
    provenance = "simulated" if facts.get("simulated") else "measured"
    return {
        "device": name,
        "meter": device.meter if isinstance(device.meter, str) else device.meter.kind,
        "calibration": device.calibration.model_dump() if device.calibration else None,
        "meters": [
            *(_on_device(meter, facts, provenance) for meter in found),
            *_on_host(chosen, others),
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
        "unseen": {} if meter.reason else {name: why for name, why in _UNSEEN.items() if getattr(meter, name) is None},
        "doubt": None,
        "reason": meter.reason,
        "fix": meter.fix,
    }


def _on_host(chosen: HostMeter | None, others: Sequence[HostMeter]) -> list[dict[str, Any]]:
    """Those on this host: the one that the device's file describes, and what else there is."""
    if chosen is None:
        return [_row(meter, used=False) for meter in others]
    # Of a kind that the file describes, what is missing is missing no more.
    beside = [one for one in others if one.name != chosen.name and not (one.kind == chosen.kind and one.reason)]
    return [_row(chosen, used=True), *(_row(meter, used=False) for meter in beside)]


def _described(session: Session, device: Device, plugin: Plugin, others: Sequence[HostMeter]) -> HostMeter:
    """The meter of the device's file, as it shows while the device idles; or why it cannot be used, and what to do."""

    def window(least_s: float) -> EnergyWindow:
        return watched(session, meter, Watch((), 0, least_s, 0, least_s, least_s + _TIMEOUT_S))[1]

    try:
        with closing(build(plugin, folder=Path.cwd(), where=f"device {device.name}: [meter]")) as meter:
            return HostMeter(meter.name, plugin.kind, meter.covers, meter.provenance, seen=look(meter, window))
    except (ConfigError, MeterError, wire.Failure) as error:
        reason = str(error)
    except BenchError:
        raise  # the device, and not its meter
    except Exception as error:  # noqa: BLE001 -- a class of the user's may raise anything
        reason = plugins.describe(error)
    for other in others:
        if other.kind == plugin.kind and other.reason and other.reason in reason:
            return other
    file = device.name if device.name.endswith(".toml") else file_of(device.name)
    return HostMeter(
        plugin.kind, plugin.kind, "", "measured", reason, f"mend it or [meter] in {file}, or choose another"
    )


def _row(meter: HostMeter, *, used: bool) -> dict[str, Any]:
    return {
        "name": meter.name,
        "place": "host",
        "covers": meter.covers,
        "kind": meter.kind,
        "provenance": meter.provenance,
        "used": used,
        "auto": False,
        **asdict(meter.seen),
        "reason": meter.reason,
        "fix": meter.fix,
    }
