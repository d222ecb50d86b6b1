"""What a study's folder keeps of its final front: libraries, weights, and an input with what torch makes of it.

The cache may drop them one day. Each file is named by the sha256 of what it belongs to; the weights and the library are
checked against it when they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from joulefront.cache import disk, file_sha256, write_durably
from joulefront.errors import StoreError
from joulefront.records import Array, Job, Prepared, Trial

_FOLDER = "artifacts"


def is_kept(folder: Path, trial: Trial) -> bool:
    """Whether the study's ``folder`` has all that belongs to a measured trial, whole."""
    try:
        weights(folder, trial)
        job(folder, trial, "")
    except StoreError:
        return False
    return True


def keep(folder: Path, trial: Trial, made: Prepared) -> None:
    """Copy what belongs to a measured trial, as it was ``made``, into the study's ``folder``. Raises StoreError."""
    contents = (made.job.library.read_bytes(), made.weights.read_bytes(), check(made.job))
    with disk(str(folder)):
        (folder / _FOLDER).mkdir(exist_ok=True)
        for name, content in zip(_names(trial), contents, strict=True):
            write_durably(folder / _FOLDER / name, content)


def check(job: Job) -> bytes:
    """An input and what torch makes of it, as a safetensors file."""
    return safetensors.numpy.save({**by_name("input", job.inputs), **by_name("output", job.expected)})


def by_name(prefix: str, arrays: Sequence[Array]) -> dict[str, np.ndarray]:
    """Arrays as NumPy's, by the names that a check gives them: input0, input1, …"""
    return {
        f"{prefix}{index}": np.frombuffer(array.data, array.dtype).reshape(array.shape)
        for index, array in enumerate(arrays)
    }


def weights(folder: Path, trial: Trial) -> Path:
    """The trial's weights, a safetensors file. Raises StoreError when it is gone or damaged."""
    path = folder / _FOLDER / _names(trial)[1]
    return _checked(path, path.stem)


def job(folder: Path, trial: Trial, label: str) -> Job:
    """What the bench needs to measure the trial's own library again. Raises StoreError when a file is gone or damaged."""
    library, _, checked = (folder / _FOLDER / name for name in _names(trial))
    try:
        arrays = safetensors.numpy.load_file(checked)
        inputs, outputs = _arrays(arrays, "input"), _arrays(arrays, "output")
    except (KeyError, OSError, SafetensorError) as error:
        raise _gone(checked) from error
    sha256 = library.stem
    fallbacks = trial.artifact.composition.fallbacks if trial.artifact else ()
    return Job(label, _checked(library, sha256), sha256, inputs, outputs, fallbacks=fallbacks)


def _names(trial: Trial) -> tuple[str, str, str]:
    """The files of its library, its weights and its check."""
    if trial.candidate is None or trial.artifact is None:
        raise ValueError(f"trial {trial.number} was never compiled")
    library = trial.artifact.sha256
    return f"{library}.so", f"{trial.candidate.sha256}.safetensors", f"{library}.check.safetensors"


def _checked(path: Path, sha256: str) -> Path:
    try:
        if file_sha256(path) == sha256:
            return path
    except OSError as error:
        raise _gone(path) from error
    raise _gone(path)


def _gone(path: Path) -> StoreError:
    return StoreError(
        f"{path} is not there as the study wrote it; the study's search command, run again, makes what is missing"
    )


def _arrays(arrays: dict[str, np.ndarray], prefix: str) -> tuple[Array, ...]:
    """Raises KeyError where there is none, or one is missing in between."""
    count = max(1, sum(name.startswith(prefix) for name in arrays))
    named = [arrays[f"{prefix}{index}"] for index in range(count)]
    return tuple(Array(array.shape, str(array.dtype), array.tobytes()) for array in named)
