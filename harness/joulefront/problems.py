"""What a user's file has wrong, in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that ends a message: the known name that is nearest to ``name``, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known here"


def problems(kind: type[BaseModel], error: ValidationError) -> list[str]:
    """Pydantic's findings about a ``kind``, one sentence a key of the file."""
    unknown: list[str] = []
    expected: dict[str, tuple[list[str], Any]] = {}
    for detail in error.errors():
        location = [str(part) for part in detail["loc"]]
        table = _table_at(kind, location[:-1])
        if detail["type"] == "extra_forbidden" and table:
            where = f"[{'.'.join(location[:-1])}] " if location[:-1] else ""
            unknown.append(f"{where}{location[-1]}: unknown key; {nearest(location[-1], table.model_fields)}")
            continue
        wanted = "missing" if detail["type"] == "missing" else _expectation(detail["msg"])
        wanteds, _ = expected.setdefault(".".join(_keys(kind, location)), ([], detail["input"]))
        wanteds.append(wanted)
    sentences = []
    for key, (wanteds, value) in expected.items():
        wanted = " or ".join(dict.fromkeys(wanteds)).replace(" or expected ", " or ")
        given = "" if wanted == "missing" or not key else f", not {value!r}"
        sentences.append(f"{key}: {wanted}{given}" if key else wanted)
    return unknown + sentences


def _expectation(message: str) -> str:
    """Pydantic's message in this project's words."""
    wanted = message.removeprefix("Value error, ")
    for theirs, ours in (
        ("Input should be a valid dictionary or instance of Plugin", "expected a table with a kind"),
        ("Input should be a valid dictionary or instance of", "expected a table, for"),
        ("Input should be", "expected"),
        ("valid tuple", "valid array"),
        ("valid dictionary", "table"),
    ):
        wanted = wanted.replace(theirs, ours)
    return wanted[:1].lower() + wanted[1:]


def _keys(kind: type[BaseModel], location: list[str]) -> list[str]:
    """Of where pydantic found something, what is a key of the file: not the name of a union's member, nor what is behind
    a value that is no table."""
    keys: list[str] = []
    for part in location:
        table = _table_at(kind, keys)
        if table is None and not (keys and _names_keys(kind, keys)):
            break
        if table is None or part in table.model_fields:
            keys.append(part)
    return keys


def _names_keys(kind: type[BaseModel], keys: list[str]) -> bool:
    """Whether what is under ``keys`` has keys of the user's own, such as layers."""
    table = _table_at(kind, keys[:-1])
    field = table.model_fields.get(keys[-1]) if table else None
    return field is not None and get_origin(field.annotation) is dict


def _table_at(kind: type[BaseModel], keys: list[str]) -> type[BaseModel] | None:
    """The model that the table under ``keys`` is read with."""
    table = kind
    for key in keys:
        known = table.model_fields.get(key)
        annotation = known.annotation if known else None
        members = get_args(annotation) or (annotation,)  # a table that may be left out is a union with None
        members = tuple(get_args(one)[0] if get_origin(one) is Annotated else one for one in members)
        inner = next((one for one in members if isinstance(one, type) and issubclass(one, BaseModel)), None)
        if inner is None:
            return None
        table = inner
    return table
