"""What a kind of sensor offers: the meters that can be read, and those that cannot, with what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from joulefront_agent.sensors.reading import Sensor


def _unknown(_: float) -> float:
    return 0.0


@dataclass(frozen=True)
class Meter:
    """A meter that can be read.

    ``names`` are what it may be called, the one to prefer first. ``kind`` is as in wire_energy.KINDS. ``total`` is whether
    it may stand for all that the machine takes. ``make`` is given the name and the cores to sample on. ``read`` returns W,
    or J for a counter, and raises OSError or ValueError; it is called no more often than each ``rest_s``. ``step`` is one
    step of it at such a value, as far as its units and its maker tell; ``interval_s`` is how often it is updated, as far as
    its driver does.
    """

    names: tuple[str, ...]
    covers: str
    kind: str
    total: bool
    make: Callable[[str, Collection[int]], Sensor]
    read: Callable[[], float]
    step: Callable[[float], float] = _unknown
    interval_s: float | None = None
    rest_s: float = 0.0


@dataclass(frozen=True)
class Unusable:
    """A meter that is there, or might be, and cannot be used: ``reason`` says why, ``fix`` what to do, if there is something."""

    name: str
    covers: str
    kind: str
    reason: str
    fix: str | None = None

    def __str__(self) -> str:
        return f"{self.reason}. To allow it: {self.fix}" if self.fix else self.reason


@dataclass(frozen=True)
class Looked:
    """What one kind of sensors has. ``absent`` says why there is none at all, where there is none."""

    meters: Sequence[Meter] = ()
    unusable: Sequence[Unusable] = ()
    absent: str = ""


def called(meters: Sequence[Meter], among: Sequence[Meter]) -> list[str]:
    """For each meter the first of its names that no other one has."""
    known = Counter(name for meter in among for name in meter.names)
    return [min(meter.names, key=lambda name: known[name]) for meter in meters]
