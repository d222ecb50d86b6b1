"""A model's graph without what is known before an inference: shapes, and whatever is computed from constants."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joulefront.compile.onnx.file import said
from joulefront.compile.onnx.refused import opset_of
from joulefront.errors import CompileError

# In elements. What is larger stays an operator: it would make a larger library than it saves time.
_LARGEST = 2**24
# The oldest from which TVM's importer gets all right.
_OPSET = 13
_NEW_RESIZE = 11


def modern(model: Any, path: Path, opset: int) -> Any:
    """The model in the operators of ``opset``, if it is older. Raises CompileError for one that cannot be written so."""
    from onnx import helper, version_converter

    if opset_of(model) >= opset:
        return model
    legacy = opset_of(model) < _NEW_RESIZE
    try:
        model = version_converter.convert_version(model, opset)
    except Exception as error:
        raise CompileError(
            f"{path}: its opset {opset_of(model)} is old, and cannot be converted to {opset}: {said(error)}. Export it anew"
        ) from error
    if legacy and opset >= _NEW_RESIZE:  # the converter leaves out how it was resized then
        for node in model.graph.node:
            if node.op_type == "Resize":
                node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
                node.attribute.append(helper.make_attribute("nearest_mode", "floor"))
    return model


def folded(model: Any, path: Path) -> Any:
    """The model in operators of today with its local functions inlined, constants folded and every shape written down.

    Raises CompileError when its shapes contradict one another.
    """
    import onnx
    import onnxscript.optimizer

    with quiet():
        try:
            onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise CompileError(f"{path}: its shapes do not fit one another: {said(error)}") from error
        model = modern(model, path, _OPSET)
        try:
            model = onnxscript.optimizer.optimize(model, input_size_limit=_LARGEST, output_size_limit=_LARGEST)
            return onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception as error:
            raise CompileError(f"{path}: its constants cannot be folded: {said(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what onnx, onnxscript and TVM log about their own insides: errors say all that the user needs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
