"""Meters of a simulated device, on its truth: sensors as its agent reads them, and a meter on the host.

What reads a sensor of power and judges it is the agent's own code, in virtual time.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from physics import World

from joulefront.bench.meters.sampling import Sampling
from joulefront.records import EnergyWindow, Stretch
from joulefront_agent.sensors.counted import Counted, Scale
from joulefront_agent.sensors.rapl import Rapl
from joulefront_agent.sensors.reading import Reading, Sensor
from joulefront_agent.sensors.sampled import Sampled
from joulefront_agent.sensors.sampler import Wait

Fault = Callable[[float, float], float]
"""What a sensor says instead, of a time in s and what it would have said in W; it may raise OSError."""


@dataclass(frozen=True)
class Power:
    """A sensor that shows the mean power over its last period, in steps of ``step_w``, ``gain`` times the truth.

    ``noise_w`` is the standard deviation of each update. ``claimed`` is the gain error that its maker owns up to, and one
    that ``moves`` is so fine that two updates are never the same.
    """

    period_s: float = 0.1
    step_w: float = 1e-3
    gain: float = 1.0
    noise_w: float = 2e-3
    claimed: float | None = None
    moves: bool = False
    fault: Fault | None = None
    name: str = "hwmon:simulated"
    covers: str = "module input"

    def on(self, world: World, rng: np.random.Generator) -> Sensor:
        """The sensor of a process that was just started."""
        shown: dict[int, float] = {}

        def power_w() -> float:
            world.waiting.join()
            update = math.floor(world.now_s / self.period_s)
            if update not in shown:
                end_s = update * self.period_s
                begin_s = max(0.0, end_s - self.period_s)
                true_w = world.energy_j(begin_s, end_s) / (end_s - begin_s) if end_s > begin_s else world.watts()
                said_w = self.gain * true_w + rng.normal(0, self.noise_w)
                shown[update] = round(said_w / self.step_w) * self.step_w
            return self.fault(world.now_s, shown[update]) if self.fault else shown[update]

        return Sampled(
            self.name,
            self.covers,
            power_w,
            self.period_s,
            clock=world.device_s,
            wait=_waiting(world),
            gain=self.claimed,
            moves=self.moves,
            total=True,
        )


@dataclass(frozen=True)
class Counter:
    """RAPL's counter of one package, which moves once a period, in steps of 1 uJ, and begins anew after ``range_j``.

    ``fault`` is given what it counted, in J, and returns what it shows instead, before it begins anew.
    """

    period_s: float = 1e-3
    gain: float = 1.0
    range_j: float = 262143.0
    fault: Fault | None = None
    read_s: float = 5e-5
    name: str = "rapl"
    covers: str = "processor packages: package-0"

    def on(self, world: World, rng: np.random.Generator) -> Sensor:
        """The sensor of a process that was just started."""
        zones: Any = [_Zone(self, world)]
        return Rapl(zones, clock=world.device_s)


@dataclass(frozen=True)
class Counted32:
    """A driver's counter of 32 bits that is updated each ``period_s``, in steps of 1 uJ; it showed ``first_j`` at time 0."""

    period_s: float = 0.1
    first_j: float = 0.0
    name: str = "hwmon:simulated"
    covers: str = "module input"

    def on(self, world: World, rng: np.random.Generator) -> Sensor:
        """The sensor of a process that was just started."""
        shown: set[int] = set()

        def energy_j() -> float:
            world.waiting.join()
            counted_j = self.first_j + world.energy_j(0.0, math.floor(world.now_s / self.period_s) * self.period_s)
            count = round(counted_j * 1e6) % (1 << 32)
            shown.add(count)
            return count * 1e-6

        # The window begins with the first update.
        wait = _waiting(world, lambda: len(shown) > 1)
        return Counted(self.name, self.covers, energy_j, Scale(1e-6, 2**32 * 1e-6), clock=world.device_s, wait=wait)


def _waiting(world: World, has_begun: Callable[[], bool] = lambda: True) -> Wait:
    """What the thread of a sampler does between two samples, in virtual time.

    Before the window and after it, whoever else spends time waits for the thread.
    """
    began: dict[threading.Thread, threading.Event] = {}

    def wait(event: threading.Event, seconds: float) -> None:
        true_s = max(0.0, seconds) / (1 + world.skew)
        if has_begun() and began.setdefault(threading.current_thread(), event) is event:
            world.waiting.wait(event, world.now_s + true_s)
        else:
            world.spend_alone(true_s)

    return wait


class _Zone:
    """A package's folder, as far as the agent needs it: each file holds what is true when its path is asked for."""

    def __init__(self, kind: Counter, world: World) -> None:
        self._kind, self._world = kind, world
        self._memory = os.memfd_create("counter")
        weakref.finalize(self, os.close, self._memory)

    def __truediv__(self, name: str) -> _File:
        return _File(self, name)

    def __str__(self) -> str:
        return "intel-rapl:0"

    def path(self, name: str) -> str:
        """Of a file that holds now what the one of that name would."""
        os.ftruncate(self._memory, 0)
        os.pwrite(self._memory, self._text(name).encode(), 0)
        return f"/proc/self/fd/{self._memory}"

    def _text(self, name: str) -> str:
        kind, world = self._kind, self._world
        if name == "name":
            return "package-0"
        range_uj = round(kind.range_j * 1e6)
        if name == "max_energy_range_uj":
            return str(range_uj)
        world.spend(kind.read_s)
        updated_s = math.floor(world.now_s / kind.period_s) * kind.period_s
        counted_j = kind.gain * world.energy_j(0.0, updated_s)
        shown_j = kind.fault(world.now_s, counted_j) if kind.fault else counted_j
        return str(round(shown_j * 1e6) % range_uj)


class _File:
    def __init__(self, zone: _Zone, name: str) -> None:
        self._zone, self._name = zone, name

    def __fspath__(self) -> str:
        return self._zone.path(self._name)

    def read_text(self, encoding: str, errors: str = "strict") -> str:
        """See pathlib.Path."""
        return Path(self).read_text(encoding, errors)


@dataclass(frozen=True)
class Prompt:
    """A sensor without a thread, for many sessions: what it tells of a window is the energy between the updates before its
    ends, ``gain`` times the truth."""

    period_s: float = 0.1
    gain: float = 1.0
    claimed: float | None = None
    name: str = "prompt"
    covers: str = "module input"

    def on(self, world: World, rng: np.random.Generator) -> Sensor:
        """The sensor of a process that was just started."""
        return _Prompt(self, world)


class _Prompt:
    def __init__(self, kind: Prompt, world: World) -> None:
        self._kind, self._world = kind, world
        self.name, self.covers, self.period_s = kind.name, kind.covers, kind.period_s
        self._start_s = 0.0

    def start(self) -> None:
        """See reading.Sensor."""
        self._start_s = self._world.now_s

    def stop(self) -> Reading:
        """See reading.Sensor."""
        kind, start_s, end_s = self._kind, self._start_s, self._world.now_s
        begin_s, until_s = (math.floor(moment / kind.period_s) * kind.period_s for moment in (start_s, end_s))
        window_s = (end_s - start_s) * (1 + self._world.skew)
        return Reading(kind.gain * self._world.energy_j(begin_s, until_s), window_s, 1e-6, kind.period_s, kind.claimed)


SensorKind = Power | Counter | Counted32 | Prompt


def by_name(*kinds: SensorKind) -> Mapping[str, SensorKind]:
    """The sensors of a device."""
    return {kind.name: kind for kind in kinds}


class HostMeter(Sampling):
    """A meter between the device and its supply, which shows the mean power since it was last asked, ``gain`` times the truth.

    What asks it, and judges what comes, is the bench's own code. ``late_s`` is how much later than it should that comes back
    at each time in s, as on a busy host. ``asked`` lists the stretches whose energy was asked for.
    """

    name = "simulated-host"
    covers = "everything behind the supply's plug"

    def __init__(
        self,
        world: World,
        *,
        period_s: float = 0.02,
        gain: float = 1.0,
        claimed: float | None = None,
        late_s: Callable[[float], float] = lambda now_s: 0.0,
        fault: Fault | None = None,
    ) -> None:
        super().__init__(period_s, gain=claimed)
        self._world, self._scale, self._fault = world, gain, fault
        self._ended = _Ended(world, late_s)
        self._shown_s = 0.0
        self.asked: list[Stretch] = []

    def begin(self) -> None:
        """See PowerMeter."""
        super().begin()
        if self._thread is not None:
            self._world.waiting.join(self._thread)

    def power_w(self) -> float:
        """See Sampling."""
        begin_s, self._shown_s = self._shown_s, self._world.now_s
        past_s = self._shown_s - begin_s
        watts = self._world.energy_j(begin_s, self._shown_s) / past_s if past_s > 0 else self._world.watts()
        return self._fault(self._shown_s, self._scale * watts) if self._fault else self._scale * watts

    def energy(self, stretch: Stretch) -> EnergyWindow:
        """See PowerMeter."""
        self.asked.append(stretch)
        return super().energy(stretch)


class _Ended(threading.Event):
    """Whoever waits for it does so in virtual time."""

    def __init__(self, world: World, late_s: Callable[[float], float]) -> None:
        super().__init__()
        self._world, self._late_s = world, late_s

    def wait(self, timeout: float | None = None) -> bool:
        """See threading.Event."""
        now_s = self._world.now_s
        self._world.waiting.wait(self, now_s + (timeout or 0.0) + self._late_s(now_s))
        return self.is_set()
