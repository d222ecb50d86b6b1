"""Reshapes and transpositions moved behind what computes element by element.

There they meet others that undo them, and an operator meets the product that it is to be fused to.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op
from tvm.relax.expr_functor import mutator

from joulefront.compile.elementwise import ELEMENTWISE
from joulefront.compile.kernels.graph import shape_of
from joulefront.compile.kernels.view import View
from joulefront.compile.rewrite import Rewriter

_REDUCTIONS = {"relax.mean": op.mean, "relax.sum": op.sum, "relax.max": op.max, "relax.min": op.min}
_BY_ROWS = {"relax.nn.layer_norm", "relax.nn.softmax", "relax.matmul"}


@mutator  # type: ignore[untyped-decorator, unused-ignore]
class Sink(Rewriter):
    """Move reshapes and transpositions behind elementwise operators, and drop those that undo one another."""

    def rewrite(self, name: str, call: Any) -> Any | None:
        """See Rewriter.rewrite."""
        shape = shape_of(call)
        if shape is None:
            return None
        if name == "relax.reshape":
            source = self.moved(call.args[0], "relax.reshape")
            data = call.args[0] if source is None else source.args[0]
            return data if shape_of(data) == shape else op.reshape(data, shape)
        if name == "relax.permute_dims":
            view = View.of(self.builder_, call)
            if view is not None and view.is_whole:
                return op.reshape(view.base, shape)
            return self.permuted(call.args[0], _order(call))
        if name in ELEMENTWISE:
            return self.elementwise(call, shape)
        if name in _REDUCTIONS:
            return self.reduction(call)
        if name in _BY_ROWS:
            return self.by_rows(call, shape)
        return None

    def moved(self, expr: Any, name: str) -> Any | None:
        """The call of that name which the expression is bound to, if all shapes are known."""
        call = self.source(expr)
        if call is None or call.op.name != name or None in (shape_of(call), shape_of(call.args[0])):
            return None
        return call

    def permuted(self, data: Any, order: list[int]) -> Any:
        """The data with its axes in that order: as it is, or at most one transposition."""
        inner = self.moved(data, "relax.permute_dims")
        if inner is not None:
            before = _order(inner)
            data, order = inner.args[0], [before[axis] for axis in order]
        return data if order == sorted(order) else op.permute_dims(data, order)

    def elementwise(self, call: Any, shape: tuple[int, ...]) -> Any | None:
        """The operator before the reshape or the transposition of its inputs."""
        leaders = [
            argument for argument in call.args if shape_of(argument) == shape and self.source(argument) is not None
        ]
        for leader in leaders:
            permute, reshape = self.moved(leader, "relax.permute_dims"), self.moved(leader, "relax.reshape")
            if permute is not None:
                order = _order(permute)
                inner = [self.unpermuted(argument, order) for argument in call.args]
            elif reshape is not None:
                before = shape_of(reshape.args[0])
                assert before is not None
                inner = [self.unshaped(argument, shape, before) for argument in call.args]
            else:
                continue
            if any(argument is None for argument in inner):
                continue
            result = self.builder_.emit(tvm.ir.Call(call.op, [self.builder_.normalize(x) for x in inner], call.attrs))
            return op.reshape(result, shape) if permute is None else op.permute_dims(result, order)
        return None

    def unpermuted(self, argument: Any, order: list[int]) -> Any | None:
        """What ``argument`` is a transposition of; for what is broadcast, the like. None where data were to be moved."""
        permute, shape = self.moved(argument, "relax.permute_dims"), shape_of(argument)
        if shape is None:
            return None
        if permute is not None and _order(permute) == order:
            return permute.args[0]
        if prod(shape) == 1 and len(shape) == 0:
            return argument
        padded = (*(1,) * (len(order) - len(shape)), *shape)
        back = [order.index(axis) for axis in range(len(order))]
        value = self.value(argument)
        if value is not None:
            return relax.const(np.ascontiguousarray(value.reshape(padded).transpose(back)))
        if sorted(kept := [axis for axis in back if padded[axis] != 1]) == kept:
            return self.builder_.emit(op.reshape(argument, [padded[axis] for axis in back]))
        return None

    def unshaped(self, argument: Any, shape: tuple[int, ...], before: tuple[int, ...]) -> Any | None:
        """The argument in the shape ``before``, of which ``shape`` is a reshape."""
        own = shape_of(argument)
        if own is None:
            return None
        if len(own) == 0:
            return argument
        if own == shape:
            extents: Sequence[int] = before
        elif prod(own) == 1 or (own[-1] == prod(own) == shape[-1] == before[-1]):
            extents = (own[-1],)
        elif [e for e in shape if e != 1] == [e for e in before if e != 1]:
            padded = (*(1,) * (len(shape) - len(own)), *own)
            kept = iter([own_extent for own_extent, extent in zip(padded, shape, strict=True) if extent != 1])
            extents = [next(kept) if extent != 1 else 1 for extent in before]
        else:
            return None
        value = self.value(argument)
        if value is not None:
            return relax.const(np.ascontiguousarray(value.reshape(extents)))
        source = self.moved(argument, "relax.reshape")
        if source is not None and shape_of(source.args[0]) == tuple(extents):
            return source.args[0]
        return self.builder_.emit(op.reshape(argument, extents))

    def reduction(self, call: Any) -> Any | None:
        """The reduction of what its input is a transposition of."""
        permute = self.moved(call.args[0], "relax.permute_dims")
        if permute is None:
            return None
        order, rank = _order(permute), len(permute.ty.shape)
        axes = range(rank) if call.attrs.axis is None else [int(axis) % rank for axis in call.attrs.axis]
        inner = sorted(order[axis] for axis in axes)
        reduced = _REDUCTIONS[call.op.name](permute.args[0], inner, bool(call.attrs.keepdims))
        if not call.attrs.keepdims:
            kept = [order[axis] for axis in range(rank) if axis not in axes]
            order = [sorted(kept).index(axis) for axis in kept]
        return reduced if order == sorted(order) else self.permuted(self.builder_.emit(reduced), order)

    def by_rows(self, call: Any, shape: tuple[int, ...]) -> Any | None:
        """What treats each row alike, along the last axis, before the reshape of its input."""
        reshape = self.moved(call.args[0], "relax.reshape")
        if reshape is None:
            return None
        data, rank = reshape.args[0], len(reshape.ty.shape)
        before, after = shape_of(data), shape_of(reshape)
        if before is None or after is None or not before or before[-1] != after[-1]:
            return None
        last = len(before) - 1
        if call.op.name == "relax.nn.softmax" and int(call.attrs.axis) % rank == rank - 1:
            result = op.nn.softmax(data, last)
        elif call.op.name == "relax.nn.layer_norm" and [int(axis) % rank for axis in call.attrs.axes] == [rank - 1]:
            result = op.nn.layer_norm(
                data, *call.args[1:], [last], call.attrs.epsilon, bool(call.attrs.center), bool(call.attrs.scale)
            )
        elif call.op.name == "relax.matmul" and len(before) > 1 and rank > 1:
            weight = self.value(call.args[1])
            if weight is None or weight.ndim != 2:
                return None
            result = op.matmul(data, call.args[1])
        else:
            return None
        return op.reshape(self.builder_.emit(result), shape)


def _order(permute: Any) -> list[int]:
    """The axes of a transposition; none given, they are turned round."""
    rank = len(permute.ty.shape)
    axes = permute.attrs.axes
    return list(range(rank))[::-1] if axes is None else [int(axis) % rank for axis in axes]
