"""A device's meter is compared with another one, and the factor between them is kept in the device's file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from joulefront import config
from joulefront.bench import metering, meters, validity
from joulefront.bench.energy import window_of
from joulefront.bench.opening import opened
from joulefront.bench.session import Session
from joulefront.config import Plugin, Table
from joulefront.cross_check import Load, judge
from joulefront.errors import ConfigError, MeterError
from joulefront.protocols import Listener
from joulefront.records import EnergyWindow, Estimate
from joulefront.register import rewrite
from joulefront_agent import wire
from joulefront_agent.wire_energy import Watch
from joulefront_devices import load
from joulefront_devices.device import CalibrationTable, Device
from joulefront_devices.tables import Meter

_PERIODS = 100
_SPARE_S = 60.0

Readings = list[tuple[str, str, EnergyWindow]]
"""What each of two meters read over one window: its name, what it covers, and the window."""

Watching = Callable[[int, float], tuple[Readings, Sequence[str]]]
"""Watches both, with so many cores busy, for so long in s; and says what is doubtful about that time."""


class _MeterFile(Table):
    """A file with a meter on the host, as a device's file has it."""

    meter: Plugin


def calibrate(name: str, against: str, listener: Listener, *, window_s: float, rounds: int) -> dict[str, Any]:
    """Compare a device's meter with another one, and keep the factor between them in the device's file.

    ``against`` is another sensor of the device by its name, or a meter on this host: its kind, or a TOML file with its table
    [meter]. Both measure ``rounds`` windows of ``window_s`` or more with the device idle and as many with its cores busy, in
    turns. Returns the document of ``joulefront devices calibrate``. What is no factor is not kept, and the document says why.

    Raises ConfigError for what cannot be compared, and BenchError when the device or a meter fails.
    """
    device = load(name)
    other = _named(against)
    listener.stage(f"opening {name}")
    with opened(device) as session, _both(device, session, other) as watch:
        # One core is left to what reads the meters.
        cores = {"idle": 0, "busy": max(1, int(session.facts["cores"]) - 1)}
        read: dict[str, list[Readings]] = {which: [] for which in cores}
        doubts: Counter[str] = Counter()
        for turn in range(rounds):
            # The other way round each time, so that what drifts meanwhile falls on both loads alike.
            for which in sorted(cores, reverse=turn % 2 == 0):
                listener.stage(f"round {turn + 1} of {rounds}: {which}")
                readings, said = watch(cores[which], window_s)
                read[which].append(_sound(readings, which))
                doubts.update(f"with the device {which}, {doubt}" for doubt in said)
        simulated = bool(session.facts.get("simulated"))
    document = _document(device, read, doubts, simulated=simulated)
    if document["reason"] is None:
        document |= _kept(name, document)
    return document


def forget(name: str) -> dict[str, Any]:
    """Take the factor out of a device's file. Returns {"device", "forgotten": what it was}. Raises ConfigError."""
    known = load(name).calibration
    if known is None:
        raise ConfigError(f"device {name!r} has no calibration to forget")
    if name.endswith(".toml"):
        raise ConfigError(f"{name} is your own file: take the table [calibration] out of it")
    rewrite(name, {("calibration",): None})
    return {"device": name, "forgotten": known.model_dump()}


def _named(against: str) -> str | Plugin:
    """A sensor of the device, or a meter on the host, that a user's word stands for. Raises ConfigError."""
    if against.endswith(".toml"):
        return config.parse(config.read_text(Path(against)), _MeterFile, source=against).meter
    try:
        name: str = TypeAdapter(Meter).validate_python(against)
    except ValidationError:  # what is no sensor's name may be a host meter's, which says so itself
        return Plugin(kind=against)
    if name in ("auto", "none"):
        raise ConfigError(f"--against {name}: expected one meter by its name, or a file with a table [meter]")
    return name


@contextmanager
def _both(device: Device, session: Session, other: str | Plugin) -> Iterator[Watching]:
    """What watches the device's meter and the other one at once. Raises ConfigError, and MeterError."""
    own: str | Plugin = device.meter if isinstance(device.meter, Plugin) else _own(device, session)
    sides = (own, other)
    if own == other:
        raise ConfigError(f"--against {other}: that is the device's own meter; expected another one")
    plugins = [side for side in sides if isinstance(side, Plugin)]
    sensors = tuple(side for side in sides if isinstance(side, str))
    if not sensors:
        raise ConfigError(
            f"both meters are on this host: expected one of the device's own sensors for --against (joulefront devices "
            f"meters {device.name} lists them), or another meter in the device's file"
        )
    with ExitStack() as stack:
        host = None
        if plugins:
            where = "--against" if isinstance(other, Plugin) else f"device {device.name}: [meter]"
            host = meters.build(plugins[0], folder=Path.cwd(), where=where)
            stack.callback(host.close)
            if isinstance(other, Plugin) and host.provenance != "measured":
                raise ConfigError(
                    f"--against {other.kind}: its joules are {host.provenance}, and nothing to hold on to"
                )

        def watch(busy: int, window_s: float) -> tuple[Readings, Sequence[str]]:
            most_s = 2 * window_s + _SPARE_S
            asked = Watch(sensors, busy, window_s, _PERIODS, most_s, most_s + _SPARE_S, mark=device.mark)
            try:
                if host is None:
                    watched = session.watch(asked)
                    window = watched.window
                    both = [(one.sensor, one.covers, window_of(window, one)) for one in window.readings]
                    return both, validity.throttled(watched.before, watched.after)
                watched, outside = metering.watched(session, host, asked)
            except wire.Failure as failure:
                raise MeterError(f"{' and '.join(sensors)}: {failure}") from failure
            (reading,) = watched.window.readings
            inside = (reading.sensor, reading.covers, window_of(watched.window, reading))
            there = (host.name, host.covers, outside)
            # A throttled processor takes less, of which both meters tell at once: that is no error of theirs.
            doubts = (*validity.throttled(watched.before, watched.after), *outside.doubts)
            return [there, inside] if isinstance(own, Plugin) else [inside, there], doubts

        yield watch


def _own(device: Device, session: Session) -> str:
    """The name of the device's own sensor."""
    sensor = session.facts.get("sensor")
    if sensor is None:
        raise ConfigError(f"device {device.name!r} has no meter to calibrate: {session.facts.get('sensor_reason')}")
    return str(sensor)


def _sound(readings: Readings, which: str) -> Readings:
    """The same. Raises MeterError where a meter told nothing that a ratio can be made of."""
    for meter, _, window in readings:
        if not 0 < window.energy_j < math.inf:
            raise MeterError(
                f"{meter} told {window.energy_j:g} J over {window.window_s:.3g} s with the device {which}: too coarse or too "
                "slow to be compared; give it longer windows (--window)"
            )
    return readings


def _document(
    device: Device, read: dict[str, list[Readings]], said: Counter[str], *, simulated: bool
) -> dict[str, Any]:
    loads = {
        which: Load(*([readings[side][2] for readings in rounds] for side in (0, 1))) for which, rounds in read.items()
    }
    verdict = judge(loads["idle"], loads["busy"])
    (own, covers, _), (other, other_covers, _) = read["idle"][0]
    doubts = [
        *verdict.doubts,
        *(f"{doubt} (in {count} of its {len(read['idle'])} rounds)" for doubt, count in said.items()),
    ]
    if covers != other_covers:
        doubts.append(
            f"they cover different things ({covers}; {other_covers}): the factor holds while what lies between takes its "
            "share, whatever runs"
        )
    return {
        "device": device.name,
        "meter": own,
        "covers": covers,
        "against": other,
        "against_covers": other_covers,
        "provenance": "simulated" if simulated else "measured",
        "rounds": len(read["idle"]),
        "window_s": min(window.window_s for rounds in read.values() for one in rounds for *_, window in one),
        **{which: _load(load) for which, load in loads.items()},
        "factor": _estimate(verdict.factor),
        "reason": verdict.reason,
        "warnings": doubts,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "calibration": None,
        "stored": False,
    }


def _load(load: Load) -> dict[str, Any]:
    ratio = load.ratio
    return {
        "ratio": ratio.value,
        "interval": [ratio.low, ratio.high],
        "indicative": ratio.indicative,
        "power_w": load.own_w,
        "against_power_w": load.other_w,
    }


def _estimate(factor: Estimate) -> dict[str, Any]:
    return {"value": factor.value, "interval": [factor.low, factor.high], "indicative": factor.indicative}


def _kept(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """The factor goes into the device's file, where that is ours to write; what changes in the document."""
    low, high = document["factor"]["interval"]
    table = CalibrationTable(
        factor=document["factor"]["value"],
        low=low,
        high=high,
        **{key: document[key] for key in ("meter", "against", "at", "provenance")},
    ).model_dump()
    if name.endswith(".toml"):
        return {"calibration": table, "reason": f"{name} is your own file: put the table [calibration] into it"}
    rewrite(name, {("calibration",): table})
    return {"calibration": table, "stored": True}
