"""Sensors of power and energy as the kernel's hwmon shows them: which are there, what they measure, which is a total.

Chips are found by their names, since hwmonN is another N after the next boot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from joulefront_agent.sensors import chips, rails, sysfs
from joulefront_agent.sensors.counted import Counted, Scale
from joulefront_agent.sensors.meter import Looked, Meter, Unusable
from joulefront_agent.sensors.sampled import Sampled

_RAILED = {"ina3221": (1, 2, 3)}  # its other channels are shunts and sums
_ABSENT = "hwmon has no chip that measures power and can be read (a power1_input, energy1_input, or an ina3221)"

_STEP = 1e-6  # uW and uJ
# Drivers whose counter has 32 bits pass it on as it is, in uJ. One that begins anew elsewhere is refused as broken.
_COUNTER = Scale(_STEP, 2**32 * 1e-6)


@dataclass(frozen=True)
class _Chip:
    folder: Path
    name: str
    device: str
    card: bool
    interval_s: float | None


@dataclass(frozen=True)
class _Place:
    """A place where a chip measures: by one file, or by two whose numbers multiplied are uW.

    It is called by its ``channels``, and by the chip's name alone where it is ``whole``: before the others, or after them
    where it is a rail of several.
    """

    chip: _Chip
    kind: str
    files: tuple[Path, ...]
    channels: tuple[str, ...]
    covers: str
    whole: bool = False
    rail: bool = False
    against: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        keys = [f"hwmon:{key}" for key in (self.chip.name, f"{self.chip.name}@{self.chip.device}")]
        own = [f"{key}/{channel}" for key in keys for channel in self.channels]
        return (*own, keys[0]) if self.rail and self.whole else (*(keys if self.whole else ()), *own)


def look(root: Path) -> Looked:
    """What there is under the file system at ``root``."""
    chips = list(_chips(root / "sys/class/hwmon"))
    places = [place for chip in chips for place in (*_energies(chip), *_powers(chip), *_pairs(chip))]
    unusable = [item for place in places if (item := _unusable(place)) is not None]
    usable = [place for place in places if _unusable(place) is None and all(map(_is_readable, place.files))]
    meters = [_meter(place.names, place.covers, place.whole and not place.chip.card, [place]) for place in usable]
    for name in sorted({place.chip.name for place in usable if place.rail}):
        rail = {place.channels[0]: place for place in usable if place.rail and place.chip.name == name}
        parts = rails.parts(rail)
        if parts:
            meters.append(_meter((f"hwmon:{name}",), rails.covered(parts, rail), True, [rail[part] for part in parts]))
    return Looked(meters, unusable, _ABSENT)


def _meter(names: tuple[str, ...], covers: str, total: bool, places: Sequence[_Place]) -> Meter:
    files = [place.files for place in places]
    interval_s = max((place.chip.interval_s for place in places if place.chip.interval_s), default=None)
    chip, step = chips.CHIPS.get(places[0].chip.name), _step(places)
    gain = chip.gain if chip else None

    def read() -> float:
        return sum(math.prod(sysfs.number(file) for file in product) for product in files) * _STEP

    def counted(name: str, cores: Collection[int]) -> Counted:
        return Counted(name, covers, read, _COUNTER, cores)

    def sampled(name: str, cores: Collection[int]) -> Sampled:
        return Sampled(name, covers, read, interval_s, cores, gain=gain, step=step, total=total)

    if places[0].kind == "counter":
        return Meter(names, covers, "counter", total, counted, read, step)
    return Meter(names, covers, "power", total, sampled, read, step, interval_s)


def _step(places: Sequence[_Place]) -> Callable[[float], float]:
    """What one step of a meter is at so many W, or J."""
    name, folder = places[0].chip.name, places[0].chip.folder
    if len(places[0].files) == 2:
        volts_and_ohms = [
            (
                (sysfs.readable(place.files[0]) or 1000) * 1e-3,
                _shunt_ohm(place.chip.folder / f"shunt{place.channels[-1]}_resistor"),
            )
            for place in places
        ]
        return chips.product_step(name, volts_and_ohms)
    step_w = chips.power_step(name, _shunt_ohm(folder / "shunt_resistor")) if places[0].kind == "power" else None
    return lambda _: step_w or _STEP


def _shunt_ohm(file: Path) -> float | None:
    micro_ohm = sysfs.readable(file)
    return micro_ohm * 1e-6 if micro_ohm else None


def _unusable(place: _Place) -> Unusable | None:
    """Why a place cannot be used, where that is worth telling."""
    name = place.names[0]
    if place.against is not None:
        return Unusable(name, place.covers, place.kind, place.against)
    closed = [file.name for file in place.files if sysfs.is_forbidden(file)]
    if closed:
        fix = sysfs.rule("hwmon", "ATTR{name}", place.chip.name, closed)
        return Unusable(name, place.covers, place.kind, f"{' and '.join(closed)} may be read by root only", fix)
    return None


def _chips(folder: Path) -> Iterator[_Chip]:
    """The chips by name, but for those of power supplies: what goes into a battery is not what the machine takes."""
    found = []
    for chip in folder.glob("hwmon*"):
        device = (chip / "device").resolve()
        if "power_supply" in (*chip.resolve().parts, *device.parts):
            continue
        interval_ms = sysfs.readable(chip / "update_interval")
        # A graphics card is no more than a part, whatever else there is.
        card = (device / "subsystem").resolve().name == "pci"
        name = sysfs.text(chip / "name")
        found.append(_Chip(chip, name, device.name, card, interval_ms / 1000 if interval_ms else None))
    yield from sorted(found, key=lambda chip: (chip.name, chip.device))


def _energies(chip: _Chip) -> Iterator[_Place]:
    """The chip's counters. One alone stands for the chip: it leaves out nothing between two looks."""
    numbers = _numbers(chip, "energy")
    for number in numbers:
        yield _single(chip, "counter", f"energy{number}", len(numbers) == 1)


def _powers(chip: _Chip) -> Iterator[_Place]:
    """The powers that a chip tells itself. The first stands for the chip, where no counter does."""
    counters = len(_numbers(chip, "energy"))
    for number in _numbers(chip, "power"):
        yield _single(chip, "power", f"power{number}", number == 1 and counters != 1)


def _single(chip: _Chip, kind: str, input_: str, whole: bool) -> _Place:
    label = sysfs.text(chip.folder / f"{input_}_label")
    covers = f"hwmon {chip.name}: its {label or input_}, whatever it is wired to"
    channels = (label, input_) if label else (input_,)
    return _Place(chip, kind, (chip.folder / f"{input_}_input",), channels, covers, whole)


def _pairs(chip: _Chip) -> Iterator[_Place]:
    """The channels of a chip that tells volts and amperes, and not their product."""
    powers = _numbers(chip, "power")
    amperes = _numbers(chip, "curr")
    for number in _RAILED.get(chip.name, _numbers(chip, "in")):
        if number in powers or number not in amperes:
            continue
        files = tuple(chip.folder / f"{kind}{number}_input" for kind in ("in", "curr"))
        label, other = (sysfs.text(chip.folder / f"{kind}{number}_label") for kind in ("in", "curr"))
        channels = (label, str(number)) if label else (str(number),)
        against = None
        if rails.UNWIRED in (label, other) or sysfs.readable(files[0]) == 0:
            against = "nothing is wired to it: " + ("it is labelled NC" if label == rails.UNWIRED else "it reads 0 V")
        elif chip.name not in _RAILED and not _are_of_one_place(label.lower(), other.lower()):
            against = (
                f"in{number} is called {label!r} and curr{number} {other!r}: volts and amperes of different places"
            )
        railed = chip.name in _RAILED
        covers = f"hwmon {chip.name}: its channel {number}, whatever it is wired to"
        if railed and label:
            covers = rails.rail(label)
        yield _Place(chip, "power", files, channels, covers, railed and rails.is_input(label), railed, against)


def _are_of_one_place(volts: str, amperes: str) -> bool:
    """Whether two labels are the same but for what is measured, as "vout1" and "iout1" are; without labels, they may be."""
    return volts == amperes or (volts[:1], amperes[:1], volts[1:]) == ("v", "i", amperes[1:])


def _numbers(chip: _Chip, kind: str) -> tuple[int, ...]:
    """The numbers of a chip's inputs of a kind, such as the 1 of in1_input."""
    names = (re.fullmatch(rf"{kind}(\d{{1,3}})_input", file.name) for file in chip.folder.glob(f"{kind}*_input"))
    return tuple(sorted(int(name[1]) for name in names if name))


def _is_readable(file: Path) -> bool:
    return sysfs.readable(file) is not None
