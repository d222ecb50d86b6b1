"""What every energy sensor gives, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """What a sensor measured between start and stop: joules, and over how long, in s.

    ``resolution_j`` is one step of its counter in J, ``period_s`` the time between two of its updates in s.
    """

    energy_j: float
    window_s: float
    resolution_j: float
    period_s: float


class Sensor(Protocol):
    """Measures the energy between ``start`` and ``stop``, again and again. ``covers`` says which part of the machine."""

    @property
    def name(self) -> str:
        """What the meter is called, such as "rapl" or "hwmon:ina226"."""
        ...

    @property
    def covers(self) -> str:
        """Which part of the machine it measures."""
        ...

    def start(self) -> None:
        """Begin a window. Raises Failure (MeterError)."""
        ...

    def stop(self) -> Reading:
        """End the window. Raises Failure (MeterError)."""
        ...
