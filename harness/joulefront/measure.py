"""One model, one device: compile it and time it there, without a search."""

from __future__ import annotations

from pathlib import Path

from joulefront.bench.bench import Bench
from joulefront.cache import Cache
from joulefront.config import CompileConfig, MeasureConfig, Plugin
from joulefront.prepare import compiled_model, load_compiler, load_task, model_key
from joulefront.records import Measurement
from joulefront.study import Listener
from joulefront_devices.device import load


def measure(task: str, device: str, threads: int, listener: Listener) -> Measurement:
    """What the model of ``task`` takes on ``device``, at full grade. Needs no data.

    Raises ConfigError for a task or device that is none, CandidateError for a model that cannot be compiled or does not
    run, and BenchError when the device fails.
    """
    folder = Path.cwd()
    listener.stage(f"opening {device}")
    with Bench(load(device), MeasureConfig(), threads) as bench:
        listener.stage("compiling the model")
        plugin = Plugin(kind=task)
        loaded = load_task(plugin, folder, needs_data=False)
        compiler = load_compiler(CompileConfig(threads=threads), folder, bench.target)
        compiled = compiled_model(
            lambda: loaded.model,
            loaded.example,
            compiler,
            bench.target,
            Cache(),
            key=model_key(loaded.model, loaded.example),
            label=task,
        )
        listener.stage(f"measuring on {device}")
        return bench.measure(compiled.job, "full")
