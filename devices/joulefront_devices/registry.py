"""The files of the user's own devices: where they are, and how they are changed without harm to what a user wrote."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from joulefront.errors import ConfigError, StoreError

VARIABLE = "JOULEFRONT_DEVICES"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Changes = Mapping[tuple[str, ...], Any]
"""New values by the keys that lead to them, such as ("transport", "port"); None removes one."""


def folder() -> Path:
    """``$JOULEFRONT_DEVICES``, or else where the platform keeps the user's settings."""
    return Path(os.environ.get(VARIABLE) or Path(platformdirs.user_config_dir("joulefront")) / "devices").expanduser()


def names() -> tuple[str, ...]:
    """The names of all registered devices."""
    return tuple(sorted(file.stem for file in folder().glob("*.toml") if re.fullmatch(NAME, file.stem)))


def file_of(name: str) -> Path:
    """Where the device of that name is registered, or would be. Raises ConfigError for what is no device's name."""
    if not re.fullmatch(NAME, name) or name.endswith(".toml"):
        raise ConfigError(f"device {name!r}: expected a name of letters, digits, dots, dashes and underscores")
    return folder() / f"{name}.toml"


def changed(text: str, changes: Changes) -> str:
    """The TOML ``text`` with the changes made, and with the comments and the order that it had."""
    import tomlkit

    document = tomlkit.parse(text)
    for (*above, key), value in changes.items():
        table: Any = document
        for part in above:
            table = table.setdefault(part, tomlkit.table())
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return tomlkit.dumps(document)


def write(file: Path, data: str) -> None:
    """Write a file for this user's eyes alone; after a crash it is there whole or as it was. Raises StoreError.

    Of one that is a symbolic link, what it leads to is written. What is no Unicode character becomes a question mark.
    """
    try:
        final = file.resolve()
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{final.name}-", dir=final.parent)  # 0600
        try:
            with os.fdopen(descriptor, "wb") as written:
                written.write(data.encode("utf-8", errors="replace"))
                written.flush()
                os.fsync(written.fileno())
            Path(partial).replace(final)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        directory = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror or error}") from error
    except RuntimeError as error:  # how Python before 3.13 says that links go round in a circle
        raise StoreError(f"{file} cannot be written: {error}") from error


def remove(file: Path) -> None:
    """Remove a file; one that is gone already is no mistake. Raises StoreError."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{file} cannot be removed: {error.strerror or error}") from error
