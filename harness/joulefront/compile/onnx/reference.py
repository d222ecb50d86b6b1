"""What a model computes, by ONNX Runtime: what the compiled one is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulefront.compile.onnx.file import said
from joulefront.compile.onnx.shapes import Shapes
from joulefront.errors import CompileError, TrainError

Arrays = list[NDArray[Any]]
_SEED = 0
_FATAL = 4


def reference(model: Any, shapes: Shapes, path: Path) -> tuple[Arrays, Arrays]:
    """An input, and what ONNX Runtime makes of it: noise, or what is legal more often where noise has no finite outcome.

    Raises CompileError when it cannot run the model, TrainError when no outcome is finite.
    """
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CompileError(f"{path}: ONNX Runtime, which it is compared with, cannot load it: {said(error)}") from error
    failure: Exception | None = None
    for inputs in _tries(model, shapes):
        try:
            outputs = session.run(None, inputs)
        except Exception as error:  # noqa: BLE001 -- an index out of bounds, perhaps: another input may be legal
            failure = error
            continue
        if not all(isinstance(output, np.ndarray) for output in outputs):
            raise CompileError(f"{path}: it returns something else than tensors")
        if all(bool(np.isfinite(output).all()) for output in outputs if np.issubdtype(output.dtype, np.floating)):
            return list(inputs.values()), [np.ascontiguousarray(output) for output in outputs]
    if failure is not None:
        raise CompileError(
            f"{path}: ONNX Runtime, which it is compared with, cannot run it: {said(failure)}"
        ) from failure
    raise TrainError(f"{path}: its outputs are not finite for any of the inputs that were tried, noise among them")


def _tries(model: Any, shapes: Shapes) -> Iterator[dict[str, NDArray[Any]]]:
    """Inputs to try: noise, then numbers between 0 and 1; with integers that are 1, then with 0."""
    from onnx import helper

    types = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in model.graph.input
    }
    for whole in (1, 0):
        for draw in ("standard_normal", "random"):
            generator = np.random.default_rng(_SEED)
            yield {
                name: getattr(generator, draw)(shape).astype(types[name])
                if np.issubdtype(types[name], np.floating)
                else np.full(shape, whole, types[name])
                for name, shape in shapes.items()
            }
