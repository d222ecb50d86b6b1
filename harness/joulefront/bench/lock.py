"""One session a device: two that measure at once would disturb each other, and neither would know."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from joulefront.errors import BenchError, DeviceBusy


@contextmanager
def hold(device: str, machine: str | None = None) -> Iterator[None]:
    """Hold the device of that name, or the machine that it turned out to be, as this user on this host.

    The files of two devices may name the same machine. Raises DeviceBusy when another session holds it.
    """
    folder = _folder()
    # No device's name has a colon.
    name = device if machine is None else f"machine:{quote(machine, safe='')}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_private(folder)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire(timeout=0)
    except Timeout:
        held = (
            f"the device {device!r}" if machine is None else f"the machine of the device {device!r}, by whatever name,"
        )
        raise DeviceBusy(
            f"another session measures on {held} ({lock.lock_file} is locked): wait for it, or end it"
        ) from None
    except OSError as error:
        raise BenchError(f"the device {device!r} cannot be locked under {folder}: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _folder() -> Path:
    """This user's folder for what lives as long as a session: as the variable says, or the usual one, as in cron, or
    one among the temporary files when neither can be written to."""
    for runtime in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK | os.X_OK):
            return Path(runtime) / "joulefront"
    return Path(tempfile.gettempdir()) / f"joulefront-{os.getuid()}"


def _check_private(folder: Path) -> None:
    """Anyone may have made a folder in /tmp before us. Raises BenchError for one that is not this user's alone."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BenchError(
            f"{folder}, where devices are locked, is not a folder of this user alone: "
            f"chmod 700 {folder} when it is yours, or else have XDG_RUNTIME_DIR name a folder that is"
        )
