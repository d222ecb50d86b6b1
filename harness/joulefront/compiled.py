"""A model as a library: compiled for a target, or out of the cache, with what the bench needs to measure it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

from joulefront import compile as compiling
from joulefront import plugins
from joulefront.cache import Cache, disk, key_of, require_room, short
from joulefront.compile.packed import packed_b
from joulefront.compile.sources import kernels_version
from joulefront.config import Plugin
from joulefront.errors import CompileError, TrainError
from joulefront.kernel_records import Composition
from joulefront.protocols import Compiler
from joulefront.records import Array, Artifact, Job, Target
from joulefront.tuning.database import Database, Snapshot

_SEED = 0
_LEAST_ROOM_B = 16 * 2**20
_LIBRARY, _CHECK = "model.so", "check.safetensors"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model as a library, and what the bench needs to measure it. ``making_s`` is how long compiling took, in s."""

    artifact: Artifact
    job: Job
    making_s: float


def load_compiler(plugin: Plugin, folder: Path, target: Target, tuned: Snapshot) -> Compiler:
    """The compiler that ``plugin`` names, for ``target``; a ready-made one knows what was ``tuned``. Raises ConfigError."""
    given = {"target": target, **({"tuned": tuned} if plugin.kind in compiling.READY else {})}
    compiler: Compiler = plugins.build(plugin, compiling.READY, folder=folder, where="[compile]", **given)
    return compiler


def tuned_for(device: str, folder: Path, target: Target) -> Snapshot:
    """What tuning has found so far for a target on the device of that name or file, which is named from ``folder``.

    Raises StoreError.
    """
    return Database.of(device, folder).snapshot(target, kernels_version())


def compiler_fact(compiler: Compiler) -> str:
    """What a study freezes of its compiler."""
    return short(key_of(compiler=compiler.key))


def compiled_model(
    model_of: Callable[[], nn.Module],
    example: tuple[Tensor, ...],
    compiler: Compiler,
    target: Target,
    cache: Cache,
    *,
    key: str,
    label: str,
) -> Compiled:
    """The library of a model for ``target``, with an input and what torch makes of it; from the cache where it is there.

    ``key`` identifies the model that ``model_of`` returns, ``label`` names it in messages. Raises CompileError, and
    StoreError when the disk refuses.
    """

    def source() -> Source:
        model = model_of()
        inputs, outputs = checkable(model, example)
        return Source(
            [part.contiguous().numpy() for part in inputs],
            [part.contiguous().numpy() for part in outputs],
            sum(tensor.nbytes for tensor in model.state_dict().values()),
            lambda library: compiler.compile(model, example, library),
        )

    shapes = [[list(part.shape), str(part.dtype)] for part in example]
    artifact_key = key_of(model=key, compiler=compiler.key, example=shapes)
    return compiled(source, target, cache, key=artifact_key, label=label)


@dataclass(frozen=True, slots=True)
class Source:
    """A model that is ready to be compiled, of ``size_b`` bytes, with an input and what it makes of it."""

    inputs: Sequence[NDArray[Any]]
    outputs: Sequence[NDArray[Any]]
    size_b: int
    compile: Callable[[Path], Composition | None]


def compiled(
    source_of: Callable[[], Source], target: Target, cache: Cache, *, key: str, label: str, reference: str = "torch"
) -> Compiled:
    """The library that ``source_of`` compiles for ``target``; from the cache where it is there.

    ``key`` identifies the model and all else that the library depends on; ``reference`` names what made its outputs.
    Raises CompileError, and StoreError when the disk refuses.
    """

    def make(folder: Path) -> dict[str, Any]:
        begin_s = time.perf_counter()
        source = source_of()
        arrays = {f"input{i}": part for i, part in enumerate(source.inputs)}
        arrays |= {f"output{i}": part for i, part in enumerate(source.outputs)}
        data = safetensors.numpy.save(arrays)
        with disk(str(folder)):
            (folder / _CHECK).write_bytes(data)
        # The compiler writes object files of about the weights' size to both, and a full disk is no candidate's fault.
        for written in (folder, Path(tempfile.gettempdir())):
            require_room(written, _LEAST_ROOM_B + 4 * source.size_b)
        composition = source.compile(folder / _LIBRARY) or Composition()  # a user's own compiler may not tell
        making_s = time.perf_counter() - begin_s
        return {"making_s": making_s, "composition": asdict(composition), "packed_b": packed_b(folder / _LIBRARY)}

    entry = cache.entry("artifacts", key, make)
    library = entry.path(_LIBRARY)
    arrays = safetensors.numpy.load_file(entry.path(_CHECK))
    sha256 = entry.sha256[_LIBRARY]
    composition = TypeAdapter(Composition).validate_python(entry.meta["composition"])
    packed = entry.meta["packed_b"] if "packed_b" in entry.meta else packed_b(library)  # an earlier version's entry
    return Compiled(
        Artifact(key, sha256, library.stat().st_size, target, composition, packed),
        Job(
            label,
            library,
            sha256,
            _arrays(arrays, "input"),
            _arrays(arrays, "output"),
            reference,
            composition.fallbacks,
        ),
        entry.meta["making_s"],
    )


def checkable(model: nn.Module, example: tuple[Tensor, ...]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """An input to compare outputs on, and what torch makes of it: noise, or the example where noise has no finite outcome."""
    with torch.no_grad():
        for inputs in (_noise(example), example):
            outputs = _flat(model(*inputs))
            if all(bool(part.isfinite().all()) for part in outputs):
                return inputs, outputs
    raise TrainError("the model's output for task.example is not finite")


def _noise(example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The input that outputs are compared on: noise of the example's spread, so that no zero hides a wrong kernel.

    Integers and truth values stay the example's, since not every one of them is legal.
    """
    generator = torch.Generator().manual_seed(_SEED)
    return tuple(
        part.mean() + (part.std(correction=0) or 1.0) * torch.randn(part.shape, generator=generator, dtype=part.dtype)
        if part.is_floating_point()
        else part
        for part in example
    )


def _flat(outputs: Any) -> Sequence[Tensor]:
    parts = outputs if isinstance(outputs, tuple | list) else [outputs]
    if wrong := [part for part in parts if not isinstance(part, Tensor)]:
        raise CompileError(
            f"the model returns a {type(wrong[0]).__name__} where a tensor, or a tuple of tensors, can be checked and compiled"
        )
    return list(parts)


def _arrays(arrays: dict[str, Any], prefix: str) -> tuple[Array, ...]:
    """The arrays named prefix0, prefix1, …, in order."""
    count = sum(name.startswith(prefix) for name in arrays)
    named = [arrays[f"{prefix}{index}"] for index in range(count)]
    return tuple(Array(array.shape, str(array.dtype), array.tobytes()) for array in named)
