"""The messages of the wire protocol's op ``time``: single functions of a library, and the seconds that each call takes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from joulefront_agent.checking import Failure, WireError, itemsize, list_of, plain, table_of, take


@dataclass(frozen=True)
class Argument:
    """A tensor that a function takes, its output too: no size of ``shape`` is zero.

    ``warm`` says that in a network it is in the cache when the function begins, as what the operator before wrote is.
    """

    shape: tuple[int, ...]
    dtype: str
    warm: bool

    @property
    def size_b(self) -> int:
        """How many bytes its elements take."""
        return math.prod(self.shape) * itemsize(self.dtype)

    @classmethod
    def from_wire(cls, value: Any) -> Argument:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "argument", tuple(cls.__dataclass_fields__))
        shape = tuple(take(size, "shape", int, least=1) for size in list_of(table["shape"], "shape"))
        argument = cls(shape, take(table["dtype"], "dtype", str), take(table["warm"], "warm", bool))
        itemsize(argument.dtype)
        return argument


@dataclass(frozen=True)
class Function:
    """A function of a library, by the name that it is exported under, and its arguments in order."""

    name: str
    arguments: tuple[Argument, ...]

    @classmethod
    def from_wire(cls, value: Any) -> Function:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "function", tuple(cls.__dataclass_fields__))
        arguments = tuple(Argument.from_wire(item) for item in list_of(table["arguments"], "arguments"))
        if not arguments:
            raise WireError("arguments: expected at least the output")
        return cls(take(table["name"], "name", str), arguments)


@dataclass(frozen=True)
class Timing:
    """Which functions of a library to time, and how long.

    ``library`` is an absolute path on the device and ``sha256`` what its bytes must hash to. In each of ``rounds`` rounds
    each function has its turn for about ``slice_s``. With ``flush_b`` so many bytes of something else are read before
    each call, as a network reads its other weights between two uses of one; with 0, what a function reads stays in
    whatever cache it fits. After ``limit_s`` no further round begins, but one is always run. The child is killed when one
    turn takes more than ``timeout_s``; all together take at most ``limit_s`` and twice ``timeout_s``, and what a child
    needs to start is part of that. All in s.
    """

    library: str
    sha256: str
    functions: tuple[Function, ...]
    threads: int
    pin_threads: bool
    rounds: int
    slice_s: float
    flush_b: int
    limit_s: float
    timeout_s: float

    @property
    def end_s(self) -> float:
        """After how long an answer comes in any case."""
        return self.limit_s + 2 * self.timeout_s

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        return asdict(self)

    @classmethod
    def from_wire(cls, value: Any) -> Timing:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "time", tuple(cls.__dataclass_fields__))
        functions = tuple(Function.from_wire(item) for item in list_of(table["functions"], "functions"))
        if not functions:
            raise WireError("functions: expected at least one")
        seconds = ("slice_s", "limit_s", "timeout_s")
        return cls(
            library=take(table["library"], "library", str),
            sha256=take(table["sha256"], "sha256", str),
            functions=functions,
            threads=take(table["threads"], "threads", int, least=1),
            pin_threads=take(table["pin_threads"], "pin_threads", bool),
            rounds=take(table["rounds"], "rounds", int, least=1),
            flush_b=take(table["flush_b"], "flush_b", int, least=0),
            **{name: take(table[name], name, float, least=0) for name in seconds},
        )


@dataclass(frozen=True)
class Step:
    """What the agent's child says of a function, by its number, while it times: its turn begins (with neither), its
    ``seconds`` per call in the turn just over, or why it is timed no more."""

    function: int
    seconds: float | None = None
    error: Failure | None = None

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        return {"function": self.function, "seconds": self.seconds, "error": self.error and self.error.to_wire()}

    @classmethod
    def from_wire(cls, value: Any, functions: int) -> Step:
        """From JSON's values, of one of so many ``functions``. Raises WireError."""
        table = table_of(value, "step", tuple(cls.__dataclass_fields__))
        number = take(table["function"], "function", int, least=0)
        if number >= functions:
            raise WireError(f"function: expected less than {functions}, not {number}")
        seconds = None if table["seconds"] is None else take(table["seconds"], "seconds", float, least=0)
        return cls(number, seconds, None if table["error"] is None else Failure.from_wire(table["error"]))


@dataclass(frozen=True)
class Timed:
    """Of each function that was to be timed, in order: its seconds per call in each round, or why there are none.

    ``before`` and ``after`` are the machine's conditions.
    """

    functions: tuple[tuple[float, ...] | Failure, ...]
    before: dict[str, Any]
    after: dict[str, Any]

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        functions = [one.to_wire() if isinstance(one, Failure) else list(one) for one in self.functions]
        return {"functions": functions, "before": self.before, "after": self.after}

    @classmethod
    def from_wire(cls, value: Any, functions: int) -> Timed:
        """From JSON's values, of so many ``functions``. Raises WireError."""
        table = table_of(value, "timed", tuple(cls.__dataclass_fields__))
        answers = list_of(table["functions"], "functions")
        if len(answers) != functions:
            raise WireError(f"functions: expected {functions}, not {len(answers)}")
        return cls(
            functions=tuple(
                _rounds_of(item) if isinstance(item, list) else Failure.from_wire(item) for item in answers
            ),
            before=plain(table["before"], "before"),
            after=plain(table["after"], "after"),
        )


def _rounds_of(values: list[Any]) -> tuple[float, ...]:
    if not values:
        raise WireError("functions: expected at least one round")
    return tuple(take(value, "functions", float, least=0) for value in values)
