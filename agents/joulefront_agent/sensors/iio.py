"""The ina3221 of JetPack 4's kernel, whose driver tells mW by other names than hwmon's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from joulefront_agent.sensors import chips, rails, sysfs
from joulefront_agent.sensors.meter import Looked, Meter, Unusable
from joulefront_agent.sensors.sampled import Sampled

_CHIP = "ina3221"
_CHANNELS = (0, 1, 2)


def look(root: Path) -> Looked:
    """What there is under the file system at ``root``."""
    found: dict[str, list[Path]] = {}
    meters, unusable = [], []
    # iio_device is a link to the other one, on some of its versions.
    folders = {folder.resolve() for folder in (root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio[:_]device*")}
    for folder in sorted(folders):
        for number in _CHANNELS:
            file, label = folder / f"in_power{number}_input", sysfs.text(folder / f"rail_name_{number}")
            if not file.exists():
                continue
            called = (label or str(number), f"{folder.parent.name}/{number}")
            names = tuple(f"iio:{name}" for name in called)
            covers = rails.rail(label) if label else f"channel {number} of the ina3221 at {folder.parent.name}"
            if label == rails.UNWIRED:
                unusable.append(Unusable(names[-1], covers, "power", "nothing is wired to it: it is labelled NC"))
            elif sysfs.is_forbidden(file):
                fix = f"sudo chmod a+r {Path('/') / file.relative_to(root.resolve())} (after each boot)"
                unusable.append(Unusable(names[0], covers, "power", "it may be read by root only", fix))
            elif sysfs.readable(file) is not None:
                total = rails.is_input(label)
                found.setdefault(label, []).append(file)
                meters.append(_meter((*names, *(["iio"] if total else [])), covers, total, [file]))
    parts = rails.parts(found)
    if parts:
        meters.append(_meter(("iio",), rails.covered(parts, found), True, [found[part][0] for part in parts]))
    return Looked(meters, unusable, "there is no ina3221x of JetPack 4")


def _meter(names: tuple[str, ...], covers: str, total: bool, files: Sequence[Path]) -> Meter:
    volts = [sysfs.readable(file.with_name(file.name.replace("power", "voltage"))) for file in files]
    # Its resistors are not told: no more than the file's own steps can be.
    step = chips.product_step(_CHIP, [((millivolts or 1000) * 1e-3, None) for millivolts in volts])

    def power_w() -> float:
        return sum(map(sysfs.number, files)) * 1e-3

    def make(name: str, cores: Collection[int]) -> Sampled:
        return Sampled(name, covers, power_w, None, cores, gain=chips.CHIPS[_CHIP].gain, step=step, total=total)

    return Meter(names, covers, "power", total, make, power_w, step)
