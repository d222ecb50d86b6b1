"""No data moved where another order of the weights, or another shape, does as well."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op
from tvm.relax.expr_functor import mutator

from joulefront.compile.kernels.graph import shape_of
from joulefront.compile.rewrite import Rewriter


@mutator  # type: ignore[untyped-decorator, unused-ignore]
class Flatten(Rewriter):
    """Move no data where another order of the weights, or another shape, does as well."""

    def rewrite(self, name: str, call: Any) -> Any | None:
        """See Rewriter.rewrite."""
        shape = shape_of(call)
        if shape is None:
            return None
        if name == "relax.permute_dims" and call.attrs.axes is not None:
            before = shape_of(call.args[0])
            order = [int(axis) for axis in call.attrs.axes]
            if before is not None and sorted(kept := [a for a in order if before[a] != 1]) == kept:
                return op.reshape(call.args[0], shape)
        if name == "relax.reshape":
            inner = self.source(call.args[0])
            if inner is not None and inner.op.name == "relax.reshape":
                return op.reshape(inner.args[0], shape)
        if name == "relax.matmul":
            return self.matmul(call)
        return None

    def matmul(self, call: Any) -> Any | None:
        """The product of a flattened map in the map's own order, by reordered weights."""
        weight, flat = self.value(call.args[1]), self.source(call.args[0])
        if weight is None or weight.ndim != 2 or flat is None or flat.op.name != "relax.reshape":
            return None
        moved, shape = self.source(flat.args[0]), shape_of(call.args[0])
        if moved is None or moved.op.name != "relax.permute_dims" or moved.attrs.axes is None or shape is None:
            return None
        order, before = [int(axis) for axis in moved.attrs.axes], shape_of(moved.args[0])
        if before is None or order[0] != 0 or len(shape) != 2 or shape[0] != before[0]:
            return None
        extents = [before[axis] for axis in order[1:]]
        back = [order[1:].index(axis) for axis in range(1, len(order))]
        rows = weight.reshape(*extents, weight.shape[1]).transpose(*back, len(back))
        data = self.builder_.emit(op.reshape(moved.args[0], shape))
        return op.matmul(data, relax.const(np.ascontiguousarray(rows.reshape(weight.shape))))
