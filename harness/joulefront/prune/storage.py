"""Tensors as the bytes of a safetensors file, zeros left out where that is shorter; the same bytes for the same tensors.

A tensor ``NAME`` that is stored sparse is two tensors of the file: ``NAME#mask``, uint8, one bit an element in their order, the
first in the lowest bit of the first byte, set where the element is not zero; and ``NAME#values``, those elements in their
order. The file's metadata names their shapes under ``sparse``, as JSON: ``{"NAME": [2, 3]}``. Everything else is as ever.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

_MASK, _VALUES = "#mask", "#values"
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# What two entries in the header take more than one.
_ENTRY_B = 200


def serialised(tensors: Mapping[str, Tensor]) -> bytes:
    """The file of ``tensors``, by their names."""
    stored: dict[str, Tensor] = {}
    sparse: dict[str, list[int]] = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        there = flat.view(_INTEGERS[flat.element_size()]) != 0  # a minus zero would not be read back as one
        mask = torch.from_numpy(np.packbits(there.numpy(), bitorder="little"))
        values = flat[there]
        if mask.nbytes + values.nbytes + _ENTRY_B < flat.nbytes:
            stored |= {f"{name}{_MASK}": mask, f"{name}{_VALUES}": values}
            sparse[name] = list(tensor.shape)
        else:
            stored[name] = flat.clone().reshape(tensor.shape)
    return save(stored, {"sparse": json.dumps(sparse)} if sparse else None)


def parsed(data: bytes) -> dict[str, Tensor]:
    """The tensors that ``serialised`` was given, each whole. Raises SafetensorError for a file that is damaged."""
    stored = load(data)
    try:
        begin = 8 + int.from_bytes(data[:8], "little")
        shapes = json.loads(json.loads(data[8:begin]).get("__metadata__", {}).get("sparse", "{}"))
        for name, shape in shapes.items():
            mask, values = stored.pop(f"{name}{_MASK}"), stored.pop(f"{name}{_VALUES}")
            size = math.prod(shape)
            if len(mask) != math.ceil(size / 8):
                raise ValueError(f"{name!r} has {len(mask)} bytes of mask for {size} elements")
            there = torch.from_numpy(np.unpackbits(mask.numpy(), count=size, bitorder="little")).bool()
            if len(values) != int(there.sum()):
                raise ValueError(f"{name!r} has {len(values)} values where its mask has {int(there.sum())}")
            flat = torch.zeros(size, dtype=values.dtype)
            flat[there] = values
            stored[name] = flat.reshape(shape)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise SafetensorError(f"its zeros cannot be read: {error}") from error
    return stored
