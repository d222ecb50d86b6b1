"""Which versions of other libraries' symbols a shared library needs, as its ELF section .gnu.version_r has them."""

from __future__ import annotations

import struct
from pathlib import Path

_VERNEED = 0x6FFFFFFE  # SHT_GNU_verneed
_ELF64_LITTLE = b"\x7fELF\x02\x01"


def needed(library: Path) -> dict[str, set[str]]:
    """The names of the versions, such as "GLIBC_2.29", by the libraries that are to have them, such as "libm.so.6".

    Nothing for a file that is no 64-bit little-endian ELF file: none of our targets has another one. The layout is the
    Linux Standard Base's, "Symbol Versioning".
    """
    data = library.read_bytes()
    if not data.startswith(_ELF64_LITTLE):
        return {}
    (offset,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    # Of each section: type, offset, size in bytes, the section it refers to, how many entries.
    sections = [struct.unpack_from("<4xI16xQQII", data, offset + index * size) for index in range(count)]
    found: dict[str, set[str]] = {}
    for kind, start, _, strings, entries in sections:
        if kind == _VERNEED:
            _read(data, start, sections[strings][1], entries, found)
    return found


def _read(data: bytes, at: int, strings: int, entries: int, found: dict[str, set[str]]) -> None:
    """Add the libraries of a section at ``at``, whose names are among those at ``strings``."""
    for _ in range(entries):
        _, count, file, first, following = struct.unpack_from("<HHIII", data, at)
        versions = found.setdefault(_text(data, strings + file), set())
        version = at + first
        for _ in range(count):
            name, after = struct.unpack_from("<8xII", data, version)
            versions.add(_text(data, strings + name))
            version += after
        at += following


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("ascii", errors="replace")
