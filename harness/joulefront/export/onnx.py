"""A torch model as an ONNX file, for runtimes other than ours; and what onnxruntime makes of it."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from joulefront.errors import CompileError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

_NEEDS = ("onnx", "onnxscript")


def as_onnx(
    model: nn.Module, example: tuple[Tensor, ...], *, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[bytes, int]:
    """The model as an ONNX file of the shapes of ``example``, with its tensors named so; and its opset.

    Raises ConfigError where the ``onnx`` extra is not installed, CompileError for a model that cannot be exported.
    """
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"it needs {' and '.join(missing)}: pip install 'joulefront[onnx]', and export again")
    import torch

    try:
        with _quiet(), torch.no_grad():
            exported = torch.onnx.export(
                model, example, input_names=list(inputs), output_names=list(outputs), dynamo=True, verbose=False
            )
            assert exported is not None
            proto = exported.model_proto
            _strip(proto.graph)
            return proto.SerializeToString(), next(known.version for known in proto.opset_import if not known.domain)
    except Exception as error:
        said = next(filter(None, (line.strip() for line in str(error).splitlines())), "it says nothing")
        raise CompileError(f"torch.onnx cannot export the model: {type(error).__name__}: {said}") from error


def ran(data: bytes, inputs: Mapping[str, np.ndarray[Any, Any]]) -> tuple[str, list[np.ndarray[Any, Any]]] | None:
    """What onnxruntime, whose version comes first, makes of these inputs by name; None where it is not installed.

    Raises CompileError when it cannot run the model.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, dict(inputs))
    except Exception as error:
        raise CompileError(f"onnxruntime cannot run the exported model: {type(error).__name__}: {error}") from error
    return f"onnxruntime {version('onnxruntime')}", [np.asarray(output) for output in outputs]


def _strip(graph: Any) -> None:
    """Drop the exporter's notes: they hold lines of the user's source and where on this host it lies."""
    for parts in (graph.node, graph.value_info, graph.input, graph.output, graph.initializer):
        for part in parts:
            del part.metadata_props[:]
            part.doc_string = ""
    for branch in (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")):
        _strip(branch)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch and onnxscript say about their own insides: errors say all that the user needs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # some loggers come into being only now, with handlers of their own
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
