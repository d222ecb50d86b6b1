"""What measures a device's energy, wherever it is: a sensor of its own that the agent reads, or a meter on this host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

    def run(self, session: Session, run: wire.Run, library: Path) -> tuple[wire.Ran, EnergyWindow | None]:
        """One repeat, with the energy of its window where it was to have one. Raises as ``Session.run``, and MeterError."""
        if self._host and run.energy_s:
            return _recorded(session, self._host, lambda: session.run(run, library))
        ran = session.run(run, library)
        return ran, self._own(ran.window) if run.energy_s else None

    def watch(self, session: Session, watch: Watch) -> tuple[Watched, EnergyWindow]:
        """A window without a network, and its energy. Raises as ``Session.watch``, and MeterError."""
        if self._host:
            return watched(session, self._host, watch)
        answer = session.watch(watch)
        return answer, self._own(answer.window)

    def _own(self, window: Window | None) -> EnergyWindow:
        if window is None or not window.readings:
            raise MeterError(f"the device's sensor {self.name!r} was there at first and is no more")
        return energy.window_of(window, window.readings[0])


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
    return answer, meter.energy(_stretch(answer.window, Alignment(exchanges), int(session.facts["cores"])))


def _stretch(window: Window, alignment: Alignment, cores: int) -> Stretch:
    (begin_s, early_s), (end_s, late_s) = alignment.host_s(window.begin_s), alignment.host_s(window.end_s)
    return Stretch(begin_s, end_s, max(early_s, late_s), window.inferences, window.busy_cores, cores)
