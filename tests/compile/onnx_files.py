"""Small ONNX files with the traits of those that people have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node
Open = Sequence[int | str | None] | None


def weight(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def noise(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Open,
    weights: Sequence[onnx.TensorProto] = (),
    *,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    ir: int = 8,
    dtype: int = TensorProto.FLOAT,
    others: Sequence[onnx.ValueInfoProto] = (),
    domains: Sequence[str] = (),
    **save: Any,
) -> Path:
    """A file of one input ``x``, whose outputs have no shape, as some exporters leave them."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", dtype, shape), *others],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        list(weights),
    )
    versions = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=ir)
    onnx.save_model(model, path, **save)
    return path


def today(path: Path, **save: Any) -> Path:
    """What PaddlePaddle, tf2onnx and PyTorch write: open dimensions, shape arithmetic, each output one trait."""
    weights = [
        weight("w", noise(6, 4, 3, 3)),
        weight("w1", noise(6, 1, 3, 3)),
        weight("lo", np.float32(0)),
        weight("hi", np.float32(6)),
        weight("three", np.float32(3)),
        weight("pads", np.array([0, 0, 0, 1, 0, 0, 1, 2])),
        weight("none", np.array([], np.float32)),
        weight("sizes", np.array([1, 6, 9, 12])),
        weight("scales", np.array([1, 1, 2, 3], np.float32)),
        weight("square", np.array(2)),
        weight("zero", np.array([0])),
        weight("one", np.array([1])),
        weight("rest", np.array([-1])),
        weight("half", np.full((1, 6, 1, 1), 0.5, np.float32)),
        weight("s", noise(6)),
        weight("v", np.abs(noise(6)) + 0.5),
    ]
    nodes = [
        # TensorFlow pads by a node of its own, and computes in another order of the axes.
        node("Transpose", ["x"], ["nchw"], perm=[0, 3, 1, 2]),
        node("Pad", ["nchw", "pads"], ["padded"]),
        node("Conv", ["padded", "w"], ["conv"], strides=[2, 2], name="conv"),
        node("BatchNormalization", ["conv", "s", "s", "s", "v"], ["norm"]),
        # PaddlePaddle writes hard swish as four nodes.
        node("Add", ["norm", "three"], ["a"]),
        node("Clip", ["a", "lo", "hi"], ["b"]),
        node("Mul", ["norm", "b"], ["c"]),
        node("Div", ["c", "hi"], ["swish"]),
        node("Clip", ["norm", "", "hi"], ["below"]),
        node("Conv", ["swish", "w1"], ["same"], auto_pad="SAME_LOWER", group=6, strides=[1, 2], name="same"),
        node("MaxPool", ["swish"], ["pool"], auto_pad="SAME_LOWER", kernel_shape=[3, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["swish"], ["mean"]),
        node("HardSigmoid", ["mean"], ["gate"], alpha=1 / 6, beta=0.5),
        node("Mul", ["swish", "gate"], ["gated"]),
        node("Resize", ["swish", "", "scales"], ["nearest"], coordinate_transformation_mode="asymmetric"),
        node("Resize", ["swish", "none", "none", "sizes"], ["linear"], mode="linear"),
        node("Max", ["swish", "half", "gate"], ["most"]),
        node("Sum", ["swish", "half", "gate"], ["sum"]),
        node("Mean", ["swish", "half", "gate"], ["average"]),
        node("Pow", ["swish", "square"], ["power"]),
        node("Dropout", ["swish"], ["kept"]),
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "zero", "one"], ["batch"]),
        node("Concat", ["batch", "rest"], ["flat"], axis=0),
        node("Reshape", ["kept", "flat"], ["vector"]),
        node("Sqrt", ["v"], ["root"]),
        node("Reshape", ["root", "column"], ["shift"]),
        node("Constant", [], ["column"], value_ints=[1, 6, 1, 1]),
        node("Add", ["below", "shift"], ["shifted"]),
    ]
    nodes.insert(0, nodes.pop(-2))
    outputs = ["same", "pool", "gated", "nearest", "linear", "most", "sum", "average", "power", "vector", "shifted"]
    return write(path, nodes, [-1, "?", "?", 4], weights, outputs=outputs, opset=13, **save)


def old(path: Path) -> Path:
    """Of 2018: weights among the inputs, bounds as attributes, a softmax over all axes behind, another kind of resizing."""
    weights = [weight("w", noise(3, 2, 1, 1)), weight("scales", np.array([1, 1, 2, 2], np.float32))]
    nodes = [
        node("Conv", ["x", "w"], ["conv"]),
        node("Clip", ["conv"], ["clip"], min=-0.5, max=0.5),
        node("Upsample", ["clip", "scales"], ["up"], mode="linear"),
        node("Softmax", ["conv"], ["soft"]),
        node("Dropout", ["soft"], ["dropped"], ratio=0.5),
        node("Slice", ["up"], ["cut"], axes=[2, 3], starts=[1, -5], ends=[100, -1]),
    ]
    listed = [helper.make_tensor_value_info(one.name, TensorProto.FLOAT, one.dims) for one in weights]
    return write(path, nodes, ["N", 2, 4, 5], weights, outputs=("dropped", "cut"), opset=9, ir=3, others=listed)
