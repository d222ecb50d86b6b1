"""What slows the processor of a simulated device down."""

from __future__ import annotations

import math
from typing import Protocol


class Throttle(Protocol):
    """Slows the processor down. ``speed`` is the share of its frequency that it runs at."""

    speed: float

    def pass_time(self, now_s: float, seconds: float, watts: float) -> None:
        """So many s went by from ``now_s`` on, at a power in W."""
        ...

    def temperature_c(self) -> float | None:
        """How hot the processor is, in degrees Celsius."""
        ...


class Scripted:
    """Throttled at these times: each from, until, and at which speed."""

    def __init__(self, *times: tuple[float, float, float]) -> None:
        self._times = times
        self.speed = 1.0
        self.pass_time(0.0, 0.0, 0.0)

    def pass_time(self, now_s: float, seconds: float, watts: float) -> None:
        """See Throttle."""
        later_s = now_s + seconds
        self.speed = next((speed for begin_s, end_s, speed in self._times if begin_s <= later_s < end_s), 1.0)

    def temperature_c(self) -> float | None:
        """See Throttle."""
        return None


class Thermal:
    """Heat in one lump: it takes ``tau_s`` to follow, and slows the processor down from ``limit_c`` on, to 3 K below it."""

    def __init__(
        self,
        limit_c: float,
        *,
        kelvin_per_w: float = 8.0,
        tau_s: float = 20.0,
        slowed: float = 0.6,
        ambient_c: float = 25.0,
    ) -> None:
        self._limit_c, self._kelvin_per_w, self._tau_s, self._slowed = limit_c, kelvin_per_w, tau_s, slowed
        self._ambient_c = self._now_c = ambient_c
        self.speed = 1.0

    def pass_time(self, now_s: float, seconds: float, watts: float) -> None:
        """See Throttle."""
        end_c = self._ambient_c + self._kelvin_per_w * watts
        self._now_c = end_c + (self._now_c - end_c) * math.exp(-seconds / self._tau_s)
        if self._now_c >= self._limit_c:
            self.speed = self._slowed
        elif self._now_c < self._limit_c - 3:
            self.speed = 1.0

    def temperature_c(self) -> float | None:
        """See Throttle."""
        return self._now_c
