"""One session a device: two that measure at once would disturb each other, and neither would know."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from joulefront.errors import BenchError, DeviceBusy


@contextmanager
def hold(device: str) -> Iterator[None]:
    """Hold the device of that name, as this user on this host. Raises DeviceBusy when another session does."""
    folder = _folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / f"{device}.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise DeviceBusy(
            f"another session measures on the device {device!r} ({lock.lock_file} is locked): wait for it, or end it"
        ) from None
    except OSError as error:
        raise BenchError(f"the device {device!r} cannot be locked under {folder}: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _folder() -> Path:
    """This user's folder for what lives as long as a session; the usual one where no variable names it, as in cron."""
    usual = Path(f"/run/user/{os.getuid()}")
    named = os.environ.get("XDG_RUNTIME_DIR") or (str(usual) if os.access(usual, os.W_OK) else None)
    return Path(named) / "joulefront" if named else Path(tempfile.gettempdir()) / f"joulefront-{os.getuid()}"
