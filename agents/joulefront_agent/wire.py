"""The wire protocol's one source: JSON lines between the harness and the agent, and between the agent and its child.

    request   {"id": 7, "op": "run", "params": {…}}
    answer    {"id": 7, "ok": {…}}   or   {"id": 7, "error": {"kind": "Hung", "message": "…"}}

One line a message, UTF-8, no newline inside. ``hello`` comes first and settles the version; ``conditions`` reads how
the machine is now; ``clock`` tells its clock, and ``meters`` what could measure its energy; ``run`` does one process's
share of a measurement; ``time`` times single functions of a library; ``watch`` reads meters without a network; ``ping``
keeps the agent alive, also while one of those three is on its way. Raw tensors travel as base64. Everything that
comes in is checked here: a message of another shape is a WireError.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import Any

from joulefront_agent.checking import Failure, WireError, itemsize, list_of, maybe, plain, table_of, take
from joulefront_agent.wire_energy import Window

__all__ = [
    "CANDIDATE_KINDS",
    "GOVERNORS",
    "LINE_LIMIT_B",
    "OPS",
    "PING_S",
    "SILENCE_S",
    "VERSION",
    "Answer",
    "Failure",
    "Hello",
    "Ran",
    "Request",
    "Run",
    "Tensor",
    "WireError",
    "decode_answer",
    "decode_request",
    "encode_answer",
    "encode_request",
    "itemsize",
    "plain",
]

VERSION = 5

PING_S = 5.0
"""The harness sends something at least so often, in s."""

SILENCE_S = 60.0
"""An agent that has heard nothing for so long ends, in s."""

_MOST_SILENCE_S = 86400.0

LINE_LIMIT_B = 1 << 28
"""A longer line is not protocol, in bytes."""

OPS = ("hello", "conditions", "clock", "meters", "run", "time", "watch", "ping")

GOVERNORS = ("performance", "keep")
"""What a session may ask for."""

CANDIDATE_KINDS = ("OutOfMemory", "Crashed", "Hung")
"""The kinds of a run's error for which the network itself may be to blame."""


@dataclass(frozen=True)
class Request:
    """One request. ``params`` is still unchecked; the op's own type checks it."""

    id: int
    op: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One answer: ``ok``, or else ``error``. ``id`` is None when the request could not be read."""

    id: int | None
    ok: dict[str, Any] | None
    error: Failure | None = None


@dataclass(frozen=True)
class Tensor:
    """A tensor as plain data: ``data`` holds the elements in C order, little-endian."""

    shape: tuple[int, ...]
    dtype: str
    data: bytes

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        return {"shape": list(self.shape), "dtype": self.dtype, "data": base64.b64encode(self.data).decode("ascii")}

    @classmethod
    def from_wire(cls, value: Any) -> Tensor:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "tensor", ("shape", "dtype", "data"))
        shape = tuple(take(size, "shape", int, least=0) for size in list_of(table["shape"], "shape"))
        dtype = take(table["dtype"], "dtype", str)
        try:
            data = base64.b64decode(take(table["data"], "data", str), validate=True)
        except (binascii.Error, ValueError) as error:
            raise WireError(f"data: not base64: {error}") from None
        if len(data) != math.prod(shape) * itemsize(dtype):
            raise WireError(f"data: {len(data)} bytes do not fill {dtype} of shape {shape}")
        return cls(shape, dtype, data)


@dataclass(frozen=True)
class Run:
    """What one child process is to do with a compiled network.

    ``library`` is an absolute path on the device and ``sha256`` what its bytes must hash to. ``outputs`` asks for what
    one inference returns. Warm-up goes on until it is steady, for at most ``warm_up_s``; sampling for at least
    ``sample_s`` and ``samples`` inferences, but for no longer than ``sample_limit_s``. The energy window lasts at least
    ``energy_s``, 0 for none, ten inferences, and ``periods`` updates of each of the ``meters`` (as in Hello; none where
    something else measures), but no longer than ``energy_limit_s``. The child is killed after ``timeout_s``. All in s.
    ``mark`` is the file of a pin that is high while the window lasts, "" for none.
    """

    library: str
    sha256: str
    inputs: tuple[Tensor, ...]
    threads: int
    pin_threads: bool
    outputs: bool
    warm_up_s: float
    sample_s: float
    samples: int
    sample_limit_s: float
    energy_s: float
    periods: int
    energy_limit_s: float
    meters: tuple[str, ...]
    timeout_s: float
    mark: str = ""

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        table = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**table, "inputs": [tensor.to_wire() for tensor in self.inputs], "meters": list(self.meters)}

    @classmethod
    def from_wire(cls, value: Any) -> Run:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "run", tuple(cls.__dataclass_fields__))
        seconds = ("warm_up_s", "sample_s", "sample_limit_s", "energy_s", "energy_limit_s", "timeout_s")
        return cls(
            library=take(table["library"], "library", str),
            sha256=take(table["sha256"], "sha256", str),
            inputs=tuple(Tensor.from_wire(item) for item in list_of(table["inputs"], "inputs")),
            threads=take(table["threads"], "threads", int, least=1),
            pin_threads=take(table["pin_threads"], "pin_threads", bool),
            outputs=take(table["outputs"], "outputs", bool),
            samples=take(table["samples"], "samples", int, least=1),
            periods=take(table["periods"], "periods", int, least=0),
            meters=tuple(take(item, "meters", str) for item in list_of(table["meters"], "meters")),
            mark=take(table["mark"], "mark", str),
            **{name: take(table[name], name, float, least=0) for name in seconds},
        )


@dataclass(frozen=True)
class Ran:
    """What one child process did.

    ``outputs`` are there when they were asked for. ``samples_s`` holds the time of every inference after warm-up, in s,
    but for those that were timed while the device's clock was set, ``clock_steps`` times.
    ``steady`` says whether warm-up met its test. ``memory_b`` is the most memory that the network added to the process
    while it was loaded and first run, in bytes, or None with a ``memory_reason``. ``others_cores`` is how many cores' time
    others took on average from its start to the end of sampling, None where that cannot be told. ``window`` is there when
    it was asked for. ``took_s`` is how long all of it took. ``before`` and ``after`` are the machine's conditions; where
    sensors were read, ``before`` tells the cores that they were read on, too, as ``meter_cores``.
    """

    outputs: tuple[Tensor, ...]
    samples_s: tuple[float, ...]
    clock_steps: int
    warm_up_s: float
    steady: bool
    others_cores: float | None
    window: Window | None
    took_s: float
    memory_b: int | None
    memory_reason: str | None
    before: dict[str, Any]
    after: dict[str, Any]

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        table = {name: getattr(self, name) for name in self.__dataclass_fields__}
        window = self.window.to_wire() if self.window else None
        outputs = [tensor.to_wire() for tensor in self.outputs]
        return {**table, "outputs": outputs, "samples_s": list(self.samples_s), "window": window}

    @classmethod
    def from_wire(cls, value: Any) -> Ran:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "ran", tuple(cls.__dataclass_fields__))
        samples = tuple(
            take(sample, "samples_s", float, least=0) for sample in list_of(table["samples_s"], "samples_s")
        )
        if not samples:
            raise WireError("samples_s: expected at least one sample")
        if (table["memory_b"] is None) is (table["memory_reason"] is None):
            raise WireError("memory_b: expected it, or else a memory_reason")
        return cls(
            outputs=tuple(Tensor.from_wire(item) for item in list_of(table["outputs"], "outputs")),
            samples_s=samples,
            clock_steps=take(table["clock_steps"], "clock_steps", int, least=0),
            warm_up_s=take(table["warm_up_s"], "warm_up_s", float, least=0),
            steady=take(table["steady"], "steady", bool),
            others_cores=maybe(table["others_cores"], "others_cores", float, least=0),
            window=None if table["window"] is None else Window.from_wire(table["window"]),
            took_s=take(table["took_s"], "took_s", float, least=0),
            memory_b=maybe(table["memory_b"], "memory_b", int, least=0),
            memory_reason=maybe(table["memory_reason"], "memory_reason", str),
            before=plain(table["before"], "before"),
            after=plain(table["after"], "after"),
        )


def encode_request(request: Request) -> bytes:
    """One line, without its newline."""
    return _dump({"id": request.id, "op": request.op, "params": request.params})


def decode_request(line: bytes) -> Request:
    """The request in one line. Raises WireError."""
    table = table_of(_load(line), "request", ("id", "op", "params"))
    op = take(table["op"], "op", str)
    if op not in OPS:
        raise WireError(f"op: expected one of {', '.join(OPS)}, not {op[:40]!r}")
    if not isinstance(table["params"], dict):
        raise WireError("params: expected an object")
    return Request(take(table["id"], "id", int), op, table["params"])


def encode_answer(answer: Answer) -> bytes:
    """One line, without its newline."""
    if answer.error is not None:
        return _dump({"id": answer.id, "error": answer.error.to_wire()})
    return _dump({"id": answer.id, "ok": answer.ok})


def decode_answer(line: bytes) -> Answer:
    """The answer in one line. Raises WireError."""
    value = _load(line)
    if isinstance(value, dict) and "error" in value:
        table = table_of(value, "answer", ("id", "error"))
        number = None if table["id"] is None else take(table["id"], "id", int)
        return Answer(number, None, Failure.from_wire(table["error"]))
    table = table_of(value, "answer", ("id", "ok"))
    if not isinstance(table["ok"], dict):
        raise WireError("ok: expected an object")
    return Answer(take(table["id"], "id", int), table["ok"])


@dataclass(frozen=True)
class Hello:
    """What the harness says first: after how long a silence the agent is to end, in s, which ``meter`` to read, and which
    frequency ``governor`` the cores are to have as long as it lives.

    A meter is "auto", "none", or the name of a sensor as the agent's facts list them, such as "hwmon:ina226"; a governor
    is "performance", or "keep" for what they have.
    """

    silence_s: float
    meter: str
    governor: str = "keep"

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values, with the harness's version."""
        return {"version": VERSION, **{name: getattr(self, name) for name in self.__dataclass_fields__}}

    @classmethod
    def from_wire(cls, params: dict[str, Any]) -> Hello:
        """From JSON's values. Raises WireError, above all for another version."""
        # The version comes before all else: another one may have other keys.
        version = params.get("version")
        if version != VERSION:
            raise WireError(f"the harness speaks version {version!r:.20} of the protocol, this agent version {VERSION}")
        table = table_of(params, "hello", ("version", *cls.__dataclass_fields__))
        silence_s = float(take(table["silence_s"], "silence_s", float, least=0))
        if silence_s > _MOST_SILENCE_S:
            raise WireError(f"silence_s: expected {_MOST_SILENCE_S:g} or less, not {silence_s:g}")
        governor = take(table["governor"], "governor", str)
        if governor not in GOVERNORS:
            raise WireError(f"governor: expected one of {', '.join(GOVERNORS)}, not {governor[:40]!r}")
        return cls(silence_s, take(table["meter"], "meter", str), governor)


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _load(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a JSON line: {error}: {line[:80]!r}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
