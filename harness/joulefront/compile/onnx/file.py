"""An ONNX file as a graph, or one sentence on why it is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from joulefront.errors import ConfigError

_NEEDS = ("onnx", "onnxscript", "onnxruntime")
_FIRST_WITHOUT = 4  # the first version of the format in which weights are no inputs


def read(path: Path) -> Any:
    """The model in the file, whole: with the weights that lie in files beside it.

    Raises ConfigError without the ``onnx`` extra, and for a file that is missing, cut off or no ONNX, or whose weights are.
    """
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"{path}: an ONNX file needs {' and '.join(missing)}: pip install 'joulefront[onnx]'")
    import onnx

    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise ConfigError(f"{path}: is no ONNX file, or was cut off: copy or export it again") from error
    if not model.graph.node or not model.graph.output:
        raise ConfigError(f"{path}: is no ONNX model: it has no operators that lead to an output")
    try:
        # It refuses what leads out of the model's folder.
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise ConfigError(
            f"{path}: its weights lie in another file, which cannot be read: {said(error)}; "
            "put it beside the model as it was exported"
        ) from error
    _constants(model)
    return model


def said(error: Exception) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _constants(model: Any) -> None:
    """Weights that old files list among the inputs as well are weights."""
    graph = model.graph
    known = {initializer.name for initializer in graph.initializer}
    kept = [value for value in graph.input if value.name not in known]
    del graph.input[:]
    graph.input.extend(kept)
    model.ir_version = max(model.ir_version, _FIRST_WITHOUT)
