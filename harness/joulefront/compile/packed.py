"""How small a library gets when it is packed, as it is for the way to a board: that is where zeros pay."""

from __future__ import annotations

import zlib
from pathlib import Path

_LEVEL = 6  # gzip's own default
_BLOCK_B = 1 << 20


def packed_b(library: Path) -> int:
    """The size of the file's bytes as zlib packs them at level 6, in bytes."""
    packer, size_b = zlib.compressobj(_LEVEL), 0
    with library.open("rb") as file:
        while block := file.read(_BLOCK_B):
            size_b += len(packer.compress(block))
    return size_b + len(packer.flush())
