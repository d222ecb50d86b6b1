"""What tuning found quickest on a device: one small SQLite database a device, beside the device's own file.

What is in it was measured on that device, for one target, by one version of the kernels' source; for any other there is
nothing to be found. It may be removed at any time, and tuning makes it again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError

from joulefront.config import Table
from joulefront.errors import StoreError
from joulefront.kernel_records import Variant, Workload
from joulefront.records import Provenance, Target
from joulefront_devices import registry

_FORMAT = 1
_BUSY_S = 30.0
_TABLE = """
CREATE TABLE choices (
  target TEXT NOT NULL, version TEXT NOT NULL, workload TEXT NOT NULL, choice TEXT NOT NULL,
  PRIMARY KEY (target, version, workload)
) WITHOUT ROWID
"""
_REFUSALS = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The variant that was found quickest, its seconds per call and those of the untuned one, in s.

    ``at`` is when, in ISO 8601; ``provenance`` says whether a device took those seconds or an emulator of one.
    """

    variant: Variant
    latency_s: float
    untuned_s: float
    at: str
    provenance: Provenance


class Snapshot(Mapping[str, Variant]):
    """The variants found for one target and one version of the kernels, by the workload's text: as they were, for good."""

    def __init__(self, variants: Mapping[str, Variant]) -> None:
        self._variants = dict(sorted(variants.items()))

    @property
    def key(self) -> str:
        """The same for the same variants, in any process: what a compiled library's key is made of."""
        text = "\n".join(f"{workload}\t{variant!r}" for workload, variant in self._variants.items())
        return sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def of(cls, plain: Mapping[str, tuple[str, Mapping[str, Sequence[int]]]]) -> Self:
        """The snapshot that ``plain`` told of."""
        return cls(
            {
                workload: Variant(kernel, tuple((name, tuple(values)) for name, values in parameters.items()))
                for workload, (kernel, parameters) in plain.items()
            }
        )

    @property
    def plain(self) -> dict[str, tuple[str, dict[str, tuple[int, ...]]]]:
        """All of it as plain values, that can be stored as JSON."""
        return {workload: (variant.kernel, dict(variant.parameters)) for workload, variant in self._variants.items()}

    def __getitem__(self, workload: str) -> Variant:
        return self._variants[workload]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variants)

    def __len__(self) -> int:
        return len(self._variants)

    def __hash__(self) -> int:
        return hash(tuple(self._variants.items()))


NOTHING = Snapshot({})


class Database:
    """What is known of one device. It is read and written at each call, by any number of processes at once.

    Each call raises StoreError, which names the file, where that cannot be read or written or is no such database.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def of(cls, device: str, folder: Path = Path()) -> Self:
        """The database of the device of that name, or of the .toml file at that path, which is relative to ``folder``.

        Raises ConfigError for what is no device's name.
        """
        own = folder / Path(device).expanduser() if device.endswith(".toml") else registry.file_of(device)
        return cls(own.with_suffix(".kernels"))

    def best(self, target: Target, version: str, workload: Workload) -> Choice | None:
        """What was found for a workload; None where nothing was."""
        query = "SELECT workload, choice FROM choices WHERE target = ? AND version = ? AND workload = ?"
        found = self._read(query, (_text_of(target), version, workload.text))
        return found[0][1] if found else None

    def snapshot(self, target: Target, version: str) -> Snapshot:
        """All that was found for a target by one version of the kernels."""
        query = "SELECT workload, choice FROM choices WHERE target = ? AND version = ?"
        found = self._read(query, (_text_of(target), version))
        return Snapshot({workload: choice.variant for workload, choice in found})

    def record(self, target: Target, version: str, workload: Workload, choice: Choice) -> None:
        """Remember what was found, on the disk before this returns; in the place of what was found before."""
        row = (_text_of(target), version, workload.text, _Stored.of(choice).model_dump_json())
        with self._errors("written"):
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_CREAT | os.O_WRONLY, 0o600))  # SQLite's own would be for all to read
            with closing(sqlite3.connect(self.file, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                if self._is_empty(connection):
                    connection.execute(_TABLE)
                    connection.execute(f"PRAGMA user_version = {_FORMAT}")
                connection.execute("INSERT OR REPLACE INTO choices VALUES (?, ?, ?, ?)", row)
                connection.execute("COMMIT")

    def drop(self) -> None:
        """Forget all of it; where there is nothing, that is no mistake."""
        registry.remove(self.file)
        registry.remove(self.file.with_name(f"{self.file.name}-journal"))  # of one that was cut short

    def _read(self, query: str, values: tuple[str, ...]) -> list[tuple[str, Choice]]:
        with self._errors("read"):
            if not self.file.exists():
                return []
            # By its URI, since reading must not make a file; to write, since what a power cut left is mended first.
            address = f"{self.file.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as connection:
                if self._is_empty(connection):
                    return []
                rows = connection.execute(query, values).fetchall()
            return [(str(workload), _Stored.model_validate_json(choice).choice()) for workload, choice in rows]

    def _is_empty(self, connection: sqlite3.Connection) -> bool:
        """Whether nothing was ever written. Raises StoreError for what another version of Joulefront has written."""
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, _FORMAT):
            raise StoreError(
                f"{self.file}: written by another version of Joulefront (format {found}, expected {_FORMAT}): "
                "use that one, or remove the file and tune again"
            )
        return bool(found == 0)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.file} cannot be {done}: {error.strerror or error}") from error
        except sqlite3.Error as error:
            # The rest of the code says more of the same.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSALS:
                raise StoreError(f"{self.file} cannot be {done}: {error}") from error
            raise self._damaged(str(error)) from error
        except (ValidationError, TypeError) as error:
            raise self._damaged(str(error).splitlines()[0]) from error

    def _damaged(self, why: str) -> StoreError:
        return StoreError(f"{self.file}: not what tuning has written ({why}): remove the file and tune again")


class _Stored(Table):
    """A choice as it is on the disk."""

    kernel: str
    parameters: dict[str, tuple[int, ...]]
    latency_s: Annotated[float, Field(gt=0)]
    untuned_s: Annotated[float, Field(gt=0)]
    at: str
    provenance: Provenance

    @classmethod
    def of(cls, choice: Choice) -> Self:
        return cls(
            kernel=choice.variant.kernel,
            parameters=dict(choice.variant.parameters),
            latency_s=choice.latency_s,
            untuned_s=choice.untuned_s,
            at=choice.at,
            provenance=choice.provenance,
        )

    def choice(self) -> Choice:
        variant = Variant(self.kernel, tuple(self.parameters.items()))
        return Choice(variant, self.latency_s, self.untuned_s, self.at, self.provenance)


def _text_of(target: Target) -> str:
    """All of a target in one line, so that another one is another key."""
    return ",".join(f"{name}={value}" for name, value in asdict(target).items())
