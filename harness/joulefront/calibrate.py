"""A device's meter is compared with another one, and the factor between them is kept in the device's file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from joulefront.bench.energy import window_of
from joulefront.bench.opening import opened
from joulefront.bench.session import Session
from joulefront.cross_check import Load, judge
from joulefront.errors import ConfigError, MeterError
from joulefront.protocols import Listener
from joulefront.records import EnergyWindow, Estimate
from joulefront.register import rewrite
from joulefront_agent import wire
from joulefront_agent.wire_energy import Watch
from joulefront_devices import load
from joulefront_devices.device import CalibrationTable, Device

_PERIODS = 100
_SPARE_S = 60.0

Readings = list[tuple[str, str, EnergyWindow]]
"""What each of two meters read over one window: its name, what it covers, and the window."""


def calibrate(name: str, against: str, listener: Listener, *, window_s: float, rounds: int) -> dict[str, Any]:
    """Compare a device's meter with the one called ``against``, and keep the factor between them in the device's file.

    Both measure ``rounds`` windows of ``window_s`` or more with the device idle and as many with its cores busy, in turns.
    Returns the document of ``joulefront devices calibrate``. What is no factor is not kept, and the document says why.

    Raises ConfigError for what cannot be compared, and BenchError when the device or a meter fails.
    """
    device = load(name)
    listener.stage(f"opening {name}")
    with opened(device) as session:
        watch = _watching(session, _own(device, session), against)
        # One core is left to what reads the meters.
        cores = {"idle": 0, "busy": max(1, int(session.facts["cores"]) - 1)}
        read: dict[str, list[Readings]] = {which: [] for which in cores}
        for turn in range(rounds):
            # The other way round each time, so that what drifts meanwhile falls on both loads alike.
            for which in sorted(cores, reverse=turn % 2 == 0):
                listener.stage(f"round {turn + 1} of {rounds}: {which}")
                read[which].append(_sound(watch(cores[which], window_s), which))
        simulated = bool(session.facts.get("simulated"))
    document = _document(device, read, simulated=simulated)
    if document["reason"] is None:
        document |= _kept(name, document)
    return document


def forget(name: str) -> dict[str, Any]:
    """Take the factor out of a device's file. Returns {"device", "forgotten": what it was}. Raises ConfigError."""
    known = load(name).calibration
    if known is None:
        raise ConfigError(f"device {name!r} has no calibration to forget")
    _require_registered(name)
    rewrite(name, {("calibration",): None})
    return {"device": name, "forgotten": known.model_dump()}


def _own(device: Device, session: Session) -> str:
    """The name of the device's meter."""
    sensor = session.facts.get("sensor")
    if sensor is None:
        raise ConfigError(f"device {device.name!r} has no meter to calibrate: {session.facts.get('sensor_reason')}")
    return str(sensor)


def _watching(session: Session, own: str, against: str) -> Callable[[int, float], Readings]:
    """What watches both meters at once, given how many cores are busy and how long, in s."""
    if own == against:
        raise ConfigError(f"--against {against}: that is the device's own meter; expected another one")

    def watch(busy: int, window_s: float) -> Readings:
        most_s = 2 * window_s + _SPARE_S
        asked = Watch((own, against), busy, window_s, _PERIODS, most_s, most_s + _SPARE_S)
        try:
            window = session.watch(asked).window
        except wire.Failure as failure:
            raise MeterError(f"{own} and {against}, at once: {failure}") from failure
        return [(reading.sensor, reading.covers, window_of(window, reading)) for reading in window.readings]

    return watch


def _sound(readings: Readings, which: str) -> Readings:
    """The same. Raises MeterError where a meter told nothing that a ratio can be made of."""
    for meter, _, window in readings:
        if window.energy_j <= 0:
            raise MeterError(
                f"{meter} told {window.energy_j:g} J over {window.window_s:.3g} s with the device {which}: too coarse or too "
                "slow to be compared; give it longer windows (--window)"
            )
    return readings


def _document(device: Device, read: dict[str, list[Readings]], *, simulated: bool) -> dict[str, Any]:
    loads = {
        which: Load(*([readings[side][2] for readings in rounds] for side in (0, 1))) for which, rounds in read.items()
    }
    verdict = judge(loads["idle"], loads["busy"])
    (own, covers, _), (other, other_covers, _) = read["idle"][0]
    doubts = list(verdict.doubts)
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
    if name.endswith(".toml"):
        return {"reason": "the file is your own: put the [calibration] below into it"}
    low, high = document["factor"]["interval"]
    table = CalibrationTable(
        factor=document["factor"]["value"],
        low=low,
        high=high,
        **{key: document[key] for key in ("meter", "against", "at")},
    )
    rewrite(name, {("calibration",): table.model_dump()})
    return {"stored": True}


def _require_registered(name: str) -> None:
    """Raises ConfigError for a file that is the user's own."""
    if name.endswith(".toml"):
        raise ConfigError(f"{name} is your own file: take the table [calibration] out of it")
