"""What measures a device's energy, wherever it is: a sensor of its own that the agent reads, or a meter on this host."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from joulefront.bench import energy, meters
from joulefront.bench.alignment import Alignment, exchanged
from joulefront.bench.session import Session
from joulefront.errors import MeterError
from joulefront.protocols import PowerMeter
from joulefront.records import EnergyWindow, Provenance, Stretch
from joulefront_agent import wire
from joulefront_agent.wire_energy import Watch, Watched, Window
from joulefront_devices.device import Device

Answer = TypeVar("Answer", wire.Ran, Watched)

_LAST_DIGIT = 1e-9
_LOOK = "Look at the meter, then run the same command again"


@contextmanager
def opened(device: Device, facts: Mapping[str, Any], folder: Path) -> Iterator[Metering]:
    """What measures ``device``, as its file says; ``facts`` are what it says itself. A meter on the host is let go in the end.

    Paths in the file are relative to ``folder``. Raises ConfigError for a meter that is described wrongly, and MeterError for
    one that is not there.
    """
    if isinstance(device.meter, str):
        yield Metering(device, facts)
        return
    host = meters.build(device.meter, folder=folder, where=f"device {device.name}: [meter]")
    try:
        yield Metering(device, facts, host)
    finally:
        host.close()


class Metering:
    """The meter of an open device; ``reason`` says why there is none, and is None where there is one.

    ``sensors`` are those of its own that the agent is to read for it: none where a meter on the ``host`` measures.

    What it tells of one window is held against what it told before: a meter that is frozen tells the same to the last digit.
    A network's window is not like an idle one, nor like the window before it. Two of one network may be alike by a coarse
    meter, where idle windows show that it moves. Only what is measured is judged: an emulated board's watts may be fixed, a
    model's follow from how many cores are busy, and a recording may be of a constant power, which says that it is simulated.
    """

    def __init__(self, device: Device, facts: Mapping[str, Any], host: PowerMeter | None = None) -> None:
        self._host = host
        self.reason: str | None = None
        self.name = str(facts["sensor"]) if host is None else host.name
        self.covers = str(facts.get("sensor_covers")) if host is None else host.covers
        self.provenance: Provenance = "measured" if host is None else host.provenance
        if facts.get("simulated"):
            self.provenance = "simulated"
        if device.meter == "none":
            self.reason = f'the file of device {device.name!r} says meter = "none"'
        elif host is None and facts["sensor"] is None:
            self.reason = str(facts["sensor_reason"])
        self.sensors: tuple[str, ...] = () if self.reason or host else (self.name,)
        self._period_s = 0.0  # of the host's meter, as its last window showed
        self._idle_w: list[float] = []
        self._last: tuple[str, float] | None = None  # the hash of the network that had a window last, and its W

    def run(self, session: Session, run: wire.Run, library: Path) -> tuple[wire.Ran, EnergyWindow | None]:
        """One repeat, with the energy of its window where it was to have one. Raises as ``Session.run``, and MeterError."""
        if not run.energy_s:
            return session.run(run, library), None
        if self._host:
            longer = replace(run, energy_s=self._long_enough(run.energy_s, run.periods, run.energy_limit_s))
            ran, window = _recorded(session, self._host, lambda: session.run(longer, library))
            self._period_s = window.period_s
        else:
            ran = session.run(run, library)
            window = self._own(ran.window)
        watts = window.energy_j / window.window_s
        self._require_moved(watts, self._idle_w, "idle and while a network ran")
        if self._last and (self._last[0] != run.sha256 or not self._idle_w):
            self._require_moved(watts, [self._last[1]], "in two windows, one after the other")
        self._last = run.sha256, watts
        return ran, window

    def watch(self, session: Session, watch: Watch) -> tuple[Watched, EnergyWindow]:
        """A window without a network, and its energy. Raises as ``Session.watch``, and MeterError."""
        if self._host:
            longer = replace(watch, least_s=self._long_enough(watch.least_s, watch.periods, watch.most_s))
            answer, window = watched(session, self._host, longer)
            self._period_s = window.period_s
        else:
            answer = session.watch(watch)
            window = self._own(answer.window)
        watts = window.energy_j / window.window_s
        self._require_moved(watts, [self._last[1]] if self._last else [], "while a network ran and idle")
        self._idle_w.append(watts)
        return answer, window

    def _long_enough(self, least_s: float, periods: int, most_s: float) -> float:
        """How long a window is to last, in s, for as many updates of the host's meter: the device waits for its own only."""
        return min(max(least_s, periods * self._period_s), most_s)

    def _own(self, window: Window | None) -> EnergyWindow:
        if window is None or not window.readings:
            raise MeterError(f"the device's sensor {self.name!r} was there at first and is no more")
        return sound(self.name, energy.window_of(window, window.readings[0]))

    def _require_moved(self, watts: float, before: Sequence[float], when: str) -> None:
        if self.provenance == "measured" and any(math.isclose(watts, one, rel_tol=_LAST_DIGIT) for one in before):
            raise MeterError(
                f"{self.name} told {watts:.4g} W {when}, to the last digit: it is stuck, or far too coarse to tell networks "
                f"apart. {_LOOK}"
            )


def sound(meter: str, window: EnergyWindow) -> EnergyWindow:
    """The same. Raises MeterError where there is no power that a device could take."""
    if not (0 < window.energy_j < math.inf and 0 < window.window_s < math.inf):
        raise MeterError(
            f"{meter} told {window.energy_j:.4g} J over {window.window_s:.4g} s, and a device that runs takes some: is it "
            f"supplied through it, and are the wires the right way round? {_LOOK}"
        )
    return window


def told(meter: PowerMeter, stretch: Stretch) -> EnergyWindow:
    """What a ``meter`` on the host says of a stretch. Raises MeterError, also for what can be no joules."""
    return sound(meter.name, meter.energy(stretch))


def watched(session: Session, meter: PowerMeter, watch: Watch) -> tuple[Watched, EnergyWindow]:
    """A window without a network, and what a ``meter`` on the host says of it. Raises as ``Session.watch``, and MeterError.

    What the device's own sensors read meanwhile, where ``watch`` asks for any, is in the window that is returned.
    """
    return _recorded(session, meter, lambda: session.watch(watch))


def _recorded(session: Session, meter: PowerMeter, work: Callable[[], Answer]) -> tuple[Answer, EnergyWindow]:
    """``work`` on the device while the meter records, and the energy of the window that was in it.

    The clocks are compared before and after, while the device is idle: what is asked in between would disturb it.
    """
    boot, exchanges = session.boot, exchanged(session.clock)
    meter.begin()
    try:
        answer = work()
    except BaseException:
        with contextlib.suppress(MeterError):  # what the work raised says more
            meter.end()
        raise
    meter.end()
    exchanges += exchanged(session.clock)
    if session.boot != boot:
        raise MeterError("the device booted meanwhile, and its clock began anew")
    if answer.window is None:
        raise MeterError("the device was to tell when the network's energy window was, and did not")
    return answer, told(meter, _stretch(answer.window, Alignment(exchanges), int(session.facts["cores"])))


def _stretch(window: Window, alignment: Alignment, cores: int) -> Stretch:
    (begin_s, early_s), (end_s, late_s) = alignment.host_s(window.begin_s), alignment.host_s(window.end_s)
    return Stretch(begin_s, end_s, max(early_s, late_s), window.inferences, window.busy_cores, cores)
