"""What measures a device's energy, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joulefront.bench import energy
from joulefront.bench.session import Session
from joulefront.errors import MeterError
from joulefront.records import EnergyWindow, Provenance
from joulefront_agent import wire
from joulefront_agent.wire_energy import Watch, Watched, Window
from joulefront_devices.device import Device


class Metering:
    """The meter of an open device; ``reason`` says why there is none, and is None where there is one.

    ``sensors`` are those of its own that the agent is to read for it.
    """

    def __init__(self, device: Device, facts: Mapping[str, Any]) -> None:
        self.reason: str | None = None
        self.name = str(facts["sensor"])
        self.covers = str(facts.get("sensor_covers"))
        self.provenance: Provenance = "simulated" if facts.get("simulated") else "measured"
        if device.meter == "none":
            self.reason = f'the file of device {device.name!r} says meter = "none"'
        elif facts["sensor"] is None:
            self.reason = str(facts["sensor_reason"])
        self.sensors: tuple[str, ...] = () if self.reason else (self.name,)

    def run(self, session: Session, run: wire.Run, library: Path) -> tuple[wire.Ran, EnergyWindow | None]:
        """One repeat, with the energy of its window where it was to have one. Raises as ``Session.run``, and MeterError."""
        ran = session.run(run, library)
        return ran, self._window(ran.window) if run.energy_s else None

    def watch(self, session: Session, watch: Watch) -> tuple[Watched, EnergyWindow]:
        """A window without a network, and its energy. Raises as ``Session.watch``, and MeterError."""
        watched = session.watch(watch)
        return watched, self._window(watched.window)

    def _window(self, window: Window | None) -> EnergyWindow:
        if window is None or not window.readings:
            raise MeterError(f"the device's sensor {self.name!r} was there at first and is no more")
        return energy.window_of(window, window.readings[0])
