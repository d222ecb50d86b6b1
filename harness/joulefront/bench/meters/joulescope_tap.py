"""What comes from an instrument under one topic while a window is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from joulefront.bench.meters.joulescope_blocks import TimeMap
from joulefront.bench.meters.wall import wall_s
from joulefront.errors import MeterError

_WAIT_S = 5.0
# What came before it was measured, or so much later, was not timed by this host's clock. One block in time is enough.
_EARLY_S, _LATE_S = 0.01, 1.0


class Timed(Protocol):
    """A block from one tick to another."""

    @property
    def first(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def time_map(self) -> TimeMap: ...


Kind = TypeVar("Kind", bound=Timed)


class Tap(Generic[Kind]):
    """The blocks of one ``topic``, which come while ``control`` is 1, or always where there is none.

    ``read`` makes a block of what came.
    """

    def __init__(self, who: str, topic: str, control: str | None, read: Callable[[Any], Kind]) -> None:
        self.topic, self.control = topic, control
        self._who, self._read = who, read
        self._came: list[tuple[float, Any]] = []
        self._new = threading.Event()
        # One object for good: the driver knows by it what is to be unsubscribed.
        self.heard = self._heard

    def _heard(self, _: str, value: Any) -> None:
        """The driver's thread comes here, and must not wait."""
        self._came.append((wall_s(), value))
        self._new.set()

    def clear(self) -> None:
        """Forget what came."""
        self._came = []
        self._new.clear()

    def wait(self, until_s: float = 0.0) -> None:
        """Wait for a block that ends at that time of the wall clock, or later. Raises MeterError when none comes."""
        deadline_s = monotonic() + _WAIT_S
        while not self._came or self._last().time_map.wall_s(self._last().end) < until_s:
            if not self._new.wait(max(0.0, deadline_s - monotonic())):
                some = "no more" if self._came else "nothing"
                raise MeterError(f"{self._who} sends {some} under {self.topic}: is it still plugged in?")
            self._new.clear()

    def blocks(self) -> tuple[list[Kind], float]:
        """What came, in order, and how long after it was taken the quickest of it came, in s, by its own time.

        What the instrument's time is behind is no more than that, since nothing comes before it was taken. Raises MeterError
        where its times are none of this host's.
        """
        came = list(self._came)
        made = [self._read(value) for _, value in came]
        late_s = min(at_s - one.time_map.wall_s(one.end) for (at_s, _), one in zip(came, made, strict=True))
        if not -_EARLY_S <= late_s <= _LATE_S:
            raise MeterError(
                f"{self._who}'s samples come {late_s:.3g} s after they were taken, by its own time: its clock and this host's "
                "differ. Unplug it, plug it in again, and measure again"
            )
        return made, max(0.0, late_s)

    def _last(self) -> Kind:
        return self._read(self._came[-1][1])
