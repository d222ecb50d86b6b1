"""From an ONNX graph to a Relax module: TVM's importer, with operators of our own where its would bar the kernels."""

from __future__ import annotations

import gc
import traceback
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import tvm
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from joulefront.compile.onnx import operators, refused
from joulefront.compile.onnx.file import said
from joulefront.compile.onnx.folded import quiet
from joulefront.compile.quiet import without_stderr
from joulefront.errors import CompileError


def imported(model: Any, path: Path) -> Any:
    """The Relax module whose ``main`` computes a folded model. Raises CompileError, which names the operator."""
    refused.unsupported(model, [*onnx_frontend._get_convert_map(), "If"], path)
    importer = _Importer({}, "float32")
    try:
        with quiet(), redirect_stdout(StringIO()):  # it prints the graph where it fails
            return importer.from_onnx(model.graph, refused.opset_of(model))
    except Exception as error:
        where = importer.at
        del importer
        # Its half-built graph complains on stderr when it goes, so it is to go now.
        with without_stderr():
            traceback.clear_frames(error.__traceback__)
            gc.collect()
        raise CompileError(f"{path}: TVM cannot import {where}: {type(error).__name__}: {said(error)}") from error


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc, unused-ignore]
    """TVM's importer, with operators of ours where there are any, which takes no tensor without a shape.

    ``at`` is the node that it came to, in words.
    """

    at = "its inputs"

    def _convert_operator(self, op_name: str, inputs: Any, attrs: Any, opset: int) -> Any:
        self.at = refused.named(op_name, attrs["tvm_custom"]["name"])
        result = operators.OURS[op_name](inputs, attrs) if op_name in operators.OURS else None
        if result is None:
            result = super()._convert_operator(op_name, inputs, attrs, opset)
        result = self.bb.normalize(result)
        if not _is_static(result.ty):
            raise ValueError(
                "the shape of what it makes depends on the input's values, and a compiled one must be known"
            )
        return result


def _is_static(kind: Any) -> bool:
    if isinstance(kind, relax.TupleType):
        return all(_is_static(field) for field in kind.fields)
    if not isinstance(kind, relax.TensorType):
        return True
    return kind.shape is not None and all(isinstance(extent, tvm.tirx.IntImm) for extent in kind.shape)
