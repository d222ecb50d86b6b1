"""Chance that can be repeated."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def _gpu_in_use() -> bool:
    """Whether this process has begun to use a GPU; to ask for its generator otherwise would begin it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed what dropout and augmentation draw from, and give it back as it was.

    These are the global generators of torch, of ``random`` and of NumPy (its legacy one: the others have no global).
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- the global state is what this is about
    gpus = list(range(torch.cuda.device_count())) if _gpu_in_use() else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
