"""The device's own energy sensors: which are there, and the one that a meter's name stands for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from joulefront_agent.sensors import hwmon, iio, nvml, pmic, probe, rapl, supply
from joulefront_agent.sensors.meter import Looked, Meter, Unusable, called
from joulefront_agent.sensors.reading import STUCK_S, Sensor, within
from joulefront_agent.wire import Failure
from joulefront_agent.wire_energy import Found

KINDS: dict[str, Callable[[Path], Looked]] = {
    "rapl": rapl.look,
    "hwmon": hwmon.look,
    "iio": iio.look,
    "pmic": pmic.look,
    "nvml": nvml.look,
    "supply": supply.look,
}
_AUTO = ("rapl", "hwmon", "iio", "pmic")
_RARE = ("iio", "pmic")  # not missed where there are none
_PLAIN = ("rapl", "pmic")  # no more than one of them
_NAMES = "auto, none, rapl, hwmon, hwmon:CHIP, hwmon:CHIP/CHANNEL, iio, iio:RAIL, pmic, nvml, nvml:INDEX or supply:NAME"
_PROBE_S = 5.0


def find(root: Path, meter: str, cores: Collection[int] = ()) -> tuple[Sensor | None, str | None]:
    """The sensor that ``meter`` names under the file system at ``root``, or None and the reason why there is none.

    "auto" is the first total, of RAPL, hwmon, JetPack 4's driver and a Pi 5's power management chip, in this order. A
    kind's name alone is its total, or the only GPU; "hwmon:CHIP", "hwmon:CHIP/CHANNEL", by its label or its number,
    "iio:RAIL", "nvml:INDEX" and "supply:NAME" name one; "none" is none. A sensor that has to be read over and over is, on
    ``cores``.
    """
    kind, colon, wanted = meter.partition(":")
    if meter == "none":
        return None, "no energy sensor: the meter is 'none'"
    if meter != "auto" and (kind not in KINDS or (colon and (not wanted or kind in _PLAIN)) or meter == "supply"):
        return None, (
            f"no energy sensor: a meter is {_NAMES}, not {meter!r:.80}; this device has {', '.join(names(root)) or 'none'}"
        )
    reasons = []
    for each in _AUTO if meter == "auto" else (kind,):
        looked = KINDS[each](root)
        if meter == "auto" and each in _RARE and not looked.meters and not looked.unusable:
            continue
        fitting = _fitting(looked, meter)
        if len(fitting) == 1:
            return fitting[0].make(called(fitting, looked.meters)[0], cores), None
        reasons.append(_reason(each, looked, fitting, meter))
        if fitting:  # no other kind is taken because one cannot choose among these
            break
    return None, f"no energy sensor: {'; '.join(filter(None, reasons))}"


def names(root: Path) -> list[str]:
    """Every name of a meter that can be read now."""
    meters = [look(root).meters for look in KINDS.values()]
    return [name for some in meters for name in called(some, some)]


def survey(root: Path) -> tuple[Found, ...]:
    """Every meter that the machine has or might have, looked at for a moment, with what keeps it from being used.

    Last come the kinds of which there is none: they cover nothing, and have the reason alone.
    """
    found: list[Found] = []
    absent: list[Found] = []
    auto: Meter | None = None
    chosen = False
    for kind, look in KINDS.items():
        try:
            looked = within(STUCK_S, partial(look, root))
        except Failure as failure:
            looked = Looked(unusable=[Unusable(kind, kind, "power", failure.message)])
        if kind in _AUTO and not chosen:
            fitting = _fitting(looked, "auto")
            chosen, auto = bool(fitting), fitting[0] if len(fitting) == 1 else None
        for index, name in enumerate(called(looked.meters, looked.meters)):
            meter = looked.meters[index]
            found.append(_probed(meter, name, meter is auto))
        found += [
            Found(item.name, item.covers, item.kind, False, None, None, None, item.reason, item.fix)
            for item in looked.unusable
        ]
        if not (looked.meters or looked.unusable):
            absent.append(Found(kind, "", "power", False, None, None, None, looked.absent, None))
    return (*found, *absent)


def _fitting(looked: Looked, meter: str) -> list[Meter]:
    """The meters that ``meter`` may stand for."""
    total = meter in ("auto", "hwmon")
    return [item for item in looked.meters if (item.total if total else meter in item.names)]


def _reason(kind: str, looked: Looked, fitting: list[Meter], meter: str) -> str:
    """Why none of one kind, or none of several, is taken; "" where that goes without saying."""
    named = [item for item in looked.unusable if item.name == meter]
    if named:
        return f"{meter}: {named[0]}"
    if not looked.meters:
        broken = [item for item in looked.unusable if item.fix] or looked.unusable
        return "; ".join(str(item) for item in broken) or looked.absent
    what = "of all that the machine takes" if meter in ("auto", "hwmon") else repr(meter.partition(":")[2] or meter)
    choice = ", ".join(called(fitting or looked.meters, looked.meters))
    return f"{kind} has {'several meters' if fitting else 'no meter'} {what}: name one, of {choice}"


def _probed(meter: Meter, name: str, auto: bool) -> Found:
    """A meter as it shows within a moment, unusable where it does not."""
    try:
        shown = within(_PROBE_S, partial(probe.probe, meter))
    except Failure as failure:
        return Found(name, meter.covers, meter.kind, False, None, None, None, failure.message, None)
    return Found(name, meter.covers, meter.kind, auto, shown.period_s, shown.resolution, shown.read_s, None, None)
