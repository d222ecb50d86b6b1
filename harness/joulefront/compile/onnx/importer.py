"""From an ONNX graph to a Relax module: TVM's importer, with operators of our own where its would bar the kernels."""

from __future__ import annotations

import functools
import gc
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from joulefront.compile.kernels.graph import constant
from joulefront.compile.onnx import refused
from joulefront.compile.onnx.file import said
from joulefront.compile.onnx.folded import quiet
from joulefront.compile.quiet import without_stderr
from joulefront.errors import CompileError


def imported(model: Any, path: Path) -> Any:
    """The Relax module whose ``main`` computes a folded model. Raises CompileError, which names the operator."""
    refused.unsupported(model, [*onnx_frontend._get_convert_map(), "If"], path)
    try:
        with quiet(), redirect_stdout(StringIO()):  # it prints the graph where it fails
            return _Importer({}, "float32").from_onnx(model.graph, refused.opset_of(model))
    except Exception as error:
        where = _node(error)
        # Its half-built graph complains on stderr when it goes, so it is to go now.
        with without_stderr():
            traceback.clear_frames(error.__traceback__)
            gc.collect()
        raise CompileError(f"{path}: TVM cannot import {where}: {type(error).__name__}: {said(error)}") from error


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc, unused-ignore]
    """TVM's importer; where it writes loops of its own, which no pass sees through, these are operators."""

    def _convert_operator(self, op_name: str, inputs: Any, attrs: Any, opset: int) -> Any:
        ours = _OURS.get(op_name)
        result = ours(inputs, attrs) if ours is not None else None
        if result is None:
            return super()._convert_operator(op_name, inputs, attrs, opset)
        return self.bb.normalize(result)


def _clip(inputs: Any, attrs: Any) -> Any | None:
    """A maximum and a minimum, whose bounds are inputs, or attributes before opset 11."""
    result = inputs[0]
    for operator, index, name in ((relax.op.maximum, 1, "min"), (relax.op.minimum, 2, "max")):
        bound = attrs.get(name) if inputs[index] is None else constant(inputs[index])
        if bound is None and inputs[index] is not None:
            return None
        if bound is not None and np.isfinite(bound):
            result = operator(result, relax.const(np.asarray(bound).reshape(()), result.ty.dtype))
        result = relax.BlockBuilder.current().emit(result) if bound is not None else result
    return result


def _of_each(operator: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator of any number of inputs, two at a time."""
    return lambda inputs, _attrs: functools.reduce(operator, list(inputs))


_OURS = {"Clip": _clip, "Max": _of_each(relax.op.maximum), "Min": _of_each(relax.op.minimum)}


def _node(error: Exception) -> str:
    """The node that the importer was at."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if "node" in frame.f_locals]
    return refused.called(frames[-1].f_locals["node"]) if frames else "the graph"
