"""Meters on this host that tell a power when they are asked."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from time import CLOCK_MONOTONIC_RAW, clock_gettime

import numpy as np

from joulefront.bench.meters.trace import Trace
from joulefront.errors import MeterError
from joulefront.records import EnergyWindow, Provenance, Stretch

_MOST_PERIODS = 5.0
_FEWEST = 10
_END_S = 10.0


class Sampling(ABC):
    """A ``protocols.PowerMeter`` that has only to say what the power is now; a thread of its own asks it each ``period_s``.

    ``period_s`` is how often the meter itself has something new, in s; ``resolution_w`` the smallest step of what it tells, in W;
    ``gain`` the share by which that may be off at most, as its maker says, None where nobody does.
    """

    name: str
    covers: str
    provenance: Provenance = "measured"

    def __init__(self, period_s: float, resolution_w: float = 0.0, gain: float | None = None) -> None:
        self.period_s, self.resolution_w, self._gain = period_s, resolution_w, gain
        self.every_s = period_s  # how often it is asked
        self._samples: list[tuple[float, float]] = []
        self._reads_s: list[float] = []
        self._error: str | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def power_w(self) -> float:
        """The power in W, now or since the last call. Whatever it raises makes the window no measurement."""

    def begin(self) -> None:
        """See PowerMeter."""
        self._samples, self._reads_s, self._error = [], [], None
        self._ended.clear()
        self._sample()  # before the window, so that its beginning lies between two samples
        self._thread = threading.Thread(target=self._go_on, name=f"joulefront-{self.name}", daemon=True)
        self._thread.start()
        if self._error is not None:
            self._stop()
            raise MeterError(self._error)

    def end(self) -> None:
        """See PowerMeter."""
        self._stop()
        self._sample()  # and its end as well

    def energy(self, stretch: Stretch) -> EnergyWindow:
        """See PowerMeter: by trapezoids between the samples."""
        if self._error is not None:
            raise MeterError(self._error)
        inside = sum(stretch.begin_s <= at_s <= stretch.end_s for at_s, _ in self._samples)
        if inside < _FEWEST and self._samples and self._samples[0][0] <= stretch.begin_s <= self._samples[-1][0]:
            raise MeterError(
                f"{self.name}: {inside} samples in the window are too few; give it longer windows ([measure] energy_s)"
            )
        times_s, watts = np.array(self._samples, dtype=np.float64).reshape(-1, 2).T
        energy_j = Trace(self.name, times_s, watts, _MOST_PERIODS * self.period_s).energy_j(
            stretch.begin_s, stretch.end_s
        )
        window_s = stretch.end_s - stretch.begin_s
        if energy_j <= 0:
            raise MeterError(
                f"{self.name} told {energy_j:.3g} J over {window_s:.3g} s: is the device supplied through it?"
            )
        return EnergyWindow(
            energy_j,
            window_s,
            stretch.inferences,
            self.resolution_w * window_s,
            self.period_s,
            self._gain,
            stretch.edges_s,
            0.0,
        )

    def heard(self) -> tuple[list[tuple[float, float]], list[float]]:
        """What was recorded: times in s with the power in W, and how long each answer took, in s."""
        return self._samples, self._reads_s

    def close(self) -> None:
        """See PowerMeter."""
        self._ended.set()

    def _go_on(self) -> None:
        while self._error is None and not self._ended.wait(self.every_s):
            self._sample()

    def _sample(self) -> None:
        """Ask once; what it told counts for the middle of the time that it took."""
        asked_s = clock_gettime(CLOCK_MONOTONIC_RAW)
        try:
            watts = float(self.power_w())
        except Exception as error:  # noqa: BLE001 -- somebody else's code, in a thread that nobody watches
            self._error = f"{self.name} cannot be read: {type(error).__name__}: {error}"
            return
        told_s = clock_gettime(CLOCK_MONOTONIC_RAW)
        self._samples.append(((asked_s + told_s) / 2, watts))
        self._reads_s.append(told_s - asked_s)

    def _stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_S)
            if self._thread.is_alive():
                raise MeterError(f"{self.name} has not answered for {_END_S:g} s")
            self._thread = None
