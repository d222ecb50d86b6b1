"""Base models, trained once on this machine and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where base models are kept: ``$JOULEFRONT_CACHE``/models, or in the user's cache folder."""
    root = os.environ.get("JOULEFRONT_CACHE") or platformdirs.user_cache_dir("joulefront")
    return Path(root) / "models"


def trained_once(model: nn.Module, name: str, inputs: Mapping[str, object], train: Callable[[nn.Module], None]) -> None:
    """Give ``model``, in place, the weights that ``train`` gives it: from the cache, or by training it now.

    ``inputs`` is everything that the weights depend on, as plain values: a file is only used for the same inputs.
    Processes that ask at the same time wait for the one that trains. A damaged file is trained anew.
    """
    key = hashlib.sha256(
        json.dumps({"name": name, "model": str(model), "torch": torch.__version__, **inputs}, sort_keys=True).encode()
    ).hexdigest()
    path = cache_folder() / f"{name}-{key[:16]}.safetensors"
    if _restore(model, path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if _restore(model, path):  # another process trained it while this one waited
            return
        logger.info("training the base model %s, once; it is kept in %s", name, path)
        train(model)
        _write(path, save({key: value.contiguous() for key, value in model.state_dict().items()}))


def fingerprint(*tensors: Tensor) -> str:
    """A sha256 of the tensors' shapes, types and elements."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _restore(model: nn.Module, path: Path) -> bool:
    """Load the file into ``model``, if there is one and it is whole and fits."""
    try:
        model.load_state_dict(load(path.read_bytes()), strict=True)
    except FileNotFoundError:
        return False
    except (OSError, SafetensorError, RuntimeError) as error:
        logger.warning("the base model in %s cannot be used and is trained again: %s", path, error)
        return False
    return True


def _write(path: Path, data: bytes) -> None:
    """Write the file in one step, so that nobody ever sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
