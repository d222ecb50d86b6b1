"""Tensors that are read out of another one: reshaped, transposed, sliced or repeated, with no data moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax
from tvm.ir import Call, Op, TupleGetItem
from tvm.relax import op
from tvm.tirx import IntImm

from joulefront.compile.kernels.graph import constant, producer, shape_of
from joulefront.compile.kernels.tir import Expr


@dataclass(frozen=True, slots=True)
class View:
    """``scale`` times the elements of ``base`` that ``offset`` and the strides (in elements, one an axis) pick."""

    base: Expr
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    scale: float

    @classmethod
    def of(cls, builder: Any, expr: Expr) -> View | None:
        """The view that an expression is, of the earliest tensor possible; None if its shape is not known."""
        found = _found(builder, expr)
        if found is None:
            return None
        base, whole, picked, scale = found
        offset = picked.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        return cls(base, picked.shape, offset, picked.strides, scale)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the base, in its order."""
        steps = [prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        kept = [
            step == stride or extent == 1 for step, stride, extent in zip(steps, self.strides, self.shape, strict=True)
        ]
        return (
            all(kept) and self.offset == 0 and prod(self.shape) == prod(shape_of(self.base) or ()) and self.scale == 1.0
        )

    def flat(self, builder: Any) -> Expr:
        """The base with a single axis."""
        return builder.emit(op.reshape(self.base, (prod(shape_of(self.base) or ()),)))


def _found(builder: Any, expr: Expr) -> tuple[Expr, NDArray[np.int8], NDArray[np.int8], float] | None:
    """The base, an array of its shape, a view of that array which is the expression's, and its scale.

    The arrays' elements are bytes that are never read; numpy knows which reshapes are views.
    """
    shape = shape_of(expr)
    if shape is None:
        return None
    bound = builder.lookup_binding(expr) if isinstance(expr, relax.Var) else None
    if isinstance(bound, relax.Var):
        return _found(builder, bound)
    if isinstance(bound, TupleGetItem):
        call, part = producer(builder, bound.tuple_value), int(bound.index)
        inner = _found(builder, call.args[0]) if call is not None and call.op.name == "relax.split" else None
        if call is not None and inner is not None:
            return *inner[:2], _split(call, inner[2], part), inner[3]
    call = expr if isinstance(expr, Call) and isinstance(expr.op, Op) else producer(builder, expr)
    if call is not None and call.op.name in _VIEWS:
        inner = _found(builder, call.args[0])
        if inner is not None:
            base, whole, picked, scale = inner
            seen = _VIEWS[call.op.name](call, picked)
            if seen is not None and seen.shape == shape:
                return base, whole, seen, scale
    if call is not None and call.op.name == "relax.multiply":
        factor = constant(call.args[1])
        inner = _found(builder, call.args[0]) if factor is not None and factor.size == 1 else None
        if inner is not None and factor is not None and inner[2].shape == shape:
            return *inner[:3], inner[3] * float(factor.reshape(()))
    whole = np.empty(shape, np.int8)
    return expr, whole, whole, 1.0


def _reshaped(call: Any, picked: NDArray[np.int8]) -> NDArray[np.int8] | None:
    try:
        return picked.reshape(shape_of(call) or (), copy=False)
    except ValueError:  # it is not a view
        return None


def _transposed(call: Any, picked: NDArray[np.int8]) -> NDArray[np.int8]:
    return picked.transpose(None if call.attrs.axes is None else [int(axis) for axis in call.attrs.axes])


def _sliced(call: Any, picked: NDArray[np.int8]) -> NDArray[np.int8] | None:
    axes, first, past, *step = ([_integer(field) for field in argument.fields] for argument in call.args[1:])
    if any(value is None for values in (axes, first, past, *step) for value in values):
        return None
    slices = [slice(None)] * picked.ndim
    for axis, begin, end, by in zip(axes, first, past, *(step or [[1] * len(axes)]), strict=True):
        slices[axis] = slice(begin, end, by)
    return picked[tuple(slices)]


def _integer(field: Any) -> int | None:
    return int(field.value) if hasattr(field, "value") else None


def _split(call: Any, picked: NDArray[np.int8], part: int) -> NDArray[np.int8]:
    at = call.attrs.indices_or_sections
    sections = int(at) if isinstance(at, IntImm) else [int(one) for one in at]
    return np.split(picked, sections, int(call.attrs.axis))[part]


def _repeated(call: Any, picked: NDArray[np.int8]) -> NDArray[np.int8]:
    return np.broadcast_to(picked, shape_of(call) or ())


_VIEWS: dict[str, Callable[[Any, NDArray[np.int8]], NDArray[np.int8] | None]] = {
    "relax.reshape": _reshaped,
    "relax.permute_dims": _transposed,
    "relax.strided_slice": _sliced,
    "relax.broadcast_to": _repeated,
}
