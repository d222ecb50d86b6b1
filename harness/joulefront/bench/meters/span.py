"""When something was recorded, for meters that record nothing while it is."""

from __future__ import annotations

from time import CLOCK_MONOTONIC_RAW, clock_gettime

from joulefront.errors import MeterError
from joulefront.records import Stretch


class Span:
    """The time from ``begin`` to ``end``, by the host's CLOCK_MONOTONIC_RAW, in s: that part of a ``protocols.PowerMeter``."""

    def __init__(self) -> None:
        self.begin_s = self.end_s = 0.0

    def begin(self) -> None:
        """See PowerMeter."""
        self.begin_s = clock_gettime(CLOCK_MONOTONIC_RAW)

    def end(self) -> None:
        """See PowerMeter."""
        self.end_s = clock_gettime(CLOCK_MONOTONIC_RAW)

    def check(self, stretch: Stretch, name: str) -> None:
        """Raises MeterError for a stretch that does not lie within, of the meter called ``name``."""
        if not self.begin_s <= stretch.begin_s < stretch.end_s <= self.end_s:
            raise MeterError(f"{name}: the window does not lie between its beginning and its end: not covered")

    def close(self) -> None:
        """See PowerMeter."""
