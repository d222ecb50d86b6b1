"""Every dimension of a model's inputs as a number: the batch is 1, what else is open the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulefront.errors import ConfigError

Shapes = Mapping[str, tuple[int, ...]]
_OPTION = "--shape"


def parsed(texts: Sequence[str]) -> Shapes:
    """Shapes by the names of inputs, from "x=1,3,48,192" each. Raises ConfigError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, extents = text.rpartition("=")
        parts = [part.strip() for part in extents.split(",")]
        if not name or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
            raise ConfigError(f"{_OPTION} {text}: expected an input's name and its shape, such as x=1,3,48,192")
        if name in shapes:
            raise ConfigError(f"{_OPTION} {text}: the shape of {name} is given twice")
        shapes[name] = tuple(map(int, parts))
    return shapes


def fix(model: Any, given: Shapes, path: Path) -> Shapes:
    """Put numbers in the place of all open dimensions of the model's inputs; returns the shapes by the inputs' names.

    The first dimension of an input is the batch, which is 1 where it is open. A dimension's name stands for the same
    number everywhere. Raises ConfigError for what stays open, and for a shape that is not one of the input's.
    """
    inputs = {value.name: value.type.tensor_type for value in model.graph.input}
    if unknown := [name for name in given if name not in inputs]:
        raise ConfigError(f"{path}: {_OPTION} {unknown[0]}=…: it has no such input, but {', '.join(inputs)}")
    known: dict[str, int] = {}
    for name, shape in given.items():
        _agree(name, inputs[name], shape, known, path)
    for name, kind in inputs.items():
        if name not in given and _open(kind):
            _close(name, kind, known, path)
    # What follows from the old ones is worked out anew.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return {name: tuple(part.dim_value for part in kind.shape.dim) for name, kind in inputs.items()}


def _agree(name: str, kind: Any, shape: tuple[int, ...], known: dict[str, int], path: Path) -> None:
    """Give an input the shape that the user said."""
    parts = kind.shape.dim
    differs = kind.HasField("shape") and len(parts) != len(shape)
    for part, extent in zip(parts, shape, strict=False):
        fixed = part.dim_value if part.dim_value > 0 else known.get(_symbol(part), extent)
        differs = differs or fixed != extent
        if _symbol(part):
            known[_symbol(part)] = extent
    if differs:
        raise ConfigError(
            f"{path}: {_OPTION} {name}={_text(shape)} is no shape of {name}, whose dimensions are {_dimensions(kind)}"
        )
    _write(kind, shape)


def _close(name: str, kind: Any, known: Mapping[str, int], path: Path) -> None:
    """Give an input the shape that follows: a batch of 1, and what its dimensions' names stand for elsewhere."""
    parts = list(kind.shape.dim)
    shape = [part.dim_value if part.dim_value > 0 else known.get(_symbol(part), 0) for part in parts]
    if shape and shape[0] == 0:
        shape[0] = 1
    if not shape or 0 in shape:
        example = _text([extent or "N" for extent in shape]) if shape else "1,3,224,224"
        raise ConfigError(
            f"{path}: the input {name} has open dimensions: {_dimensions(kind)}. "
            f"Say what shape is to be measured: {_OPTION} {name}={example}"
            + (", with numbers for N" if shape else ", for instance")
        )
    _write(kind, shape)


def _write(kind: Any, shape: Sequence[int]) -> None:
    kind.ClearField("shape")
    kind.shape.SetInParent()  # a scalar has a shape, too
    for extent in shape:
        kind.shape.dim.add().dim_value = extent


def _open(kind: Any) -> bool:
    return not kind.HasField("shape") or any(part.dim_value <= 0 for part in kind.shape.dim)


def _symbol(part: Any) -> str:
    """What a dimension is called; empty for one without a name, which some exporters write as "?"."""
    name: str = part.dim_param.strip()
    return name if any(character.isalnum() for character in name) and name != "-1" else ""


def _dimensions(kind: Any) -> str:
    if not kind.HasField("shape"):
        return "not even their number is known"
    return ",".join(str(part.dim_value) if part.dim_value > 0 else _symbol(part) or "?" for part in kind.shape.dim)


def _text(shape: Sequence[object]) -> str:
    return ",".join(map(str, shape))
