"""An exported folder: whole, or not there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from joulefront.cache import disk
from joulefront.errors import ConfigError

_PROGRAM = "run.py"


def require_new(out: Path) -> None:
    """Raises ConfigError when ``out`` is there, since what a user has is never overwritten, or cannot be for a file above."""
    if os.path.lexists(out):
        raise ConfigError(f"{out} exists: give another folder with --out, or remove it")
    above = next(parent for parent in out.absolute().parents if parent.exists())
    if not above.is_dir():
        raise ConfigError(f"{above} is no folder: give another folder than {out} with --out")


def write(out: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder ``out`` with these ``files``, all at once.

    Raises ConfigError when it exists, StoreError when the disk refuses: then nothing is left of it.
    """
    require_new(out)
    work = out.parent / f".{out.name}-{secrets.token_hex(4)}"
    try:
        with disk(str(out)):
            out.parent.mkdir(parents=True, exist_ok=True)
            work.mkdir()
            for name, data in files.items():
                with (work / name).open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            if _PROGRAM in files:
                (work / _PROGRAM).chmod(0o755)
            require_new(out)  # once more: writing may have taken a while
            work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
