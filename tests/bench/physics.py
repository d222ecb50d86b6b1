"""What is true of a simulated device: a time of its own, and at each moment of it the work, the power and the heat.

Nothing here waits: time passes when somebody spends it. Times are in s, by the clock of the host, which is the true one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from physics_heat import Scripted, Throttle
from physics_time import Waiting
from scipy.signal import lfilter

Course = float | Callable[[float], float]
"""What something is all the time, or at each in s."""

_PIECE_S = 0.25  # what changes with the time stays as it is for so long
_TICK_S = 0.01  # the kernel counts what a core did in whole ticks


@dataclass(frozen=True)
class Network:
    """What is true of a network on the undisturbed device: its median latency over all processes, and the power.

    ``spread`` and ``spread_w`` are the standard deviations between processes, of the logarithm of the latency and of the
    power above idling; ``noise`` is that of the logarithm within one, AR(1) with ``rho``. ``fates`` says how its first
    processes end, in order: "crash", "hang", "die" (with the agent), "silence" (of the agent), None for well.
    """

    latency_s: float = 10e-3
    busy_w: float = 6.0
    spread: float = 0.004
    spread_w: float = 0.0
    noise: float = 0.01
    rho: float = 0.9
    threads: int = 1
    fates: tuple[str | None, ...] = ()


class World:
    """The time, and what is true of the machine meanwhile.

    ``idle_w`` is its power when nothing runs, ``drift`` what every latency is multiplied by, and ``others`` how many cores'
    time something else takes: each makes a network slower by ``contention`` and takes ``other_w``. ``skew`` is by which share
    the device's clock goes too fast, and ``offset_s`` what it showed at time 0. ``shows`` are the signs of throttling that
    the machine has: "count", "bits", "frequency". ``clock_set`` is when the time of day, which inferences are timed by, is set,
    and by how much.
    """

    def __init__(
        self,
        *,
        idle_w: Course = 2.0,
        drift: Course = 1.0,
        others: Course = 0.0,
        contention: float = 0.1,
        other_w: float = 1.0,
        cores: int = 4,
        throttle: Throttle | None = None,
        shows: tuple[str, ...] = ("count", "frequency"),
        governor: str = "performance",
        offset_s: float = 1000.0,
        skew: float = 0.0,
        clock_set: tuple[float, float] = (math.inf, 0.0),
    ) -> None:
        self.clock_set = clock_set
        self.idle_w, self.drift, self.others = _course(idle_w), _course(drift), _course(others)
        self.contention, self.other_w, self.cores = contention, other_w, cores
        self.throttle: Throttle = throttle or Scripted()
        is_steady = throttle is None and not any(map(callable, (idle_w, drift, others)))
        self.piece_s = math.inf if is_steady else _PIECE_S
        self.shows, self.governor = shows, governor
        self.offset_s, self.skew = offset_s, skew
        self.now_s = 0.0
        self.waiting = Waiting()
        self._load = (0, 0.0)
        self._busy_s = self._own_s = self._total_s = 0.0
        self._throttles = 0
        self._times, self._joules = [0.0], [0.0]

    def now(self) -> float:
        """The time by the host's clock."""
        return self.now_s

    def device_s(self) -> float:
        """The time by the device's."""
        return self.offset_s + (1 + self.skew) * self.now_s

    def slowness(self) -> float:
        """What the undisturbed latency is multiplied by now."""
        return self.drift(self.now_s) * (1 + self.contention * self.others(self.now_s)) / self.throttle.speed

    def watts(self) -> float:
        """The power now."""
        # Slower cores take less: what a network takes beyond idling is of its work.
        own_w = self._load[1] * self.throttle.speed
        return self.idle_w(self.now_s) + own_w + self.other_w * self.others(self.now_s)

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """What the machine took between two times that are past."""
        return self._joules_at(end_s) - self._joules_at(begin_s)

    @contextmanager
    def loaded(self, cores: int, watts: float) -> Iterator[None]:
        """So many cores are busy meanwhile, which takes so much more power."""
        self._load = (cores, watts)
        try:
            yield
        finally:
            self._load = (0, 0.0)

    def spend(self, seconds: float) -> None:
        """Time goes by, for whoever waits for it too."""
        end_s = self.now_s + seconds
        self.waiting.gather()
        while self.now_s < end_s:
            next_s = min(end_s, self.now_s + self.piece_s, self.waiting.next_s())
            if next_s > self.now_s:
                self._pass(next_s - self.now_s)
            self.waiting.release(self.now_s)

    def spend_alone(self, seconds: float) -> None:
        """Time goes by, of which nobody else hears."""
        self._pass(seconds)

    def spend_device(self, seconds: float) -> None:
        """So much time goes by on the device's clock."""
        self.spend(seconds / (1 + self.skew))

    def conditions(self) -> dict[str, Any]:
        """What the agent reads of the machine."""
        speed, slow = self.throttle.speed, self.throttle.speed < 1
        return {
            "governor": self.governor,
            "frequency_hz": 1.5e9 * speed if "frequency" in self.shows else None,
            "frequency_max_hz": 1.5e9 if "frequency" in self.shows else None,
            "temperature_c": self.throttle.temperature_c(),
            "throttles": self._throttles if "count" in self.shows else None,
            "throttled": (0b100 * slow + (0b100 << 16) * (self._throttles > 0)) if "bits" in self.shows else None,
            "boost": 0,
            "load_1min": None,
            "cpu_busy_s": _ticks(self._busy_s),
            "cpu_total_s": _ticks(self._total_s),
            "cpu_cores": self.cores,
            "memory_available_b": 1 << 30,
            "kernel": "simulated",
        }

    def loads_s(self) -> tuple[float, float]:
        """For how long cores were busy, and for how long with what was ``loaded``, as the kernel counts."""
        return _ticks(self._busy_s), _ticks(self._own_s)

    def _pass(self, seconds: float) -> None:
        watts = self.watts()
        busy = min(self.cores, self._load[0] + self.others(self.now_s))
        fast = self.throttle.speed == 1
        self.throttle.pass_time(self.now_s, seconds, watts)
        self._throttles += fast and self.throttle.speed < 1
        self.now_s += seconds
        self._busy_s += busy * seconds
        self._own_s += self._load[0] * seconds
        self._total_s += self.cores * seconds
        self._times.append(self.now_s)
        self._joules.append(self._joules[-1] + watts * seconds)

    def _joules_at(self, moment_s: float) -> float:
        assert 0 <= moment_s <= self.now_s, "nothing is true yet of the future"
        after = min(bisect_right(self._times, moment_s), len(self._times) - 1)
        begin_s, end_s = self._times[after - 1 : after + 1]
        begin_j, end_j = self._joules[after - 1 : after + 1]
        return begin_j + (end_j - begin_j) * (moment_s - begin_s) / (end_s - begin_s)


class Process:
    """A network in a process of its own, which is a little slower or quicker than others."""

    def __init__(self, world: World, network: Network, rng: np.random.Generator) -> None:
        self._world, self._network, self._rng = world, network, rng
        self._level_s = network.latency_s * math.exp(rng.normal(0, network.spread))
        self._watts = (network.busy_w - world.idle_w(world.now_s)) * (1 + rng.normal(0, network.spread_w))
        self._state = rng.normal(0, network.noise)

    def time(self, count: int) -> list[float]:
        """The time of each of so many inferences, after one that is not told; see joulefront_agent.timing."""
        self._inferences(1, self._noise)
        began_s = self._world.now_s
        samples = self._inferences(count, self._noise)
        set_s, by_s = self._world.clock_set
        if began_s <= set_s < self._world.now_s:
            samples[np.searchsorted(began_s + np.cumsum(samples), set_s)] += by_s
        return [float(taken_s) for taken_s in samples]

    def run(self, count: int) -> int:
        """So many inferences; returns their number."""
        mean = math.exp(self._network.noise**2 / 2)
        self._inferences(count, lambda piece: np.full(piece, mean))
        return count

    def _inferences(self, count: int, noise: Callable[[int], NDArray[np.float64]]) -> NDArray[np.float64]:
        pieces = []
        with self._world.loaded(self._network.threads, self._watts):
            while count:
                typical_s = self._level_s * self._world.slowness()
                piece = math.ceil(min(count, self._world.piece_s / typical_s))
                pieces.append(typical_s * noise(piece))
                self._world.spend(float(pieces[-1].sum()))
                count -= piece
        return np.concatenate(pieces) * (1 + self._world.skew)  # the device's clock tells it

    def _noise(self, count: int) -> NDArray[np.float64]:
        rho, sigma = self._network.rho, self._network.noise
        shocks = self._rng.normal(0, sigma * math.sqrt(1 - rho**2), count)
        levels, _ = lfilter([1.0], [1.0, -rho], shocks, zi=[rho * self._state])
        self._state = levels[-1]
        return np.exp(levels)  # type: ignore[no-any-return]


def _ticks(seconds: float) -> float:
    return math.floor(seconds / _TICK_S) * _TICK_S


def _course(value: Course) -> Callable[[float], float]:
    return value if callable(value) else lambda now_s: value
