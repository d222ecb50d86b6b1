"""The SQLite database of a study's folder: one process that writes, any that read, and each transaction whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sql
from filelock import FileLock, Timeout
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError

from joulefront import schema
from joulefront.cache import disk
from joulefront.errors import ConfigError, StoreError

FILE = "study.sqlite"
_LOCK = ".lock"


class Database:
    """The database in ``folder``, which is there: made now if it is to be written to and there is none. Close it.

    ``format`` is the ``schema.VERSION`` that wrote it. Raises ConfigError for one of another version that cannot be read, and
    StoreError when another process writes there or the disk refuses.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._folder = folder
        self._lock = FileLock(folder / _LOCK) if writable else None
        if self._lock:
            self._take_lock(self._lock)
        database, query = str(folder.absolute() / FILE), {}
        self._unchanged: list[tuple[int, int]] | None = None
        self._may_write = os.access(folder, os.W_OK)
        if not self._may_write:
            database, query = f"file:{quote(database)}", {"mode": "ro", "uri": "true"}
            seen = written_to(folder)
            if not seen[1][1]:
                # SQLite shares memory in a file beside the database, unless it is told that nothing changes there. With a
                # log it must not be told so: what was recorded last stands in there alone, and whoever writes shares it.
                self._unchanged, query["immutable"] = seen, "1"
        address = sql.URL.create("sqlite", database=database, query=query)
        self.engine = sql.create_engine(address, poolclass=sql.pool.NullPool)
        if writable:
            event.listen(self.engine, "connect", _write_through)
        self._reading: sql.Connection | None = None
        self.format = 0
        try:
            self._check_schema(create=writable)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sql.Connection]:
        """What is done meanwhile is done as a whole or not at all. Raises StoreError when the disk refuses."""
        if self._reading is not None:
            yield self._reading
            return
        try:
            with self.engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            self._check_unchanged()
            remedy = "Make room or mend the disk" if self._may_write else "Get leave to write there"
            raise StoreError(
                f"{self._folder / FILE}: {error.orig}; nothing more was written. "
                f"{remedy}, then run the same command again"
            ) from error
        self._check_unchanged()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Meanwhile, everything that is read is of one moment, whatever another process writes."""
        if self._reading is not None:
            yield
            return
        with self.transaction() as connection:
            connection.exec_driver_sql("BEGIN")  # by itself, the driver begins none for what only reads
            self._reading = connection
            try:
                yield
            finally:
                self._reading = None

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self.engine.dispose()
        if self._lock:
            self._lock.release()

    def _take_lock(self, lock: FileLock) -> None:
        with disk(str(self._folder)):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StoreError(
                    f"{self._folder}: another process is searching there; wait for it, or stop it"
                ) from None

    def _check_schema(self, *, create: bool) -> None:
        with self.transaction() as connection:
            self.format = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            if self.format < schema.VERSION and create:  # what an older one lacks are whole tables
                schema.tables.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {schema.VERSION}")
                self.format = schema.VERSION
        if not 1 <= self.format <= schema.VERSION:
            raise ConfigError(
                f"{self._folder}: written by another version of Joulefront (format {self.format}, expected {schema.VERSION})"
            )

    def _check_unchanged(self) -> None:
        if self._unchanged not in (None, written_to(self._folder)):
            raise StoreError(f"{self._folder} was written to while it was read: run the same command again")


def written_to(folder: Path) -> list[tuple[int, int]]:
    """What changes whenever the study in ``folder`` is written to: time and size, of its database and of the log beside it."""
    return [_stamp(folder / f"{FILE}{end}") for end in ("", "-wal")]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _write_through(connection: Any, _: object) -> None:
    """A trial that was recorded survives a power cut, and readers see a study while it grows."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
