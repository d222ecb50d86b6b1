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
# Relative to the largest value: half of what the bench allows a device to differ by.
_AGREEMENT = 5e-5


def reference(model: Any, shapes: Shapes, path: Path) -> tuple[Arrays, Arrays]:
    """An input, and what ONNX Runtime makes of it, one operator after another.

    The input is the first of a few kinds of noise whose outputs are finite and are what ONNX Runtime also gives once it
    has rearranged the model: what hangs on the last digit of a sum tells nothing about a kernel. Raises CompileError when
    it cannot run the model or there is no such input, and TrainError when no output is finite.
    """
    data = model.SerializeToString()
    plain, rearranged = (_session(data, path, optimised=optimised) for optimised in (False, True))
    failure: Exception | None = None
    least = np.inf
    for inputs in _tries(model, shapes):
        try:
            outputs, again = (session.run(None, inputs) for session in (plain, rearranged))
        except Exception as error:  # noqa: BLE001 -- an index out of bounds, perhaps: another input may be legal
            failure = error
            continue
        if not all(isinstance(output, np.ndarray) for output in outputs):
            raise CompileError(f"{path}: it returns something else than tensors, and nothing else is compiled")
        if not all(np.isfinite(output).all() for output in outputs):
            continue
        difference = max(map(_difference, outputs, again))
        if difference <= _AGREEMENT:
            return list(inputs.values()), [np.ascontiguousarray(output) for output in outputs]
        least = min(least, difference)
    if np.isfinite(least):
        raise CompileError(
            f"{path}: its outputs cannot be checked: with and without its optimisations, ONNX Runtime itself differs by "
            f"{least:.2g} of the largest value for each of the inputs that were tried, noise of several kinds"
        )
    if failure is not None:
        raise CompileError(
            f"{path}: ONNX Runtime, which it is compared with, cannot run it: {said(failure)}"
        ) from failure
    raise TrainError(
        f"{path}: its outputs are not finite for any of the inputs that were tried, noise of several kinds"
    )


def _session(data: bytes, path: Path, *, optimised: bool) -> Any:
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = 1
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CompileError(f"{path}: ONNX Runtime, which it is compared with, cannot load it: {said(error)}") from error


def _difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The largest difference of two outputs, relative to the largest value; of what is no number, whether there is one."""
    if not np.issubdtype(one.dtype, np.floating):
        return float(not np.array_equal(one, other))
    largest = float(np.abs(one).max(initial=0.0))
    return float(np.abs(one - other).max(initial=0.0)) / largest if largest else 0.0


def _tries(model: Any, shapes: Shapes) -> Iterator[dict[str, NDArray[Any]]]:
    """Inputs to try: noise, small and large, and numbers from 0 to 1; with integers that are 1, then with 0."""
    from onnx import helper

    types = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in model.graph.input
    }
    for whole in (1, 0):
        for draw, scale in (("standard_normal", 1.0), ("standard_normal", 10.0), ("random", 1.0)):
            generator = np.random.default_rng(_SEED)
            yield {
                name: (scale * getattr(generator, draw)(shape)).astype(types[name])
                if np.issubdtype(types[name], np.floating)
                else np.full(shape, whole, types[name])
                for name, shape in shapes.items()
            }
