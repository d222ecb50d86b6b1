"""What the verbs without a search are given: the model of a task, or of an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from joulefront.cache import Cache, key_of
from joulefront.compiled import Compiled, Source, compiled, compiled_model, load_compiler
from joulefront.config import CompileConfig, Plugin
from joulefront.errors import ConfigError
from joulefront.loaded import load_task, model_key
from joulefront.protocols import Task
from joulefront.records import Target
from joulefront.tuning.database import Snapshot

if TYPE_CHECKING:
    from joulefront.compile.onnx.model import OnnxModel


class Subject(Protocol):
    """A model that was found and can be read; ``name`` is how messages call it, ``size_b`` how large its weights are."""

    @property
    def name(self) -> str: ...
    @property
    def size_b(self) -> int: ...

    def imported(self) -> Any:
        """Its graph as a Relax module. Raises CompileError."""
        ...

    def compiled(self, target: Target, tuned: Snapshot) -> Compiled:
        """Its library, with an input and what must come out of it; from the cache where it is there. Raises CompileError,
        and StoreError when the disk refuses."""
        ...


def subject(model: str, shapes: Sequence[str] = ()) -> Subject:
    """The model of that name: a task's ``kind``, or an ONNX file, whose open ``shapes`` are given as "x=1,3,48,192".

    Raises ConfigError for what is neither, CandidateError for a model that can never be compiled.
    """
    if model.lower().endswith(".onnx"):
        from joulefront.compile.onnx.model import OnnxModel
        from joulefront.compile.onnx.shapes import parsed

        return FileModel(OnnxModel.load(Path(model), parsed(shapes)))
    if shapes:
        raise ConfigError(f"--shape {shapes[0]}: only an ONNX file's shapes can be chosen; {model}'s are its example's")
    return TaskModel(model, load_task(Plugin(kind=model), Path.cwd(), needs_data=False))


@dataclass(frozen=True, slots=True)
class TaskModel:
    """The model of a task, at the shapes of its example; see Subject."""

    name: str
    task: Task

    @property
    def size_b(self) -> int:
        """See Subject."""
        return sum(tensor.nbytes for tensor in self.task.model.state_dict().values())

    def imported(self) -> Any:
        """See Subject."""
        from joulefront.compile.export import imported

        return imported(self.task.model, self.task.example)

    def compiled(self, target: Target, tuned: Snapshot) -> Compiled:
        """See Subject."""
        task = self.task
        compiler = load_compiler(CompileConfig(), Path.cwd(), target, tuned)
        key = model_key(task.model, task.example)
        return compiled_model(lambda: task.model, task.example, compiler, target, Cache(), key=key, label=self.name)


@dataclass(frozen=True, slots=True)
class FileModel:
    """The model of an ONNX file; see Subject."""

    model: OnnxModel

    @property
    def name(self) -> str:
        """See Subject."""
        return f"{self.model.path} at {self.model.signature}"

    @property
    def size_b(self) -> int:
        """See Subject."""
        return self.model.size_b

    def imported(self) -> Any:
        """See Subject."""
        return self.model.imported()

    def compiled(self, target: Target, tuned: Snapshot) -> Compiled:
        """See Subject."""
        from joulefront.compile.compiler import TvmCompiler

        model, compiler = self.model, TvmCompiler(target, tuned=tuned)

        def source() -> Source:
            return Source(
                model.inputs, model.outputs, model.size_b, lambda library: compiler.compile_onnx(model, library)
            )

        key, label = key_of(onnx=model.key, compiler=compiler.key), str(model.path)
        return compiled(source, target, Cache(), key=key, label=label, reference="ONNX Runtime")
