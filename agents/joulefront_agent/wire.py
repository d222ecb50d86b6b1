"""The wire protocol's one source: JSON lines between the harness and the agent, and between the agent and its child.

    request   {"id": 7, "op": "run", "params": {…}}
    answer    {"id": 7, "ok": {…}}   or   {"id": 7, "error": {"kind": "Hung", "message": "…"}}

One line a message, UTF-8, no newline inside. ``hello`` comes first and settles the version; ``conditions`` reads how
the machine is now; ``run`` does one process's share of a measurement; ``ping`` keeps the agent alive, also while a run
is on its way. Raw tensors travel as base64. Everything that comes in is checked here: a message of another shape is a
WireError.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import sys
from dataclasses import asdict, dataclass
from typing import Any

VERSION = 2

PING_S = 5.0
"""The harness sends something at least so often, in s."""

SILENCE_S = 60.0
"""An agent that has heard nothing for so long ends, in s."""

_MOST_SILENCE_S = 86400.0

LINE_LIMIT_B = 1 << 28
"""A longer line is not protocol, in bytes."""

OPS = ("hello", "conditions", "run", "ping")

CANDIDATE_KINDS = ("OutOfMemory", "Crashed", "Hung")
"""The kinds of a run's error for which the network itself may be to blame."""


class WireError(ValueError):
    """A message that is not of this protocol: the message says what was expected."""


class Failure(Exception):  # noqa: N818 -- an answer of the protocol, not a bug
    """A request that could not be met: travels as an answer's ``error``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


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
        table = _table(value, "tensor", ("shape", "dtype", "data"))
        shape = tuple(_take(size, "shape", int, least=0) for size in _list(table["shape"], "shape"))
        dtype = _take(table["dtype"], "dtype", str)
        try:
            data = base64.b64decode(_take(table["data"], "data", str), validate=True)
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
    ``sample_s`` and ``samples`` inferences, but for no longer than ``sample_limit_s``; the energy window lasts at least
    ``energy_s``, 0 for none, and is measured by ``meter`` (as in Hello); for a sensor that is slow it may last longer, up
    to 15 s. The child is killed after ``timeout_s``. All in s.
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
    meter: str
    timeout_s: float

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        table = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**table, "inputs": [tensor.to_wire() for tensor in self.inputs]}

    @classmethod
    def from_wire(cls, value: Any) -> Run:
        """From JSON's values. Raises WireError."""
        table = _table(value, "run", tuple(cls.__dataclass_fields__))
        seconds = ("warm_up_s", "sample_s", "sample_limit_s", "energy_s", "timeout_s")
        return cls(
            library=_take(table["library"], "library", str),
            sha256=_take(table["sha256"], "sha256", str),
            inputs=tuple(Tensor.from_wire(item) for item in _list(table["inputs"], "inputs")),
            threads=_take(table["threads"], "threads", int, least=1),
            pin_threads=_take(table["pin_threads"], "pin_threads", bool),
            outputs=_take(table["outputs"], "outputs", bool),
            samples=_take(table["samples"], "samples", int, least=1),
            meter=_take(table["meter"], "meter", str),
            **{name: _take(table[name], name, float, least=0) for name in seconds},
        )


@dataclass(frozen=True)
class Energy:
    """What a sensor counted over a window: gross joules, its length in s, and how many inferences ran in it.

    ``resolution_j`` is one step of the sensor's counter in J, ``period_s`` the time between two of its updates in s.
    """

    energy_j: float
    window_s: float
    inferences: int
    resolution_j: float
    period_s: float
    sensor: str
    covers: str

    @classmethod
    def from_wire(cls, value: Any) -> Energy:
        """From JSON's values. Raises WireError."""
        table = _table(value, "energy", tuple(cls.__dataclass_fields__))
        numbers = ("energy_j", "window_s", "resolution_j", "period_s")
        return cls(
            inferences=_take(table["inferences"], "inferences", int, least=1),
            sensor=_take(table["sensor"], "sensor", str),
            covers=_take(table["covers"], "covers", str),
            **{name: _take(table[name], name, float, least=0) for name in numbers},
        )


@dataclass(frozen=True)
class Ran:
    """What one child process did.

    ``outputs`` are there when they were asked for. ``samples_s`` holds the time of every inference after warm-up, in s,
    but for those, ``clock_steps`` of them, during which the device's clock was set back.
    ``steady`` says whether warm-up met its test. ``before`` and ``after`` are the machine's conditions.
    """

    outputs: tuple[Tensor, ...]
    samples_s: tuple[float, ...]
    clock_steps: int
    warm_up_s: float
    steady: bool
    energy: Energy | None
    before: dict[str, Any]
    after: dict[str, Any]

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        table = {name: getattr(self, name) for name in self.__dataclass_fields__}
        energy = asdict(self.energy) if self.energy else None
        outputs = [tensor.to_wire() for tensor in self.outputs]
        return {**table, "outputs": outputs, "samples_s": list(self.samples_s), "energy": energy}

    @classmethod
    def from_wire(cls, value: Any) -> Ran:
        """From JSON's values. Raises WireError."""
        table = _table(value, "ran", tuple(cls.__dataclass_fields__))
        samples = tuple(_take(sample, "samples_s", float, least=0) for sample in _list(table["samples_s"], "samples_s"))
        if not samples:
            raise WireError("samples_s: expected at least one sample")
        return cls(
            outputs=tuple(Tensor.from_wire(item) for item in _list(table["outputs"], "outputs")),
            samples_s=samples,
            clock_steps=_take(table["clock_steps"], "clock_steps", int, least=0),
            warm_up_s=_take(table["warm_up_s"], "warm_up_s", float, least=0),
            steady=_take(table["steady"], "steady", bool),
            energy=None if table["energy"] is None else Energy.from_wire(table["energy"]),
            before=plain(table["before"], "before"),
            after=plain(table["after"], "after"),
        )


def encode_request(request: Request) -> bytes:
    """One line, without its newline."""
    return _dump({"id": request.id, "op": request.op, "params": request.params})


def decode_request(line: bytes) -> Request:
    """The request in one line. Raises WireError."""
    table = _table(_load(line), "request", ("id", "op", "params"))
    op = _take(table["op"], "op", str)
    if op not in OPS:
        raise WireError(f"op: expected one of {', '.join(OPS)}, not {op[:40]!r}")
    if not isinstance(table["params"], dict):
        raise WireError("params: expected an object")
    return Request(_take(table["id"], "id", int), op, table["params"])


def encode_answer(answer: Answer) -> bytes:
    """One line, without its newline."""
    if answer.error is not None:
        return _dump({"id": answer.id, "error": {"kind": answer.error.kind, "message": answer.error.message}})
    return _dump({"id": answer.id, "ok": answer.ok})


def decode_answer(line: bytes) -> Answer:
    """The answer in one line. Raises WireError."""
    value = _load(line)
    if isinstance(value, dict) and "error" in value:
        table = _table(value, "answer", ("id", "error"))
        error = _table(table["error"], "error", ("kind", "message"))
        number = None if table["id"] is None else _take(table["id"], "id", int)
        return Answer(number, None, Failure(_take(error["kind"], "kind", str), _take(error["message"], "message", str)))
    table = _table(value, "answer", ("id", "ok"))
    if not isinstance(table["ok"], dict):
        raise WireError("ok: expected an object")
    return Answer(_take(table["id"], "id", int), table["ok"])


@dataclass(frozen=True)
class Hello:
    """What the harness says first: after how long a silence the agent is to end, in s, and which ``meter`` to read.

    A meter is "auto", "none", or the name of a sensor as the agent's facts list them, such as "hwmon:ina226".
    """

    silence_s: float
    meter: str

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values, with the harness's version."""
        return {"version": VERSION, "silence_s": self.silence_s, "meter": self.meter}

    @classmethod
    def from_wire(cls, params: dict[str, Any]) -> Hello:
        """From JSON's values. Raises WireError, above all for another version."""
        # The version comes before all else: another one may have other keys.
        version = params.get("version")
        if version != VERSION:
            raise WireError(f"the harness speaks version {version!r:.20} of the protocol, this agent version {VERSION}")
        table = _table(params, "hello", ("version", "silence_s", "meter"))
        silence_s = float(_take(table["silence_s"], "silence_s", float, least=0))
        if silence_s > _MOST_SILENCE_S:
            raise WireError(f"silence_s: expected {_MOST_SILENCE_S:g} or less, not {silence_s:g}")
        return cls(silence_s, _take(table["meter"], "meter", str))


def plain(value: Any, name: str) -> dict[str, Any]:
    """A flat object of numbers, strings and nulls. Raises WireError."""
    if not isinstance(value, dict):
        raise WireError(f"{name}: expected an object")
    for key, item in value.items():
        if isinstance(item, bool) or not (item is None or isinstance(item, (int, float, str))):
            raise WireError(f"{name}.{key}: expected a number, a string or null")
    return value


def itemsize(dtype: str) -> int:
    """How many bytes one element takes. Raises WireError for a dtype whose elements are not whole bytes."""
    bits = "8" if dtype == "bool" else dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    if bits not in ("8", "16", "32", "64") or len(dtype) > 16:
        raise WireError(f"dtype: expected a name such as float32, not {dtype[:40]!r}")
    return int(bits) // 8


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _load(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a JSON line: {error}: {line[:80]!r}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _table(value: Any, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise WireError(f"{name}: expected an object, not {type(value).__name__}")
    wrong = sorted(set(value) ^ set(keys))
    if wrong:
        raise WireError(f"{name}: expected the keys {', '.join(keys)}; missing or unknown: {', '.join(wrong)[:200]}")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise WireError(f"{name}: expected a list, not {type(value).__name__}")
    return value


def _take(value: Any, name: str, kind: type, least: float | None = None) -> Any:
    """The value, checked. JSON writes 2.0 as it likes, so an integer is a float too; a bool is never a number."""
    kinds = (int, float) if kind is float else (kind,)
    known = isinstance(value, kinds)  # in a variable, so that the value's type stays Any
    if not known or (isinstance(value, bool) and kind is not bool):
        raise WireError(f"{name}: expected {kind.__name__}, not {str(value)[:40]!r}")
    # An integer may be beyond every float.
    if least is not None and not least <= value <= sys.float_info.max:
        raise WireError(f"{name}: expected {least:g} or more, but finite, not {str(value)[:40]}")
    return float(value) if kind is float else value
