"""This host's two clocks: the one that windows are told by, and the wall clock that instruments are told."""

from __future__ import annotations

from time import CLOCK_MONOTONIC_RAW, CLOCK_REALTIME, clock_gettime

from joulefront.errors import MeterError

_LOOKS = 8
# A time service slews the wall clock by 5e-4 at most; what is more was set.
_MOST_SLEW = 1e-3
_MOST_STEP_S = 1e-3


def wall_s() -> float:
    """The wall clock, in s since 1970."""
    return clock_gettime(CLOCK_REALTIME)


class Wall:
    """What the wall clock showed at times of CLOCK_MONOTONIC_RAW, both in s: looked at when a recording begins and ends."""

    def __init__(self) -> None:
        self._pairs: list[tuple[float, float]] = []

    def look(self) -> None:
        """Read both now, the one between two readings of the other; the quickest of a few such readings counts."""
        best: tuple[float, float, float] | None = None
        for _ in range(_LOOKS):
            before_s, shown_s, after_s = (
                clock_gettime(CLOCK_MONOTONIC_RAW),
                wall_s(),
                clock_gettime(CLOCK_MONOTONIC_RAW),
            )
            if best is None or after_s - before_s < best[0]:
                best = after_s - before_s, (before_s + after_s) / 2, shown_s
        assert best is not None
        self._pairs.append(best[1:])

    def at(self, raw_s: float) -> tuple[float, float]:
        """The wall clock at a time between the first look and the last, and by how much it may be off, in s.

        That is as far as the clocks went apart in between, since nobody says when. Raises MeterError where the wall clock was
        set meanwhile.
        """
        (first_raw_s, first_s), (last_raw_s, last_s) = self._pairs[0], self._pairs[-1]
        length_s = last_raw_s - first_raw_s
        apart_s = (last_s - first_s) - length_s
        if abs(apart_s) > _MOST_STEP_S + _MOST_SLEW * length_s:
            raise MeterError(
                f"this host's wall clock was set by {apart_s:.3g} s while the meter recorded, whose times are told by it. Let a "
                "time service keep it, which does not step it, and measure again"
            )
        share = (raw_s - first_raw_s) / length_s if length_s else 0.0
        return first_s + (raw_s - first_raw_s) + share * apart_s, abs(apart_s)
