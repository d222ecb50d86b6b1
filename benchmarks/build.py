"""Libraries for a benchmark: compiled once for a network, a target and the compiler's source, with what that cost."""

from __future__ import annotations

import hashlib
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from joulefront.compile.compiler import TvmCompiler
from joulefront.records import Target
from joulefront.tuning.database import NOTHING, Snapshot


@dataclass(frozen=True, slots=True)
class Build:
    """``library`` took ``cpu_s`` CPU-seconds, the linker's included."""

    library: Path
    cpu_s: float


def build(model: nn.Module, shape: tuple[int, ...], target: Target, folder: Path, tuned: Snapshot = NOTHING) -> Build:
    """Compile ``model`` for one input of that shape, with what was ``tuned``; or find what was compiled so in ``folder``.

    Raises CompileError.
    """
    compiler = TvmCompiler(target, tuned=tuned)
    library = folder / f"{fingerprint(model, shape, compiler.key)}.so"
    cost = library.with_suffix(".json")
    if not cost.exists():
        begin_s = _cpu_s()
        compiler.compile(model, (torch.zeros(shape),), library)
        cost.write_text(json.dumps({"cpu_s": _cpu_s() - begin_s}), encoding="utf-8")
    return Build(library, json.loads(cost.read_text(encoding="utf-8"))["cpu_s"])


def fingerprint(model: nn.Module, shape: tuple[int, ...], how: str) -> str:
    """A name for what is made, in the way ``how``, from a model's structure and weights and its input's shape."""
    digest = hashlib.sha256(f"{how}\0{shape}\0{model}\0".encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _cpu_s() -> float:
    """The CPU time of this process and of the children that have ended, in s."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
