"""The way into TVM that leaves out torch's decompositions, for graphs of operators that are known to be imported rightly.

Decomposing traces the whole graph once more, which takes longer than all the rest of the import (ResNet-50: 1.4 of 1.5 s).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch.export import ExportedProgram
from tvm import relax
from tvm.relax import op

_KNOWN = frozenset(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d add add_ avg_pool1d avg_pool2d batch_norm cat chunk clone concat
    contiguous conv1d conv2d div dropout dropout_ exp expand flatten gelu getitem hardsigmoid
    hardswish hardswish_ hardtanh hardtanh_ layer_norm linear matmul max_pool1d max_pool2d mean mul mul_ neg
    permute relu relu6 relu6_ relu_ reshape scaled_dot_product_attention select sigmoid silu silu_ slice
    softmax split split_with_sizes squeeze sub tanh transpose unbind unsqueeze view
    """.split()  # noqa: SIM905 -- a list would take a line for each
)


_VIEWS = frozenset(
    """
    chunk contiguous dropout dropout_ expand flatten getitem permute reshape select slice split split_with_sizes squeeze
    transpose unbind unsqueeze view
    """.split()  # noqa: SIM905 -- a list would take a line for each
)


def is_known(program: ExportedProgram) -> bool:
    """Whether every operator of the graph may be imported as it is."""
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    place = {node: number for number, node in enumerate(program.graph.nodes)}
    return all(_is_known(node) and (not _writes(node) or _is_last(node, place)) for node in calls)


def misread(program: ExportedProgram) -> str | None:
    """What of the graph TVM's importer takes for something else, decomposed or not, and what to write instead."""
    for node in program.graph.nodes:
        if node.op == "call_function" and _name(node) in {"add", "add_", "sub", "sub_"} and "alpha" in node.kwargs:
            return f"{_name(node)} with alpha={node.kwargs['alpha']}: multiply first"
        if node.op == "call_function" and _name(node).startswith("avg_pool") and len(node.args) > 6:
            return f"{_name(node)} with divisor_override={node.args[6]}: divide afterwards"
    return None


def _name(node: Any) -> str:
    return str(getattr(node.target, "_opname", getattr(node.target, "__name__", "")))


def _writes(node: Any) -> bool:
    return _name(node).endswith("_") and _name(node) != "dropout_"  # which does nothing in eval mode


def _is_last(node: Any, place: Mapping[Any, int]) -> bool:
    """Whether nobody sees that the operator writes over its argument: it has no other name, and is not read again."""
    written = node.args[0]
    others = [user for user in written.users if user is not node]
    return (
        written.op == "call_function"
        and _name(written) not in _VIEWS
        and all(place[user] < place[node] and _name(user) not in _VIEWS for user in others)
    )


def _is_known(node: Any) -> bool:
    name = _name(node)
    if name == "scaled_dot_product_attention":
        return len(node.args) == 3 and set(node.kwargs) <= {"scale"} and node.args[0].meta["val"].dim() == 4
    if name == "layer_norm":  # the importer asks for its weight and bias
        return len(node.args) > 3 and None not in node.args[2:4]
    if name in {"conv1d", "conv2d"}:  # the importer knows no padding by words
        return str(node.target._overloadname) == "default"
    if name in {"dropout", "dropout_"}:
        return node.args[2] is False
    if name == "batch_norm":  # without running statistics it computes them from the batch
        return node.args[3] is not None and node.args[4] is not None and node.args[5] is False
    return name in _KNOWN


def _batch_norm(node: Any, importer: Any) -> Any:
    """BatchNorm in eval mode; the importer itself takes it for training."""
    data, weight, bias, mean, variance, _, momentum, epsilon, *_ = importer.retrieve_args(node)
    channels = int(importer.shape_of(data)[1])
    weight = relax.const(np.ones(channels, np.float32)) if weight is None else weight
    bias = relax.const(np.zeros(channels, np.float32)) if bias is None else bias
    normalized = importer.block_builder.emit(
        op.nn.batch_norm(data, weight, bias, mean, variance, axis=1, epsilon=epsilon, momentum=momentum, training=False)
    )
    return importer.block_builder.emit(relax.TupleGetItem(normalized, 0))


def _attention(node: Any, importer: Any) -> Any:
    """softmax(q k^T scale) v, of (batch, heads, length, size) each."""
    query, key, value = importer.retrieve_args(node)
    scale = node.kwargs.get("scale")
    scale = 1 / math.sqrt(int(importer.shape_of(query)[-1])) if scale is None else scale
    emit = importer.block_builder.emit
    turned = emit(op.permute_dims(key, [0, 1, 3, 2]))
    products = emit(op.multiply(emit(op.matmul(query, turned)), relax.const(np.float32(scale))))
    return emit(op.matmul(emit(op.nn.softmax(products, -1)), value))


CONVERTERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "batch_norm.default": _batch_norm,
    "scaled_dot_product_attention.default": _attention,
}
"""By ATen's name: how operators are imported that TVM's importer takes wrongly when they are not decomposed, or slowly."""
