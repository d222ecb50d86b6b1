"""One session a device: an agent holds a lock file for its life, and says in it whose it is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path

from joulefront_agent.install import holder_of, is_at, words_for
from joulefront_agent.wire import Failure

_TAKE_OVER_S = 10.0
_LOOK_S = 0.02


def take(path: Path, session: str) -> int:
    """Lock the file at ``path``, which is made where there is none, and return its descriptor: the lock ends with it.

    An agent of the same ``session`` that holds it was left over by a connection that broke: it is killed, and its child
    dies with it. Raises Failure (Busy) when another session's holds it, or the lock cannot be had within 10 s.
    """
    deadline_s = time.monotonic() + _TAKE_OVER_S
    while True:
        try:
            # Python opens it so that no program that the agent starts inherits it.
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Failure("Busy", f"whether another session measures on it cannot be told: {error}") from error
        try:
            _wait(lock, session, deadline_s)
            if is_at(lock, path):  # or else it was removed meanwhile, and locks nobody out
                os.ftruncate(lock, 0)
                os.pwrite(lock, _words(session), 0)
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _wait(lock: int, session: str, deadline_s: float) -> None:
    """Get the lock, from another agent if need be. Raises Failure (Busy)."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = holder_of(lock)
        if holder is not None:
            if holder["session"] != session:
                raise Failure("Busy", words_for(holder))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(holder["pid"], signal.SIGKILL)
        if time.monotonic() > deadline_s:
            raise Failure("Busy", f"another agent measures on it, and did not end within {_TAKE_OVER_S:g} s")
        time.sleep(_LOOK_S)


def _words(session: str) -> bytes:
    connection = os.environ.get("SSH_CONNECTION", "").split()
    host = connection[0] if connection else None
    return json.dumps({"pid": os.getpid(), "session": session, "since": time.time(), "host": host}).encode()
