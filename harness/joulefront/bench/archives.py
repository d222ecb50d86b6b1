"""Archives for a device: the same bytes for the same files, named by their sha256, with a manifest to check them by."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulefront.cache import Cache, disk, file_sha256, key_of

Files = dict[str, bytes]
"""Contents by their paths."""

_ARCHIVE = "archive.tar.gz"
_MANIFEST = "manifest.json"  # as the device's install.py reads it: {path: [size in bytes, sha256]}


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar.gz on this host, always of the same bytes for the same content.

    ``name`` is its folder's on a device; ``unpacked_b`` bytes in ``files`` files are what it unpacks to.
    """

    name: str
    path: Path
    sha256: str
    size_b: int
    unpacked_b: int
    files: int


def agent(cache: Cache) -> Archive:
    """The agent's package, as it is installed here."""
    spec = importlib.util.find_spec("joulefront_agent")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    sources = sorted(root.rglob("*.py"))
    files = {f"joulefront_agent/{source.relative_to(root).as_posix()}": source.read_bytes() for source in sources}
    key = key_of(files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    return archived("agent", key, cache, lambda: files)


def archived(kind: str, key: str, cache: Cache, files: Callable[[], Files]) -> Archive:
    """The archive of ``files`` by their paths, packed unless it is in the cache under ``key``, which names all they are
    made from. Raises StoreError for a disk that refuses, and what ``files`` raises."""
    key = key_of(made_from=key, packed_by=file_sha256(Path(__file__)))
    entry = cache.entry(f"{kind}-archive", key, lambda folder: _write(files(), folder))
    path, sha256 = entry.path(_ARCHIVE), entry.sha256[_ARCHIVE]
    name = f"{kind}-{sha256[:16]}"
    return Archive(name, path, sha256, path.stat().st_size, entry.meta["unpacked_b"], entry.meta["files"])


def _write(files: Files, folder: Path) -> dict[str, Any]:
    """Pack files, with their manifest, so that the bytes depend on nothing else. Returns the entry's meta."""
    manifest = {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in sorted(files.items())}
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as members,
    ):
        for name, data in sorted({**files, _MANIFEST: json.dumps(manifest).encode()}.items()):
            member = tarfile.TarInfo(name)  # of no user, no group and the year 1970
            member.size = len(data)
            members.addfile(member, io.BytesIO(data))
    with disk(str(folder)):
        (folder / _ARCHIVE).write_bytes(packed.getvalue())
    return {"unpacked_b": sum(map(len, files.values())), "files": len(files)}
