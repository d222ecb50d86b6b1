"""Constants and BatchNorm folded, and operators replaced that the passes behind do not know.

Constants are computed in numpy: TVM's own folding compiles a function for each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax
from tvm.relax import op
from tvm.relax.expr_functor import mutator

from joulefront.compile.kernels.graph import shape_of
from joulefront.compile.rewrite import Rewriter

_FOLDED = {
    "relax.add": np.add,
    "relax.subtract": np.subtract,
    "relax.multiply": np.multiply,
    "relax.divide": np.divide,
    "relax.negative": np.negative,
    "relax.sqrt": np.sqrt,
    "relax.exp": np.exp,
}
_COMMUTATIVE = {"relax.add", "relax.multiply", "relax.maximum", "relax.minimum"}


@mutator  # type: ignore[untyped-decorator, unused-ignore]
class Fold(Rewriter):
    """Fold what is known now, and BatchNorm into the convolution or product before it."""

    @np.errstate(all="ignore")  # what is not finite is so in torch too
    def rewrite(self, name: str, call: Any) -> Any | None:
        """See Rewriter.rewrite."""
        if name == "relax.nn.batch_norm":
            return self.batch_norm(call)
        if name == "relax.clip":
            return self.clip(call)
        if name == "relax.nn.adaptive_avg_pool2d" and [int(size) for size in call.attrs.output_size or []] == [1, 1]:
            axes = [call.attrs.layout.index("H"), call.attrs.layout.index("W")]
            return op.mean(call.args[0], axes, keepdims=True)
        if name == "relax.take" and (selected := self.selected(call)) is not None:
            return selected
        if name == "relax.take" and call.attrs.mode == "fast":
            # An index out of bounds is to be a wrong output and not a crash; a negative one counts from the end.
            return op.take(*call.args, axis=call.attrs.axis, mode="wrap")
        if name in _COMMUTATIVE and self.value(call.args[0]) is not None and self.value(call.args[1]) is None:
            return tvm.ir.Call(call.op, [call.args[1], call.args[0]], call.attrs)  # the layout pass follows the first
        folded = self.folded(name, call)
        return self.moved(name, call) if folded is None else folded

    def clip(self, call: Any) -> Any:
        """Clipping as a maximum and a minimum, of which an infinite bound needs none."""
        result, *bounds = call.args
        for operator, bound in zip((op.maximum, op.minimum), bounds, strict=True):
            if not np.isinf(bound.value):
                result = self.builder_.emit(operator(result, relax.const(bound.value, call.ty.dtype)))
        return result

    def selected(self, call: Any) -> Any | None:
        """One index along an axis, known now, as a slice."""
        at, shape = self.value(call.args[1]), shape_of(call.args[0])
        if at is None or at.ndim or call.attrs.axis is None or shape is None:
            return None
        axis = int(call.attrs.axis) % len(shape)
        if not -shape[axis] <= int(at) < shape[axis]:
            return None
        first = int(at) % shape[axis]
        sliced = self.builder_.emit(op.strided_slice(call.args[0], [axis], [first], [first + 1], assume_inbound=True))
        return op.reshape(sliced, shape_of(call))

    def moved(self, name: str, call: Any) -> Any | None:
        """The call as a change of shape that moves no data."""
        shape = shape_of(call)
        if shape is None:
            return None
        # TVM's layout pass crashes on negative axes of expand_dims and squeeze; reshape has none.
        if name in {"relax.expand_dims", "relax.squeeze"}:
            return op.reshape(call.args[0], shape)
        if name == "relax.broadcast_to" and shape_of(call.args[0]) == shape:
            return call.args[0]
        if name == "relax.matmul":
            repeated = self.source(call.args[1])
            if repeated is None or repeated.op.name != "relax.broadcast_to":
                return None
            weight, data = self.value(repeated.args[0]), shape_of(call.args[0])
            if weight is not None and weight.ndim == 2 and data is not None and data[:-1] == shape[:-1]:
                return op.matmul(call.args[0], repeated.args[0])
        return None

    def folded(self, name: str, call: Any) -> Any | None:
        """The value of a call whose arguments are constants."""
        if name in _FOLDED:
            values = [self.value(argument) for argument in call.args]
            if all(value is not None for value in values):
                return relax.const(np.asarray(_FOLDED[name](*values)), str(call.ty.dtype))
            return None
        if name not in {"relax.permute_dims", "relax.reshape", "relax.expand_dims", "relax.squeeze"}:
            return None
        value = self.value(call.args[0])
        if value is None:
            return None
        if name == "relax.permute_dims":
            axes = call.attrs.axes
            moved = value.transpose([int(axis) for axis in axes] if axes is not None else None)
            return relax.const(np.ascontiguousarray(moved))
        return relax.const(value.reshape([int(extent) for extent in call.ty.shape]))

    def batch_norm(self, call: Any) -> Any | None:
        """BatchNorm as a multiplication and an addition, or as other weights of what it follows."""
        data, *parameters = call.args
        values = [self.value(parameter) for parameter in parameters]
        if any(value is None for value in values) or call.attrs.training:
            return None
        gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in values)
        scale = (gamma if call.attrs.scale else 1.0) / np.sqrt(variance + call.attrs.epsilon)
        shift = (beta if call.attrs.center else 0.0) - mean * scale
        axis, rank = int(call.attrs.axis), len(call.ty.fields[0].shape)
        along = [-1 if position == axis else 1 for position in range(rank)]
        result = self.absorbed(data, scale, shift, along) if self.alone(self.original.args[0]) else None
        if result is None:
            scaled = self.builder_.emit(op.multiply(data, _float32(scale.reshape(along))))
            result = op.add(scaled, _float32(shift.reshape(along)))
        normalized = self.builder_.emit(result)
        return relax.Tuple([normalized, *call.args[3:5]])

    def alone(self, variable: Any) -> bool:
        """Whether a variable of the original function, and the product that a bias was added to, are read once."""
        value = self.bindings.get(variable)
        if value is None or self.uses[variable] != 1 or not isinstance(value.op, tvm.ir.Op):
            return False
        return value.op.name != "relax.add" or all(self.uses[arg] == 1 for arg in value.args if arg in self.bindings)

    def absorbed(self, data: Any, scale: Any, shift: Any, along: list[int]) -> Any | None:
        """``data * scale + shift`` by other weights and another bias of the one product that makes ``data``."""
        call, bias = self.source(data), np.zeros(1)
        if call is None:
            return None
        if call.op.name == "relax.add":
            sides = [self.value(argument) for argument in call.args]
            known = next((side for side in sides if side is not None), None)
            if known is None:
                return None
            data = call.args[1] if sides[0] is not None else call.args[0]
            bias = known.astype(np.float64)
            call = self.source(data)
        weight = self.value(call.args[1]) if call is not None and len(call.args) == 2 else None
        if call is None or weight is None:
            return None
        if call.op.name.startswith("relax.nn.conv") and call.attrs.kernel_layout in {"OIW", "OIHW"}:
            scaled = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
        elif call.op.name == "relax.matmul" and weight.ndim == 2 and along[-1] == -1:
            scaled = weight * scale
        else:
            return None
        extents = [1] * (len(along) - bias.ndim) + list(bias.shape)
        if any(extent != 1 and axis == 1 for extent, axis in zip(extents, along, strict=True)):
            return None  # it runs along another axis than BatchNorm
        product = self.builder_.emit(tvm.ir.Call(call.op, [call.args[0], _float32(scaled)], call.attrs))
        return op.add(product, _float32((bias.reshape(-1) * scale + shift).reshape(along)))


def _float32(value: NDArray[Any]) -> Any:
    return relax.const(np.ascontiguousarray(value, np.float32))
