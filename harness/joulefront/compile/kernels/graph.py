"""What kernels ask of the Relax graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray
from tvm import relax
from tvm.ir import Call, GenericConst, Op

FUSABLE = 4  # TVM's kOutEWiseFusable: elementwise operators may be fused behind it
OPAQUE = 8  # TVM's kOpaque: nothing is fused to it


def constant(expr: Any) -> NDArray[Any] | None:
    """A constant's value."""
    return expr.value.numpy() if isinstance(expr, GenericConst) else None


def shape_of(expr: Any) -> tuple[int, ...] | None:
    """The shape of a tensor, in elements, if all of it is known."""
    kind = expr.ty
    if not isinstance(kind, relax.TensorType) or kind.shape is None:
        return None
    try:
        return tuple(int(extent) for extent in kind.shape)
    except TypeError:
        return None


def producer(builder: Any, expr: Any) -> Any | None:
    """The operator call that a variable is bound to."""
    if not isinstance(expr, relax.Var):
        return None
    value = builder.lookup_binding(expr)
    return value if isinstance(value, Call) and isinstance(value.op, Op) else None


def call_anchor(builder: Any, compute: Callable[..., Any], args: Sequence[Any], name: str, pattern: int) -> Any:
    """A call to the function of a te.compute, fused with others as ``pattern`` allows."""
    return builder.call_te(compute, *args, primfunc_name_hint=name, primfunc_attrs={"op_pattern": pattern})
