"""Which operators of a Relax graph kernels are looked for, and what each computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from tvm import relax

from joulefront.compile.kernels.anchor import Site
from joulefront.compile.kernels.graph import constant, producer, shape_of
from joulefront.kernel_records import Workload


def conv2d(builder: Any, call: Any) -> Site | None:
    """Convolution of NHWC data by weights (kh, kw, depth of a group, channels) that are known now.

    Where the data is but an NCHW tensor moved into NHWC, that is read instead (``nchw`` is 1). A convolution by one
    pixel is the product with a matrix, and a kernel of no group, as a matrix has none.
    """
    weight, attrs = constant(call.args[1]), call.attrs
    shape, out = shape_of(call.args[0]), shape_of(call)
    if weight is None or weight.dtype != "float32" or shape is None or out is None:
        return None
    if (attrs.data_layout, attrs.kernel_layout, attrs.out_layout) != ("NHWC", "HWIO", "NHWC"):
        return None
    stride, pad, dilation = ([int(x) for x in xs] for xs in (attrs.strides, attrs.padding, attrs.dilation))
    groups, data, nchw = int(attrs.groups), call.args[0], 0
    if groups == 1 and weight.shape[:2] == (1, 1) and stride == [1, 1] and not any(pad):
        return _product(data, shape, np.reshape(weight, weight.shape[2:]), out)
    source = producer(builder, data)
    if source is not None and source.op.name == "relax.permute_dims" and _to_nhwc(source):
        data, nchw = source.args[0], 1
    extents = (
        ("data", shape),
        ("weight", weight.shape),
        ("out", out),
        ("stride", tuple(stride)),
        ("pad", tuple(pad)),
        ("dilation", tuple(dilation)),
        ("groups", (groups,)),
        ("nchw", (nchw,)),
    )
    return Site(Workload("conv2d", extents), (data,), weight)


def matmul(_builder: Any, call: Any) -> Site | None:
    """The product of data (…, depth) with a weight (depth, channels) that is known now."""
    weight, shape, out = constant(call.args[1]), shape_of(call.args[0]), shape_of(call)
    if shape is None or out is None or len(shape) < 2:
        return None
    if weight is None or weight.ndim != 2 or weight.dtype != "float32":
        return None
    return _product(call.args[0], shape, weight, out)


def _product(data: Any, shape: tuple[int, ...], weight: Any, out: tuple[int, ...]) -> Site:
    return Site(Workload("dense", (("data", shape), ("weight", weight.shape), ("out", out))), (data,), weight)


def softmax(_builder: Any, call: Any) -> Site | None:
    """Softmax along the last axis."""
    shape = shape_of(call)
    if not shape or int(call.attrs.axis) % len(shape) != len(shape) - 1 or str(call.ty.dtype) != "float32":
        return None
    return Site(Workload("softmax", (("out", shape),)), (call.args[0],))


def layer_norm(_builder: Any, call: Any) -> Site | None:
    """Layer norm over the last axes; a fourth input holds epsilon."""
    shape, weight = shape_of(call), shape_of(call.args[1])
    if shape is None or weight is None or str(call.ty.dtype) != "float32":
        return None
    axes = sorted(int(axis) % len(shape) for axis in call.attrs.axes)
    if axes != list(range(len(shape) - len(axes), len(shape))) or not (call.attrs.center and call.attrs.scale):
        return None
    workload = Workload("layer_norm", (("row", (prod(weight),)), ("out", shape)))
    return Site(workload, (*call.args, relax.const(np.array([call.attrs.epsilon], np.float32))))


def _to_nhwc(permute: Any) -> bool:
    return [int(axis) for axis in permute.attrs.axes] == [0, 2, 3, 1]


OPERATORS: Mapping[str, Callable[[Any, Any], Site | None]] = {
    "relax.nn.conv2d": conv2d,
    "relax.matmul": matmul,
    "relax.nn.softmax": softmax,
    "relax.nn.layer_norm": layer_norm,
}
"""By Relax's name: the site of a call of that operator; None where no kernel could apply."""
