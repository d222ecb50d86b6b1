"""Power sensors as the kernel's hwmon shows them: which are there, what they measure, and which of them is a total.

Chips are found by their names, since hwmonN is another N after the next boot.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from joulefront_agent.sensors.sampled import Sampled

_PAIRED = {"ina3221": (1, 2, 3)}  # its other channels are shunts and sums
_UNWIRED = "NC"
_MODULE_INPUT = "VDD_IN"

# AGX Orin has no input of the module. Its fourth rail, VDDQ_VDD2_1V8AO, is taken for a part of VIN_SYS_5V0 and left
# out, or it would count twice; no primary source for that was found, and some tools add it.
_RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


@dataclass(frozen=True)
class Meter:
    """A place, or several, where power is measured.

    ``names`` are what it may be called, the shortest first, without "hwmon:". ``total`` is whether it may be all that
    the machine takes. ``files`` holds, for each place, the files whose numbers multiplied are its power in uW: a
    power1_input alone, or one of mV and one of mA. ``interval_s`` is how often the driver says that they are updated.
    """

    names: tuple[str, ...]
    covers: str
    total: bool
    files: tuple[tuple[Path, ...], ...]
    interval_s: float | None

    def power_w(self) -> float:
        """The power now, in W. Raises OSError or ValueError."""
        return sum(math.prod(_number(file) for file in files) for files in self.files) * 1e-6


@dataclass(frozen=True)
class _Chip:
    folder: Path
    name: str
    device: str
    card: bool
    interval_s: float | None


def find(root: Path, wanted: str, cores: Collection[int]) -> tuple[Sampled | None, str | None]:
    """The sensor called ``wanted``, "CHIP/CHANNEL" or "CHIP", or the one that is a total for "".

    None and the reason where there is none, or more than one. It is sampled on ``cores``.
    """
    meters = _meters(root)
    if not meters:
        return None, "hwmon has no chip that measures power and can be read (a power1_input, or an ina3221)"
    fitting = [meter for meter in meters if (wanted in meter.names if wanted else meter.total)]
    what = repr(wanted) if wanted else "of all that the machine takes"
    if len(fitting) != 1:
        choice = ", ".join(_called(fitting or meters, meters))
        return None, f"hwmon has {'several meters' if fitting else 'no meter'} {what}: name one, of {choice}"
    meter, (name,) = fitting[0], _called(fitting, meters)
    return Sampled(name, meter.covers, meter.power_w, meter.interval_s, cores), None


def names(root: Path) -> list[str]:
    """What all the meters that can be read are called."""
    meters = _meters(root)
    return _called(meters, meters)


def _called(meters: list[Meter], among: list[Meter]) -> list[str]:
    """For each meter the first of its names that no other one has."""
    known = Counter(name for meter in among for name in meter.names)
    return [f"hwmon:{min(meter.names, key=lambda name: known[name])}" for meter in meters]


def _meters(root: Path) -> list[Meter]:
    """Everything that measures power and can be read."""
    chips = list(_chips(root / "sys/class/hwmon"))
    meters = [meter for chip in chips for meter in (_power(chip), *_channels(chip)) if meter is not None]
    for name in sorted({chip.name for chip in chips if chip.name in _PAIRED}):
        rails = [meter for rail in _RAILS for meter in meters if f"{name}/{rail}" in meter.names]
        if len(rails) == len(_RAILS):
            covers = f"rails {', '.join(_RAILS)}; not the whole board"
            interval_s = max((rail.interval_s for rail in rails if rail.interval_s), default=None)
            meters.append(Meter((name,), covers, True, tuple(rail.files[0] for rail in rails), interval_s))
    return meters


def _chips(folder: Path) -> Iterator[_Chip]:
    """The chips by name, but for those of power supplies: what goes into a battery is not what the machine takes."""
    found = []
    for chip in folder.glob("hwmon*"):
        device = (chip / "device").resolve()
        if "power_supply" in (*chip.resolve().parts, *device.parts):
            continue
        interval_ms = _readable(chip / "update_interval")
        # A graphics card is no more than a part, whatever else there is.
        card = (device / "subsystem").resolve().name == "pci"
        found.append(_Chip(chip, _text(chip / "name"), device.name, card, interval_ms / 1000 if interval_ms else None))
    yield from sorted(found, key=lambda chip: (chip.name, chip.device))


def _power(chip: _Chip) -> Meter | None:
    """A chip that tells its power itself."""
    file = chip.folder / "power1_input"
    if _readable(file) is None:
        return None
    covers = f"hwmon {chip.name}: its power1, whatever it is wired to"
    return Meter((chip.name, f"{chip.name}@{chip.device}"), covers, not chip.card, ((file,),), chip.interval_s)


def _channels(chip: _Chip) -> Iterator[Meter]:
    """The channels of a chip that tells volts and amperes, but for those that nothing is wired to."""
    for number in _PAIRED.get(chip.name, ()):
        files = tuple(chip.folder / f"{kind}{number}_input" for kind in ("in", "curr"))
        label = _text(chip.folder / f"in{number}_label")
        if label == _UNWIRED or not _readable(files[0]) or _readable(files[1]) is None:
            continue
        channels = [label, str(number)] if label else [str(number)]
        called = [f"{key}/{channel}" for key in (chip.name, f"{chip.name}@{chip.device}") for channel in channels]
        total = label == _MODULE_INPUT
        if total:
            called.append(chip.name)
            covers = f"module input {label}"
        else:
            covers = f"rail {label}" if label else f"hwmon {chip.name}: its channel {number}, whatever it is wired to"
        yield Meter(tuple(called), covers, total, (files,), chip.interval_s)


def _number(file: Path) -> int:
    # By the system's calls alone: Path.read_text takes a slow board as long again, at each sample.
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return int(os.read(descriptor, 64))
    finally:
        os.close(descriptor)


def _readable(file: Path) -> int | None:
    try:
        return _number(file)
    except (OSError, ValueError):
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
