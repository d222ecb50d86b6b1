"""One model, one device: compile it and time it there, without a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from joulefront.bench.bench import Bench
from joulefront.compiled import tuned_for
from joulefront.config import MeasureConfig
from joulefront.protocols import Listener
from joulefront.records import Artifact, Measurement
from joulefront.subject import subject
from joulefront_devices.device import load


def measure(
    model: str, device: str, threads: int, listener: Listener, shapes: Sequence[str] = ()
) -> tuple[Artifact, Measurement]:
    """What ``model``, a task's or that of an ONNX file, becomes and takes on ``device``, at full grade. Needs no data.

    ``shapes`` are those of an ONNX file's inputs where it leaves them open, each as "x=1,3,48,192". Raises ConfigError for
    a model or device that is none, CandidateError for a model that cannot be compiled or does not run, and BenchError when
    the device fails.
    """
    listener.stage(f"reading {model}")
    given = subject(model, shapes)  # what has an error needs no device to be told so
    listener.stage(f"opening {device}")
    with Bench(load(device), MeasureConfig(), threads) as bench:
        listener.stage(f"compiling {given.name}")
        made = given.compiled(bench.target, tuned_for(device, Path(), bench.target))
        listener.stage(f"measuring on {device}")
        return made.artifact, bench.measure(made.job, "full", listener.doing)
