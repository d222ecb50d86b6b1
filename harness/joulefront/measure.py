"""One model, one device: compile it and time it there, without a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from joulefront.bench.bench import Bench
from joulefront.cache import Cache, key_of
from joulefront.config import CompileConfig, MeasureConfig, Plugin
from joulefront.errors import ConfigError
from joulefront.prepare import Compiled, Source, compiled, compiled_model, load_compiler, load_task, model_key
from joulefront.records import Measurement, Target
from joulefront.study import Listener
from joulefront_devices.device import load

if TYPE_CHECKING:
    from joulefront.compile.onnx.model import OnnxModel


def measure(model: str, device: str, threads: int, listener: Listener, shapes: Sequence[str] = ()) -> Measurement:
    """What ``model``, a task's or that of an ONNX file, takes on ``device``, at full grade. Needs no data.

    ``shapes`` are those of an ONNX file's inputs where it leaves them open, each as "x=1,3,48,192". Raises ConfigError for
    a model or device that is none, CandidateError for a model that cannot be compiled or does not run, and BenchError when
    the device fails.
    """
    if model.lower().endswith(".onnx"):
        return _measured_file(Path(model), device, threads, listener, shapes)
    if shapes:
        raise ConfigError(f"--shape {shapes[0]}: only an ONNX file's shapes can be chosen; {model}'s are its example's")
    folder = Path.cwd()
    listener.stage(f"opening {device}")
    with Bench(load(device), MeasureConfig(), threads) as bench:
        listener.stage("compiling the model")
        plugin = Plugin(kind=model)
        loaded = load_task(plugin, folder, needs_data=False)
        compiler = load_compiler(CompileConfig(threads=threads), folder, bench.target)
        made = compiled_model(
            lambda: loaded.model,
            loaded.example,
            compiler,
            bench.target,
            Cache(),
            key=model_key(loaded.model, loaded.example),
            label=model,
        )
        listener.stage(f"measuring on {device}")
        return bench.measure(made.job, "full")


def _measured_file(path: Path, device: str, threads: int, listener: Listener, shapes: Sequence[str]) -> Measurement:
    from joulefront.compile.onnx.model import OnnxModel
    from joulefront.compile.onnx.shapes import parsed

    listener.stage(f"reading {path}")
    model = OnnxModel.load(path, parsed(shapes))  # a file with an error needs no device to be told so
    listener.stage(f"opening {device}")
    with Bench(load(device), MeasureConfig(), threads) as bench:
        listener.stage(f"compiling it for {model.signature}")
        made = _compiled_file(model, bench.target)
        listener.stage(f"measuring on {device}")
        return bench.measure(made.job, "full")


def _compiled_file(model: OnnxModel, target: Target) -> Compiled:
    """The library of an ONNX file, with an input and what ONNX Runtime makes of it."""
    from joulefront.compile.compiler import TvmCompiler

    compiler = TvmCompiler(target)

    def source() -> Source:
        return Source(model.inputs, model.outputs, model.size_b, lambda library: compiler.compile_onnx(model, library))

    return compiled(
        source,
        target,
        Cache(),
        key=key_of(onnx=model.key, compiler=compiler.key),
        label=str(model.path),
        reference="ONNX Runtime",
    )
