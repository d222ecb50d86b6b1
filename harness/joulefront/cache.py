"""The host's cache: entries found by what they were made from, checked by the hash of their bytes.

A *key* is a hash of inputs and decides whether work is skipped; a *sha256* is a hash of bytes and names what is shipped
and checked. An entry is a folder of files beside an ``entry.json`` that holds their hashes. What does not match its hash
is thrown away and made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from joulefront.errors import StoreError

_log = logging.getLogger(__name__)
_MANIFEST = "entry.json"
# What was used within a day may belong to a study under way, and is spared whatever the cap.
_SPARED_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished entry: its ``folder``, the plain values of its ``meta`` and the ``sha256`` of each file by name."""

    folder: Path
    meta: dict[str, Any]
    sha256: dict[str, str]

    def path(self, name: str) -> Path:
        """Where the file ``name`` lies."""
        return self.folder / name


class Cache:
    """A folder of entries, kept under ``size_cap_b`` bytes by dropping what was used longest ago, and not for a day."""

    def __init__(self, folder: Path | None = None, size_cap_b: int = 4 * 2**30) -> None:
        self.folder = folder or default_folder()
        self.size_cap_b = size_cap_b

    def entry(self, kind: str, key: str, make: Callable[[Path], dict[str, Any]]) -> Entry:
        """The entry under ``key``, made by ``make`` where there is none that is whole.

        ``make`` writes files into the folder it is given and returns the entry's meta. Raises StoreError when the disk
        refuses, and whatever ``make`` raises.
        """
        folder = self.folder / kind / key[:2] / key
        found = self._read(folder)
        if found is not None:
            return found
        with disk(f"the cache {self.folder}"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        try:
            meta = make(work)
            with disk(f"the cache {self.folder}"):
                hashes = {path.name: file_sha256(path) for path in sorted(work.iterdir())}
                write_durably(work / _MANIFEST, json.dumps({"meta": meta, "sha256": hashes}).encode())
                self._install(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self._shrink()
        return self._read(folder) or Entry(folder, meta, hashes)  # as read: another process may have been quicker

    def _read(self, folder: Path) -> Entry | None:
        """The entry in ``folder`` if there is one and every byte of it is as it was written."""
        manifest = folder / _MANIFEST
        if not manifest.exists():
            return None
        try:
            values = json.loads(manifest.read_bytes())
            entry = Entry(folder, dict(values["meta"]), dict(values["sha256"]))
            damaged = [name for name, sha256 in entry.sha256.items() if file_sha256(folder / name) != sha256]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            damaged = [_MANIFEST]
        if damaged:
            _log.warning("cache entry %s is damaged (%s): thrown away and made again", folder, ", ".join(damaged))
            shutil.rmtree(folder, ignore_errors=True)
            return None
        with suppress(OSError):  # dropped meanwhile, or a cache that may only be read
            os.utime(manifest)  # its age is how long it has not been used
        return entry

    def _install(self, work: Path, folder: Path) -> None:
        """Move the finished ``work`` to its place at once; where another process was quicker, keep what it made."""
        try:
            work.rename(folder)
        except OSError:
            if (folder / _MANIFEST).exists():
                return
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted drop has left
            work.rename(folder)

    def _shrink(self) -> None:
        entries = []
        total_b = 0
        for manifest in self.folder.glob(f"*/*/*/{_MANIFEST}"):
            try:
                size_b = sum(path.stat().st_size for path in manifest.parent.iterdir())
                entries.append((manifest.stat().st_mtime, size_b, manifest.parent))
            except OSError:  # another process dropped it meanwhile
                continue
            total_b += size_b
        spared_since_s = time.time() - _SPARED_S
        for work in self.folder.glob("*/*/.making-*"):  # of processes that were killed
            with suppress(OSError):
                if work.stat().st_mtime < spared_since_s:
                    shutil.rmtree(work, ignore_errors=True)
        for used_s, size_b, folder in sorted(entries):
            if total_b <= self.size_cap_b or used_s > spared_since_s:
                return
            shutil.rmtree(folder, ignore_errors=True)
            total_b -= size_b


def default_folder() -> Path:
    """``$JOULEFRONT_CACHE``, or the user's cache folder as the platform has it."""
    return Path(os.environ.get("JOULEFRONT_CACHE") or platformdirs.user_cache_dir("joulefront"))


def key_of(**inputs: Any) -> str:
    """A hash of everything that decides an outcome; the values are plain, as JSON has them."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, allow_nan=False).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    work = path.with_name(f".{path.name}-{secrets.token_hex(8)}")  # with the rights that the user's umask gives
    try:
        with work.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
    except BaseException:
        work.unlink(missing_ok=True)
        raise


def require_room(folder: Path, size_b: int) -> None:
    """Raises StoreError unless ``size_b`` bytes can be written in ``folder``, by disk, quota and limits, right now.

    For what is written by code that a full disk would kill: LLVM aborts the process.
    """
    with disk(str(folder)), tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size_b)


@contextmanager
def disk(what: str) -> Iterator[None]:
    """Turns what a disk refuses (no room, no permission) into a StoreError that names ``what`` was written."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{what} cannot be written: {error.strerror or error}; make room, then run the same command again"
        ) from error


def short(sha256: str) -> str:
    """As much of a hash as tells what was changed."""
    return sha256[:16]
