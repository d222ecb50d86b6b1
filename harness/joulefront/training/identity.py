"""Which data a network was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from joulefront.training.seeds import seeded


def data_sha256(dataset: Dataset[Any], *, examples: int = 64) -> str:
    """The identity of a map-style dataset, for the key of what was made from it.

    Of a TensorDataset it is all elements; of any other its length and ``examples`` of its examples, spread evenly and
    drawn under ``seeded(0)``. Of what is neither number, text, tensor nor array only the type counts.
    """
    digest = hashlib.sha256()
    if type(dataset) is TensorDataset:
        _feed(digest, dataset.tensors)
        return digest.hexdigest()
    size = len(dataset)  # type: ignore[arg-type]  # a map-style dataset has a length; torch's base class does not say so
    count = min(examples, size)
    _feed(digest, size)
    with seeded(0):
        for place in range(count):
            _feed(digest, dataset[place * (size - 1) // max(count - 1, 1)])
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, value: Any) -> None:
    """Add ``value`` to ``digest``: how it is nested, and the type, shape and bytes of what it holds."""
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, tuple | list):
        digest.update(f"{len(value)} in a row;".encode())
        for part in value:
            _feed(digest, part)
        return
    if value is None or isinstance(value, str | bytes):
        digest.update(f"{value!r};".encode())
        return
    try:
        tensor = torch.as_tensor(value if isinstance(value, Tensor) else np.asarray(value)).detach().cpu()
    except (TypeError, ValueError):  # an object of somebody's own: its repr may hold an address
        digest.update(f"{type(value).__qualname__};".encode())
        return
    digest.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
    digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
