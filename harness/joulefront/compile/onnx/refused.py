"""What is not compiled, said by name before anything is tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from joulefront.errors import CompileError

_OWN = ("", "ai.onnx")
_QUANTISED = ("DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear", "QLinear", "MatMulInteger", "ConvInteger")
_TYPES = ("FLOAT", "INT64", "INT32", "INT16", "INT8", "UINT8", "BOOL")
_MOST_NAMED = 5


def quantised(model: Any, path: Path) -> None:
    """Raise CompileError for a model that computes in integers, wherever in it."""
    for node in all_nodes(model):
        if node.op_type.startswith(_QUANTISED):
            raise CompileError(
                f"{path}: it is quantised, as {called(node)} shows, and only float32 models are compiled: "
                "measure the model that it was made from"
            )


def operators(model: Any, path: Path) -> None:
    """Raise CompileError for operators that are not ONNX's own. Local functions are to be inlined before."""
    import onnx

    opset = opset_of(model)
    others = [node for node in _nodes(model.graph) if node.domain not in _OWN]
    if others:
        raise CompileError(
            f"{path}: it uses operators of other domains than ONNX's own, which are not compiled: {_listed(others)}. "
            "Export the model without them; files that ONNX Runtime optimised have some"
        )
    unknown = [node for node in _nodes(model.graph) if not onnx.defs.has(node.op_type, opset, "")]
    if unknown:
        raise CompileError(f"{path}: opset {opset} has no such operators: {_listed(unknown)}")


def types(model: Any, path: Path) -> None:
    """Raise CompileError for tensors of types that are not compiled: of all known ones, inputs and weights first."""
    from onnx import TensorProto

    graph = model.graph
    named = [(f"the input {value.name}", value) for value in graph.input]
    values = [*named, *((value.name, value) for value in [*graph.output, *graph.value_info])]
    for name, value in values:
        if value.type.WhichOneof("value") not in ("tensor_type", None):
            raise CompileError(f"{path}: {name} is no tensor, and nothing else is compiled")
    found = [(name, value.type.tensor_type.elem_type) for name, value in named]
    found += [(f"the weight {tensor.name}", tensor.data_type) for tensor in graph.initializer]
    found += [(name, value.type.tensor_type.elem_type) for name, value in values]
    for name, number in found:
        kind = TensorProto.DataType.Name(number)
        if kind not in (*_TYPES, "UNDEFINED"):
            raise CompileError(
                f"{path}: {name} is {kind.lower()}; only float32 models are compiled: export it in float32"
            )


def unsupported(model: Any, known: Iterable[str], path: Path) -> None:
    """Raise CompileError that names what is not among the ``known`` operators."""
    known = set(known)
    if wrong := [node for node in _nodes(model.graph) if node.op_type not in known]:
        raise CompileError(f"{path}: TVM has no operator for {_listed(wrong)}. Export the model with other operators")


def called(node: Any) -> str:
    """An operator and its node, as "Conv (node stem/conv)"."""
    operator = f"{node.domain}.{node.op_type}" if node.domain not in _OWN else node.op_type
    return named(operator, node.name or f"that makes {', '.join(node.output)}")


def named(operator: str, node: str) -> str:
    """An operator, and its node if that has a name."""
    return f"{operator} (node {node})" if node else operator


def opset_of(model: Any) -> int:
    """The version of ONNX's own operators that a model is written in."""
    return next((int(known.version) for known in model.opset_import if known.domain in _OWN), 1)


def all_nodes(model: Any) -> Iterator[Any]:
    """Every node, those of branches and of local functions too."""
    yield from _nodes(model.graph)
    for function in model.functions:
        yield from _nodes(function)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for branch in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _nodes(branch)


def _listed(nodes: list[Any]) -> str:
    first: dict[tuple[str, str], Any] = {}
    for node in nodes:
        first.setdefault((node.domain, node.op_type), node)
    texts = [called(node) for node in first.values()]
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
