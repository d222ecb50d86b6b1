"""The wire protocol's errors, and JSON's values checked: whatever is of another shape than was said is a WireError."""

from __future__ import annotations

import sys
from typing import Any


class WireError(ValueError):
    """A message that is not of this protocol: the message says what was expected."""


class Failure(Exception):  # noqa: N818 -- an answer of the protocol, not a bug
    """A request that could not be met: travels as an answer's ``error``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def to_wire(self) -> dict[str, Any]:
        """As JSON's values."""
        return {"kind": self.kind, "message": self.message}

    @classmethod
    def from_wire(cls, value: Any) -> Failure:
        """From JSON's values. Raises WireError."""
        table = table_of(value, "error", ("kind", "message"))
        return cls(take(table["kind"], "kind", str), take(table["message"], "message", str))


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


def table_of(value: Any, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise WireError(f"{name}: expected an object, not {type(value).__name__}")
    wrong = sorted(set(value) ^ set(keys))
    if wrong:
        raise WireError(f"{name}: expected the keys {', '.join(keys)}; missing or unknown: {', '.join(wrong)[:200]}")
    return value


def list_of(value: Any, name: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise WireError(f"{name}: expected a list, not {type(value).__name__}")
    return value


def take(value: Any, name: str, kind: type, least: float | None = None) -> Any:
    """The value, checked. JSON writes 2.0 as it likes, so an integer is a float too; a bool is never a number."""
    kinds = (int, float) if kind is float else (kind,)
    known = isinstance(value, kinds)  # in a variable, so that the value's type stays Any
    if not known or (isinstance(value, bool) and kind is not bool):
        raise WireError(f"{name}: expected {kind.__name__}, not {str(value)[:40]!r}")
    # An integer may be beyond every float.
    if least is not None and not least <= value <= sys.float_info.max:
        raise WireError(f"{name}: expected {least:g} or more, but finite, not {str(value)[:40]}")
    return float(value) if kind is float else value


def maybe(value: Any, name: str, kind: type, least: float | None = None) -> Any:
    """The value, checked, or None."""
    return None if value is None else take(value, name, kind, least)
