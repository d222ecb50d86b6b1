"""Power over time, as samples of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from joulefront.errors import MeterError


@dataclass(frozen=True, slots=True)
class Trace:
    """Samples of a power in W, (n,), at rising times in s, (n,). Neighbours further apart than ``most_step_s`` have lost others.

    ``who`` is how messages call the meter.
    """

    who: str
    times_s: NDArray[np.float64]
    watts: NDArray[np.float64]
    most_step_s: float

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """The energy between two times in J: by trapezoids, with the power at both ends interpolated.

        Raises MeterError where that is not known: samples are missing or no numbers, or lie on one side alone.
        """
        times, watts = self.times_s, self.watts
        if not (len(times) and times[0] <= begin_s < end_s <= times[-1]):
            known = f"from {times[0]:.6g} to {times[-1]:.6g} s" if len(times) else "nothing"
            raise MeterError(
                f"{self.who} recorded {known}, and the window is from {begin_s:.6g} to {end_s:.6g} s: not covered"
            )
        # From the last sample at or before the window to the first at or behind it.
        first = int(np.searchsorted(times, begin_s, side="right")) - 1
        last = int(np.searchsorted(times, end_s, side="left"))
        times, watts = times[first : last + 1], watts[first : last + 1]
        steps = np.diff(times)
        if np.any(steps <= 0):
            raise MeterError(f"{self.who}: the times of its samples do not rise")
        if np.any(steps > self.most_step_s):
            widest = int(np.argmax(steps))
            raise MeterError(
                f"{self.who} lost samples: none for {steps[widest]:.3g} s, {times[widest] - begin_s:.3g} s into the window"
            )
        if bad := int(np.count_nonzero(~np.isfinite(watts))):
            raise MeterError(
                f"{self.who}: {bad} of the window's {len(watts)} samples are no numbers, as beyond its range"
            )
        at = np.concatenate([[begin_s], times[1:-1], [end_s]])
        return float(np.trapezoid(np.interp(at, times, watts), at))
