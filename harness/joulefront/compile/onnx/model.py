"""An ONNX file that can be measured: every dimension known, nothing in it that is not compiled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from joulefront.compile.onnx import refused
from joulefront.compile.onnx.file import read
from joulefront.compile.onnx.folded import folded, modern
from joulefront.compile.onnx.importer import imported
from joulefront.compile.onnx.reference import Arrays, reference
from joulefront.compile.onnx.shapes import Shapes, fix

_OLDEST = 7  # ONNX Runtime's


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """The model of an ONNX file at the ``shapes`` of its inputs, by their names, in their order.

    ``key`` identifies what it computes: the hash of its bytes without remarks, its shapes, and what it is read with.
    ``outputs`` is what ONNX Runtime makes of ``inputs``, in order.
    """

    path: Path
    shapes: Shapes
    key: str
    size_b: int
    inputs: Arrays
    outputs: Arrays
    _model: Any

    @staticmethod
    def load(path: Path, given: Shapes) -> OnnxModel:
        """The model in the file, with ``given`` shapes for what it leaves open.

        Raises ConfigError for a file that is no ONNX model or a shape that does not fit, CompileError for a model that is
        not compiled or that ONNX Runtime cannot run, TrainError for one whose outputs are not finite.
        """
        model = read(path)
        refused.types(model, path)
        refused.quantised(model, path)
        if not model.functions:  # theirs are looked at once they are inlined
            refused.operators(model, path)
        shapes = fix(model, given, path)
        _without_remarks(model)
        data = model.SerializeToString(deterministic=True)
        inputs, outputs = reference(modern(model, path, _OLDEST), shapes, path)
        versions = ",".join(f"{name} {version(name)}" for name in ("onnx", "onnxscript", "onnxruntime"))
        key = hashlib.sha256(f"{sorted(shapes.items())} {versions}\0".encode() + data).hexdigest()
        return OnnxModel(path, shapes, key, len(data), inputs, outputs, model)

    @property
    def signature(self) -> str:
        """Its inputs and their shapes, such as "x=1,3,48,192"."""
        return " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in self.shapes.items())

    def imported(self) -> Any:
        """The Relax module whose ``main`` computes the model. Raises CompileError."""
        model = folded(self._model, self.path)
        refused.operators(model, self.path)
        refused.types(model, self.path)
        return imported(model, self.path)


def _without_remarks(model: Any) -> None:
    """Drop what nothing is computed from, so that the same model has the same key."""
    for name in ("producer_name", "producer_version", "doc_string", "metadata_props"):
        model.ClearField(name)
    graph = model.graph
    for parts in ([graph], graph.node, graph.input, graph.output, graph.initializer):
        for part in parts:
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
    for tensor in graph.initializer:
        tensor.ClearField("data_location")  # here, by now
