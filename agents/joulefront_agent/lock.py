"""One session a device: an agent holds a lock file for its life, and says in it whose it is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from joulefront_agent.wire import Failure

_TAKE_OVER_S = 10.0
_LOOK_S = 0.02
_TOLD = ("session", "host")


def take(path: Path, session: str) -> int:
    """Lock the file at ``path``, which is made where there is none, and return its descriptor: the lock ends with it.

    An agent of the same ``session`` that holds it was left over by a connection that broke: it is killed, and its child
    dies with it. Raises Failure (Busy) when another session's holds it, or the lock cannot be had within 10 s.
    """
    try:
        # Python opens it so that no program that the agent starts inherits it.
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Failure("Busy", f"whether another session measures on it cannot be told: {error}") from error
    try:
        _wait(lock, session)
        os.ftruncate(lock, 0)
        os.pwrite(lock, _words(session), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _wait(lock: int, session: str) -> None:
    """Get the lock, from another agent if need be. Raises Failure (Busy)."""
    deadline_s = time.monotonic() + _TAKE_OVER_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = _holder(lock)
        # Right after the lock has gone from one to the next, the file still tells of the one before, which has ended.
        if holder is not None and _is_agent(holder["pid"]):
            if holder["session"] != session:
                origin = f" (from {holder['host']})" if holder["host"] else ""
                raise Failure("Busy", f"another session{origin} measures on it since {_utc(holder['since'])}")
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(holder["pid"], signal.SIGKILL)
        if time.monotonic() > deadline_s:
            raise Failure("Busy", f"another agent measures on it, and did not end within {_TAKE_OVER_S:g} s")
        time.sleep(_LOOK_S)


def _words(session: str) -> bytes:
    connection = os.environ.get("SSH_CONNECTION", "").split()
    host = connection[0] if connection else None
    return json.dumps({"pid": os.getpid(), "session": session, "since": time.time(), "host": host}).encode()


def _holder(lock: int) -> dict[str, Any] | None:
    """What the one that has the lock wrote; None while it has not yet."""
    try:
        table = json.loads(os.pread(lock, 4096, 0))
        return {"pid": int(table["pid"]), "since": float(table["since"]), **{key: table[key] for key in _TOLD}}
    except (ValueError, KeyError, TypeError):
        return None


def _is_agent(pid: int) -> bool:
    """Whether a process is one, and not another that has come by the same number."""
    try:
        return b"joulefront_agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC by its clock", time.gmtime(seconds))
