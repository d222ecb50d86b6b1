"""Operators that TVM's ONNX importer writes in a way that no kernel sees through, or gets wrong.

Each takes the inputs, None where one is left out, and the attributes, and gives the Relax expression; or None, for the
importer's own. Its graph is of opset 13 or later.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op

from joulefront.compile.kernels.graph import constant, shape_of

_Convert = Callable[[Any, Any], Any | None]


def _clip(inputs: Any, _attributes: Any) -> Any | None:
    """A maximum and a minimum; the importer writes loops."""
    result = inputs[0]
    for operator, bound in ((op.maximum, inputs[1]), (op.minimum, inputs[2])):
        if bound is None:
            continue
        value = constant(bound)
        if value is None:
            return None
        if not np.isnan(value).any():  # which stands for no bound
            result = operator(result, relax.const(value.reshape(()), inputs[0].ty.dtype))
    return result


def _of_each(operator: Callable[[Any, Any], Any]) -> _Convert:
    """Two inputs at a time; the importer stacks them all first."""
    return lambda inputs, _attributes: functools.reduce(operator, list(inputs))


def _mean(inputs: Any, _attributes: Any) -> Any:
    total = functools.reduce(op.add, list(inputs))
    return op.divide(total, relax.const(float(len(inputs)), "float32"))


def _pow(inputs: Any, _attributes: Any) -> Any | None:
    """A few powers are products or a root; and the exponent may be an integer."""
    base, exponent = inputs[0], constant(inputs[1])
    if exponent is None or base.ty.dtype != "float32":
        return None
    if exponent.ndim == 0 and (power := float(exponent)) in (0.5, 2.0, 3.0):
        square = op.multiply(base, base)
        return op.sqrt(base) if power == 0.5 else square if power == 2.0 else op.multiply(square, base)
    return op.power(base, relax.const(exponent, "float32"))


def _dropout(inputs: Any, attributes: Any) -> Any | None:
    """Nothing, in an inference, unless somebody reads its mask."""
    return inputs[0] if attributes["tvm_custom"]["num_outputs"] == 1 else None


def _max_pool(inputs: Any, attributes: Any) -> None:
    """The importer ignores SAME_LOWER: the padding in numbers, more of it before than behind."""
    extents = shape_of(inputs[0])
    if attributes.get("auto_pad") != b"SAME_LOWER" or extents is None:
        return
    kernel = attributes["kernel_shape"]
    strides, dilations = (attributes.get(name, (1,) * len(kernel)) for name in ("strides", "dilations"))
    behind = []
    before = []
    for extent, size, stride, dilation in zip(extents[2:], kernel, strides, dilations, strict=True):
        padding = max((-(-extent // stride) - 1) * stride + dilation * (size - 1) + 1 - extent, 0)
        before.append(padding - padding // 2)
        behind.append(padding // 2)
    attributes.update(auto_pad=b"NOTSET", pads=(*before, *behind))


def _resize(inputs: Any, _attributes: Any) -> None:
    """TVM scales by the ratio of the sizes, which is another one where the size was rounded."""
    for index, value in enumerate(inputs):  # empty stands for left out
        if value is not None and shape_of(value) == (0,):
            inputs[index] = None
    scales, extents = constant(inputs[2]) if inputs[2] is not None else None, shape_of(inputs[0])
    if scales is None or extents is None:
        return
    sizes = np.asarray(extents) * scales
    if np.abs(sizes - np.round(sizes)).max() > _ROUNDING * sizes.max():
        raise ValueError(f"its scales {scales.tolist()} of {list(extents)} give no whole numbers, and these TVM rounds")


_ROUNDING = 1e-6

OURS: Mapping[str, _Convert] = {
    "Clip": _clip,
    "Dropout": _dropout,
    "Max": _of_each(op.maximum),
    "MaxPool": _max_pool,
    "Mean": _mean,
    "Min": _of_each(op.minimum),
    "Pow": _pow,
    "Resize": _resize,
    "Sum": _of_each(op.add),
}
"""By the operators' names."""
