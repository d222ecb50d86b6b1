"""Products of two computed tensors put where they are read and written: through reshapes, transpositions and slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op
from tvm.relax.expr_functor import mutator

from joulefront.compile.kernels import Choice, Site
from joulefront.compile.kernels.batched import site, workload
from joulefront.compile.kernels.graph import constant, shape_of
from joulefront.compile.kernels.view import View
from joulefront.compile.rewrite import Rewriter, rewritten_by


def with_products(choice: Choice) -> Any:
    """The pass that puts kernels in the place of products of two computed tensors.

    It comes before the operators are lowered one by one, while what the operands are read out of can be seen.
    """

    @mutator  # type: ignore[untyped-decorator, unused-ignore]
    class Products(Rewriter):
        def __init__(self, module: Any) -> None:
            super().__init__(module)
            self.sites: dict[Any, Site] = {}

        def rewrite(self, name: str, call: Any) -> Any | None:
            """See Rewriter.rewrite."""
            if name == "relax.matmul":
                return self.product(call)
            if name == "relax.permute_dims":
                return self.transposed(call)
            return None

        def product(self, call: Any) -> Any | None:
            out = shape_of(call)
            views = [View.of(self.builder_, argument) for argument in call.args]
            if out is None or len(out) < 2 or constant(call.args[1]) is not None:
                return None
            left, right = views
            if left is None or right is None or min(len(left.shape), len(right.shape)) < 2:
                return None
            if any(str(argument.ty.dtype) != "float32" for argument in call.args):
                return None
            return self.placed(site(self.builder_, left, right, out), left.scale * right.scale)

        def placed(self, found: Site, scale: float) -> Any | None:
            """The kernel's call, and its result times ``scale``."""
            chosen = choice.of(found)
            if chosen is None:
                return None
            kernel, variant = chosen
            result = self.builder_.emit(kernel.call(self.builder_, found, variant, choice.machine))
            self.sites[result] = found
            return result if scale == 1.0 else op.multiply(result, relax.const(np.float32(scale)))

        def transposed(self, call: Any) -> Any | None:
            """A transposed product, computed where it is wanted, if nothing else reads it."""
            view, out = View.of(self.builder_, call), shape_of(call)
            found = self.sites.get(view.base) if view is not None else None
            if view is None or out is None or found is None or not self.read_once(self.original.args[0]):
                return None
            before = found.workload["out"]
            steps = [int(np.prod(before[axis + 1 :])) for axis in range(len(before))]
            known = {
                (extent, step): axis
                for axis, (extent, step) in enumerate(zip(before, steps, strict=True))
                if extent > 1
            }
            axes = [known.get((extent, step)) for extent, step in zip(out, view.strides, strict=True)]
            if any(axis is None and extent > 1 for axis, extent in zip(axes, out, strict=True)):
                return None
            (rows,) = found.workload["rows"]
            if axes[-1] != len(before) - 1 or rows not in axes:
                return None

            def places(name: str) -> list[int]:
                offset, *strides, step = found.workload[name]
                return [offset, *(0 if axis is None else strides[axis] for axis in axes), step]

            choice.take_back(found.workload)
            moved = workload(out, axes.index(rows), found.workload["depth"][0], places("data"), places("other"))
            return self.placed(Site(moved, found.inputs), view.scale)

        def read_once(self, variable: Any) -> bool:
            """Whether a variable of the original function is read once, and so is all that it is a reshape of."""
            while self.uses[variable] == 1:
                value = self.bindings.get(variable)
                if (
                    value is None
                    or not hasattr(value, "op")
                    or value.op.name not in {"relax.reshape", "relax.multiply"}
                ):
                    return True
                variable = value.args[0]
            return False

    return rewritten_by(Products)
