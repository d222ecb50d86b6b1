"""The messages about energy: a window of it and what sensors read meanwhile, a watch without a network, the meters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from joulefront_agent.checking import WireError, list_of, maybe, plain, table_of, take

KINDS = ("counter", "power")
"""A sensor counts energy, or tells power and is sampled."""


@dataclass(frozen=True)
class Reading:
    """What one sensor measured over a window: gross joules, and over how long by its own clock, in s.

    ``resolution_j`` is one step of it over the window in J, ``period_s`` the time between two of its updates in s.
    ``gain`` is the share by which its scale may be off, at most, where its maker or driver says so; None where nobody does.
    ``cost_s`` is the processor time in s that reading it took meanwhile.
    """

    sensor: str
    covers: str
    energy_j: float
    window_s: float
    resolution_j: float
    period_s: float
    gain: float | None
    cost_s: float

    @classmethod
    def from_wire(cls, value: Any) -> Reading:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "reading", tuple(cls.__dataclass_fields__))
        numbers = ("energy_j", "window_s", "resolution_j", "period_s", "cost_s")
        return cls(
            sensor=take(table["sensor"], "sensor", str),
            covers=take(table["covers"], "covers", str),
            gain=maybe(table["gain"], "gain", float, 0),
            **{name: take(table[name], name, float, least=0) for name in numbers},
        )


@dataclass(frozen=True)
class Window:
    """A stretch of time in which nothing ran but so many ``inferences`` (0: none was to), and what the sensors read.

    It begins and ends at these times of CLOCK_MONOTONIC_RAW, in s. ``busy_cores`` is how many cores' time was taken on
    average by whatever there was, None where the kernel does not say; ``own_cores`` is this process's part of it.
    """

    begin_s: float
    end_s: float
    inferences: int
    busy_cores: float | None
    own_cores: float
    readings: tuple[Reading, ...]

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        return {**asdict(self), "readings": [asdict(reading) for reading in self.readings]}

    @classmethod
    def from_wire(cls, value: Any) -> Window:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "window", tuple(cls.__dataclass_fields__))
        window = cls(
            begin_s=take(table["begin_s"], "begin_s", float, least=0),
            end_s=take(table["end_s"], "end_s", float, least=0),
            inferences=take(table["inferences"], "inferences", int, least=0),
            busy_cores=maybe(table["busy_cores"], "busy_cores", float, 0),
            own_cores=take(table["own_cores"], "own_cores", float, least=0),
            readings=tuple(Reading.from_wire(item) for item in list_of(table["readings"], "readings")),
        )
        if window.end_s <= window.begin_s:
            raise WireError(f"window: it ends at {window.end_s:g} s, and begins at {window.begin_s:g} s")
        return window


@dataclass(frozen=True)
class Watch:
    """Read ``meters`` (as in Hello) over a window without a network: idle, or with ``busy`` cores kept busy.

    The window lasts at least ``least_s``, and ``periods`` updates of each sensor, but no longer than ``most_s``, in s.
    The child that does it is killed after ``timeout_s``. ``mark`` is as in Run.
    """

    meters: tuple[str, ...]
    busy: int
    least_s: float
    periods: int
    most_s: float
    timeout_s: float
    mark: str = ""

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        return {**asdict(self), "meters": list(self.meters)}

    @classmethod
    def from_wire(cls, value: Any) -> Watch:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "watch", tuple(cls.__dataclass_fields__))
        return cls(
            meters=tuple(take(item, "meters", str) for item in list_of(table["meters"], "meters")),
            busy=take(table["busy"], "busy", int, least=0),
            periods=take(table["periods"], "periods", int, least=0),
            mark=take(table["mark"], "mark", str),
            **{name: take(table[name], name, float, least=0) for name in ("least_s", "most_s", "timeout_s")},
        )


@dataclass(frozen=True)
class Watched:
    """The window that a Watch asked for; ``before`` and ``after`` are the machine's conditions."""

    window: Window
    before: dict[str, Any]
    after: dict[str, Any]

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        return {"window": self.window.to_wire(), "before": self.before, "after": self.after}

    @classmethod
    def from_wire(cls, value: Any) -> Watched:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "watched", tuple(cls.__dataclass_fields__))
        window = Window.from_wire(table["window"])
        return cls(window, plain(table["before"], "before"), plain(table["after"], "after"))


@dataclass(frozen=True)
class Found:
    """A meter that the device has, or might have: ``reason`` says why it cannot be used and ``fix`` what to do about it.

    One that can be used has neither, and was looked at for a moment: ``period_s`` is the time between two of its updates
    in s, ``resolution`` one step of it, in J for a ``counter`` and in W for a ``power``, and ``read_s`` what one read of it
    takes in s. What did not show within that moment is None. ``auto`` says whether "auto" stands for it.
    """

    name: str
    covers: str
    kind: str
    auto: bool
    period_s: float | None
    resolution: float | None
    read_s: float | None
    reason: str | None
    fix: str | None

    @classmethod
    def from_wire(cls, value: Any) -> Found:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "meter", tuple(cls.__dataclass_fields__))
        kind = take(table["kind"], "kind", str)
        if kind not in KINDS:
            raise WireError(f"kind: expected one of {', '.join(KINDS)}, not {kind[:40]!r}")
        return cls(
            name=take(table["name"], "name", str),
            covers=take(table["covers"], "covers", str),
            kind=kind,
            auto=take(table["auto"], "auto", bool),
            **{name: maybe(table[name], name, float, 0) for name in ("period_s", "resolution", "read_s")},
            **{name: maybe(table[name], name, str) for name in ("reason", "fix")},
        )


def meters_to_wire(meters: tuple[Found, ...]) -> dict[str, Any]:
    """The answer to ``meters``, as JSON's values."""
    return {"meters": [asdict(meter) for meter in meters]}


def meters_from_wire(value: Any) -> tuple[Found, ...]:
    """From JSON's values. Raises WireError."""
    table = table_of(value, "meters", ("meters",))
    return tuple(Found.from_wire(item) for item in list_of(table["meters"], "meters"))
