"""A network's weights as a file that says by itself which network they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping

import safetensors.numpy


def with_widths(data: bytes, widths: Mapping[str, int]) -> bytes:
    """A safetensors file ``data`` with the layers' widths, as JSON, in its metadata under ``widths``."""
    tensors = safetensors.numpy.load(data)
    return safetensors.numpy.save(tensors, metadata={"format": "pt", "widths": json.dumps(dict(widths))})
