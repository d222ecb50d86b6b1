"""The device's own energy sensors: which are there, and the one that a meter's name stands for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from joulefront_agent.sensors import hwmon, rapl
from joulefront_agent.sensors.reading import Sensor
from joulefront_agent.wire_energy import Found


def find(root: Path, meter: str, cores: Collection[int] = ()) -> tuple[Sensor | None, str | None]:
    """The sensor that ``meter`` names under the file system at ``root``, or None and the reason why there is none.

    "auto" is RAPL where it can be read, or else the one total that hwmon has; "hwmon" is that total. "rapl",
    "hwmon:CHIP" and "hwmon:CHIP/CHANNEL" name one, the channel by its label or its number; "none" is none. A sensor that
    has to be sampled is, on ``cores``.
    """
    kind, colon, wanted = meter.partition(":")
    if meter == "none":
        return None, "no energy sensor: the meter is 'none'"
    if meter not in ("auto", "rapl") and (kind != "hwmon" or (colon and not wanted)):
        return None, (
            f"no energy sensor: a meter is auto, none, rapl, hwmon, hwmon:CHIP or hwmon:CHIP/CHANNEL, not {meter!r:.80}; "
            f"this device has {', '.join(names(root)) or 'none'}"
        )
    reasons = []
    if kind in ("auto", "rapl"):
        counters, reason = rapl.find(root)
        if counters:
            return counters, None
        reasons.append(reason)
    if kind in ("auto", "hwmon"):
        sampled, reason = hwmon.find(root, wanted, cores)
        if sampled:
            return sampled, None
        reasons.append(reason)
    return None, f"no energy sensor: {'; '.join(filter(None, reasons))}"


def names(root: Path) -> list[str]:
    """Every name of a meter that can be read now."""
    return ["rapl"] * (rapl.find(root)[0] is not None) + hwmon.names(root)


def survey(root: Path) -> tuple[Found, ...]:
    """Every meter that the machine has or might have, looked at for a moment, with what keeps it from being used."""
    chosen, _ = find(root, "auto")
    found = []
    for name in names(root):
        sensor, reason = find(root, name)
        covers = sensor.covers if sensor else ""
        kind = "counter" if name == "rapl" else "power"
        auto = chosen is not None and chosen.name == name
        found.append(Found(name, covers, kind, auto, None, None, None, reason, None))
    return tuple(found)
