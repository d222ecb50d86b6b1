"""A network's weights as a file that says by itself which network they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping


def with_widths(data: bytes, widths: Mapping[str, int]) -> bytes:
    """A safetensors file ``data`` with the layers' widths, as JSON, in its metadata under ``widths``.

    The tensors, and what the metadata says of those that are stored sparse, stay as they are.
    """
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    about = {**header.get("__metadata__", {}), "format": "pt", "widths": json.dumps(dict(widths))}
    text = json.dumps({**header, "__metadata__": about}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors
    return len(text).to_bytes(8, "little") + text + data[begin:]
