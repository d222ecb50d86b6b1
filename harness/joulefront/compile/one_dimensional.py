"""One-dimensional networks as two-dimensional ones of height one, so that every kernel applies to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import relax
from tvm.relax import op
from tvm.relax.expr_functor import mutator

from joulefront.compile.elementwise import ELEMENTWISE
from joulefront.compile.kernels.graph import shape_of
from joulefront.compile.rewrite import Rewriter

_REDUCTIONS = {"relax.mean": op.mean, "relax.sum": op.sum, "relax.max": op.max, "relax.min": op.min}

_POOLS = {"relax.nn.max_pool1d": op.nn.max_pool2d, "relax.nn.avg_pool1d": op.nn.avg_pool2d}


@mutator  # type: ignore[untyped-decorator, unused-ignore]
class OneDimensional(Rewriter):
    """Convolve maps (n, c, 1, w) for sequences (n, c, w), and compute there what comes between the convolutions.

    A sequence is then a reshaped map. What takes several takes the maps, and a reshape back to a map is that map.
    """

    def rewrite(self, name: str, call: Any) -> Any | None:
        """See Rewriter.rewrite."""
        shape = shape_of(call)
        if shape is None:
            return None
        if name == "relax.nn.conv1d" and (call.attrs.data_layout, call.attrs.kernel_layout) == ("NCW", "OIW"):
            return self.sequence(
                op.nn.conv2d(*self.maps(call.args), **_attributes(call), groups=call.attrs.groups), shape
            )
        if name == "relax.nn.conv1d_transpose" and (call.attrs.data_layout, call.attrs.kernel_layout) == ("NCW", "IOW"):
            output_padding = [0, int(call.attrs.output_padding[0])]
            transposed = op.nn.conv2d_transpose(
                *self.maps(call.args), **_attributes(call), output_padding=output_padding, groups=call.attrs.groups
            )
            return self.sequence(transposed, shape)
        if name in _POOLS and call.attrs.layout == "NCW":
            modes = {"ceil_mode": call.attrs.ceil_mode, "count_include_pad": call.attrs.count_include_pad}
            window = (1, call.attrs.pool_size[0])
            return self.sequence(_POOLS[name](*self.maps(call.args), window, **_attributes(call), **modes), shape)
        if name == "relax.nn.adaptive_avg_pool1d" and call.attrs.layout == "NCW":
            (wide,) = self.maps(call.args)
            pooled = op.mean(wide, [2, 3], True) if shape[2] == 1 else op.nn.adaptive_avg_pool2d(wide, (1, shape[2]))
            return self.sequence(pooled, shape)
        if name == "relax.reshape":
            wide = self.map(call.args[0])
            return wide if wide is not None and shape_of(wide) == shape else None
        if name == "relax.concat":
            return self.concat(call, shape)
        if not any(self.map(argument) is not None for argument in call.args):
            return None
        if name in ELEMENTWISE and len(shape) == 3:
            return self.sequence(tvm.ir.Call(call.op, self.maps(call.args), call.attrs), shape)
        if name in _REDUCTIONS:
            return self.reduction(call, shape)
        return None

    def map(self, expr: Any) -> Any | None:
        """The map (n, c, 1, w) that a sequence (n, c, w) was reshaped from."""
        call = self.source(expr)
        if call is None or call.op.name != "relax.reshape":
            return None
        before, after = shape_of(call.args[0]), shape_of(call)
        if before is None or after is None or len(after) != 3 or before != (*after[:2], 1, after[2]):
            return None
        return call.args[0]

    def maps(self, sequences: Sequence[Any]) -> list[Any]:
        """Sequences as maps; a constant of fewer axes is the same for all elements of the others."""
        return [self.widened(expr) if self.map(expr) is None else self.map(expr) for expr in sequences]

    def widened(self, expr: Any) -> Any:
        """What is no sequence of a map's yet as a map."""
        shape, value = shape_of(expr), self.value(expr)
        if shape is None or len(shape) < 2:
            return expr
        batch, channels, width = (*(1,) * (3 - len(shape)), *shape)
        extents = (batch, channels, 1, width)
        return self.builder_.emit(op.reshape(expr, extents)) if value is None else relax.const(value.reshape(extents))

    def sequence(self, wide: Any, shape: tuple[int, ...]) -> Any:
        """A map as a sequence of the shape given."""
        return op.reshape(self.builder_.emit(wide), shape)

    def concat(self, call: Any, shape: tuple[int, ...]) -> Any | None:
        """Sequences, one of which at least is a map, joined as maps."""
        parts = self.builder_.lookup_binding(call.args[0]) if isinstance(call.args[0], relax.Var) else call.args[0]
        if not isinstance(parts, tvm.ir.Tuple) or len(shape) != 3:
            return None
        if not any(self.map(part) is not None for part in parts.fields):
            return None
        axis = int(call.attrs.axis) % 3
        return self.sequence(op.concat(self.maps(parts.fields), 3 if axis == 2 else axis), shape)

    def reduction(self, call: Any, shape: tuple[int, ...]) -> Any:
        """A reduction along some axes; the map's height of one goes with its width."""
        axes = range(3) if call.attrs.axis is None else sorted(int(axis) % 3 for axis in call.attrs.axis)
        wide = [axis for axis in axes if axis < 2] + ([2, 3] if 2 in axes else [])
        reduced = _REDUCTIONS[call.op.name](self.map(call.args[0]), wide, bool(call.attrs.keepdims))
        return reduced if 2 in axes and not call.attrs.keepdims else self.sequence(reduced, shape)


def _attributes(call: Any) -> dict[str, Any]:
    """A window's strides, padding and dilation in two dimensions."""
    (stride,), (left, right), (dilation,) = call.attrs.strides, call.attrs.padding, call.attrs.dilation
    return {"strides": (1, stride), "padding": (0, left, 0, right), "dilation": (1, dilation)}
