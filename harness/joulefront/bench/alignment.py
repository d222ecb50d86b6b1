"""When, by this host's clock, something happened that a device's clock timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import CLOCK_MONOTONIC_RAW, clock_gettime

import numpy as np

from joulefront.errors import MeterError

Exchange = tuple[float, float, float]
"""The device's clock, and this host's right before it was asked and right after the answer, in s (``Session.clock``)."""

LIMIT = 1e-3
"""How far apart the rates of two clocks may be, as a share: crystals are within 1e-4 of one another."""

EVENNESS = 1e-6
"""How far a clock may stray from an even rate, as a share of the time looked at: crystals follow the temperature."""

_EXCHANGES = 64
_LOOK_S = 2.0
_TICKS = 1e-9


class Alignment:
    """The relation between a device's clock and this host's, as far as ``exchanges`` with the device tell it.

    What is asked is a line: host = offset + rate * device. At the device's time of an exchange, it must lie between the
    host's two, since the device read its clock after it was asked and before the answer was there; how long either way
    took is not known, and need not be the same. All lines that satisfy each exchange, with a rate within ``LIMIT`` of 1, are
    a convex set; at any device time the host's lies between the least and the greatest value of a line of that set, which
    two linear programmes find. These are bounds, not a standard deviation. ``EVENNESS`` is added for what is no line.

    Raises MeterError where no line fits: a clock jumped, or stood still.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        if not exchanges:
            raise ValueError("an alignment needs exchanges")
        device_s, before_s, after_s = np.asarray(exchanges, dtype=np.float64).T
        # From the middle of both, so that a line of a machine that is up for a year keeps its nanoseconds.
        self._device_s = float(np.mean([device_s.min(), device_s.max()]))
        self._host_s = float(np.mean([before_s.min(), after_s.max()]))
        self._x, self._low, self._high = device_s - self._device_s, before_s - self._host_s, after_s - self._host_s
        self._slack_s = EVENNESS * float(np.ptp(device_s)) + _TICKS
        self.host_s(self._device_s)  # whether there is a line at all

    def host_s(self, device_s: float) -> tuple[float, float]:
        """This host's time at the device's ``device_s``, and by how much it may lie to either side, in s."""
        from scipy.optimize import linprog  # scipy.optimize takes a while to import

        at = device_s - self._device_s
        # The unknowns: how far the line is off where the middles meet, and how far its rate is off 1.
        rows = np.column_stack([np.ones_like(self._x), self._x])
        bounds = np.concatenate([self._high - self._x, self._x - self._low]) + self._slack_s
        ends = []
        for sign in (1.0, -1.0):
            # In microseconds, since the solver takes what is beyond a bound by 1e-7 for within it.
            found = linprog(
                [sign, sign * at],
                A_ub=np.concatenate([rows, -rows]),
                b_ub=bounds * 1e6,
                bounds=[(None, None), (-LIMIT * 1e6, LIMIT * 1e6)],
            )
            if found.status != 0:
                raise MeterError(
                    "the device's clock and this host's do not run evenly: one of them jumped or stood still, as that of a "
                    "machine that sleeps does. Keep both awake and measure again"
                )
            ends.append(sign * found.fun * 1e-6 + at + self._host_s)
        low_s, high_s = ends
        # What is no line, between the exchanges and beyond them.
        beyond_s = EVENNESS * max(0.0, abs(at) - float(np.max(np.abs(self._x))))
        return (low_s + high_s) / 2, max(0.0, high_s - low_s) / 2 + self._slack_s + beyond_s


def exchanged(ask: Callable[[], Exchange]) -> list[Exchange]:
    """Up to 64 exchanges, or as many as 2 s have room for, and one at least. Raises what ``ask`` raises.

    The quickest of them bound the clock best; the others do no harm.
    """
    begin_s = clock_gettime(CLOCK_MONOTONIC_RAW)
    made = [ask()]
    while len(made) < _EXCHANGES and clock_gettime(CLOCK_MONOTONIC_RAW) - begin_s < _LOOK_S:
        made.append(ask())
    return made
