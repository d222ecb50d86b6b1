"""Batteries, and other supplies that measure what they give. Never what "auto" stands for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from joulefront_agent.sensors import sysfs
from joulefront_agent.sensors.meter import Looked, Meter, Unusable
from joulefront_agent.sensors.sampled import Sampled

_REST_S = 0.1
_NEGOTIATED = ("ucsi", "tcpm")  # drivers of USB-C ports: current_now is what was agreed on, whatever flows


def look(root: Path) -> Looked:
    """What there is under the file system at ``root``."""
    found = list(_supplies(root / "sys/class/power_supply"))
    meters = [item for item in found if isinstance(item, Meter)]
    return Looked(meters, [item for item in found if isinstance(item, Unusable)], "no power supply tells its power")


def _supplies(folder: Path) -> Iterator[Meter | Unusable]:
    for supply in sorted(folder.glob("*")):
        name, kind = f"supply:{supply.name}", sysfs.text(supply / "type")
        covers = f"{kind.lower() or 'power supply'} {supply.name}"
        files = _files(supply)
        if files is None:
            continue
        closed = [file for file in files if sysfs.is_forbidden(file)]
        if closed:
            fix = sysfs.rule("power_supply", "KERNEL", supply.name, [file.name for file in closed])
            yield Unusable(name, covers, "power", f"{closed[0].name} may be read by root only", fix)
        elif sysfs.text(supply / "scope") == "Device":
            yield Unusable(name, covers, "power", "it is a peripheral's, not this machine's")
        elif kind.startswith("USB") and _is_negotiated(supply):
            reason = "it tells what was negotiated with the charger, not what flows"
            yield Unusable(name, covers, "power", reason, "measure at the cable, by a meter on the host")
        elif kind == "Battery" and (status := sysfs.text(supply / "status")) != "Discharging":
            reason = f"it is {status or 'in an unknown state'}: only what a discharging battery gives is what is taken"
            yield Unusable(name, covers, "power", reason, "unplug the charger, and measure on battery")
        elif all(sysfs.readable(file) is not None for file in files):
            yield _meter(supply, name, covers, kind == "Battery", files)


def _files(supply: Path) -> tuple[Path, ...] | None:
    """What tells a supply's power: in uW, or in uA and uV; None where nothing does, as of an adapter that is just there."""
    power = supply / "power_now"
    product = (supply / "current_now", supply / "voltage_now")
    if power.exists():
        return (power,)
    return product if all(file.exists() for file in product) else None


def _is_negotiated(supply: Path) -> bool:
    return supply.name.startswith(_NEGOTIATED) or "[PD" in sysfs.text(supply / "usb_type")


def _meter(supply: Path, name: str, covers: str, battery: bool, files: tuple[Path, ...]) -> Meter:
    covers += ": all that is taken from it" if battery else ": what it measures of itself"

    def power_w() -> float:
        if battery:
            status = sysfs.text(supply / "status")
            if status != "Discharging":
                raise ValueError(f"the battery is {status or 'gone'}: what it gives is no longer all that is taken")
        numbers = [sysfs.number(file) for file in files]
        product = numbers[0] * 1e-6 if len(numbers) == 1 else numbers[0] * numbers[1] * 1e-12
        # What a battery gives is negative with some drivers and positive with others: its status says which way it flows.
        return abs(product) if battery else product

    def make(called: str, cores: Collection[int]) -> Sampled:
        return Sampled(called, covers, power_w, _REST_S, cores, moves=True, total=battery)

    return Meter((name,), covers, "power", False, make, power_w, rest_s=_REST_S)
