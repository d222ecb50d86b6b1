"""What every energy sensor gives, and how it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from joulefront_agent.wire import Failure

STUCK_S = 10.0
"""A sensor that has not answered for so long, in s, does not: its bus hangs, or its driver does."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reading:
    """What a sensor measured between start and stop: joules, and over how long, in s.

    ``resolution_j`` is one step of it over that time in J, ``period_s`` the time between two of its updates in s. ``gain``
    is the share by which its scale may be off, at most, where the maker of its chip says so; a resistor that the board
    measures currents by is not in it. ``cost_s`` is the processor time in s that reading it took.
    """

    energy_j: float
    window_s: float
    resolution_j: float
    period_s: float
    gain: float | None = None
    cost_s: float = 0.0


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

    @property
    def period_s(self) -> float:
        """The time between two of its updates in s, as far as it is known by now; 0 for next to none."""
        ...

    def start(self) -> None:
        """Begin a window. Raises Failure (MeterError)."""
        ...

    def stop(self) -> Reading:
        """End the window. Raises Failure (MeterError)."""
        ...


def within(limit_s: float, look: Callable[[], Answer]) -> Answer:
    """What ``look`` returns or raises, by a thread that is left behind where that takes longer than ``limit_s``, in s.

    Then it raises Failure (MeterError): a file of a driver may block whoever reads it, for good.
    """
    done: list[Any] = []

    def run() -> None:
        try:
            done.extend((look(), None))
        except BaseException as error:  # noqa: BLE001 -- it is raised below
            done.extend((None, error))

    thread = threading.Thread(target=run, name="joulefront-sensors", daemon=True)
    thread.start()
    thread.join(limit_s)
    if not done:
        raise Failure("MeterError", f"the energy sensors do not answer: they took more than {limit_s:g} s to be read")
    answer, error = done
    if error is not None:
        raise error
    return answer  # type: ignore[no-any-return]
