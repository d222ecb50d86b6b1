"""Base models, trained once on this machine and kept in the cache."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import load, save
from torch import nn

from joulefront.cache import Cache, disk, key_of

_log = logging.getLogger(__name__)
_WEIGHTS = "weights.safetensors"


def trained_once(model: nn.Module, name: str, train: Callable[[nn.Module], None], **inputs: Any) -> None:
    """Give ``model``, in place, the weights that ``train`` gives it: out of the cache, or by training it now.

    It is trained on one thread, whoever asks: on several, other weights come out.

    ``inputs`` is everything else that the weights depend on, as plain values: what was trained from the same is used
    again. Processes that ask at the same time wait for the one that trains; what is damaged is trained anew.
    """
    cache = Cache()
    key = key_of(name=name, layers=str(model), torch=torch.__version__, **inputs)

    def make(folder: Path) -> dict[str, Any]:
        _log.info("training the base model %s, once; it is kept in %s", name, cache.folder)
        with _one_thread():
            train(model)
        with disk(str(folder)):
            (folder / _WEIGHTS).write_bytes(save(dict(model.state_dict())))
        return {"name": name, **inputs}

    with disk(f"the cache {cache.folder}"):
        locks = cache.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{key}.lock")
        lock.acquire()
    try:
        entry = cache.entry("models", key, make)
        model.load_state_dict(load(entry.path(_WEIGHTS).read_bytes()), strict=True)
    finally:
        lock.release()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
