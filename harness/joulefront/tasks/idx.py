"""Reading idx files, the format of MNIST and Fashion-MNIST (yann.lecun.com/exdb/mnist, "the IDX file format")."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from joulefront.errors import ConfigError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> Tensor:
    """The unsigned bytes in an idx file, packed by gzip if its name ends in .gz, as a uint8 tensor of its shape.

    The file starts with two zero bytes, the type, the number of dimensions n, and n big-endian 32-bit sizes. Raises
    ConfigError when it cannot be read or is not such a file.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE:
        raise ConfigError(f"{path}: not an idx file of unsigned bytes")
    dimensions = data[3]
    start = 4 + 4 * dimensions
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions)]
    if len(data) != start + math.prod(shape):
        raise ConfigError(f"{path}: damaged: {len(data)} bytes where its header says {start + math.prod(shape)}")
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).reshape(shape)
