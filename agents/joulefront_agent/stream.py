"""What a child process writes, line by line while it writes it."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
from collections.abc import Iterator
from time import monotonic

_TAIL_B = 4000


class Late(Exception):  # noqa: N818 -- an outcome, no bug
    """No line came in time."""


class Stream:
    """The lines of ``child``, which was given pipes; ``request`` is what it is to read. ``errors`` is the end of its stderr."""

    def __init__(self, child: subprocess.Popen[bytes], request: bytes) -> None:
        assert child.stdin is not None
        self._child = child
        self.errors = bytearray()
        # One that ended before it read has its reasons, and they will be told.
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(request)
            child.stdin.flush()

    def lines(self, silence_s: float, end_s: float) -> Iterator[bytes]:
        """Each line without its newline, until the child closes its output.

        Raises Late when none came for ``silence_s`` after another, or when time.monotonic's clock is past ``end_s``.
        """
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        answers, words = self._child.stdout.fileno(), self._child.stderr.fileno()
        partial, next_s = b"", end_s
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ)
            selector.register(words, selectors.EVENT_READ)
            while True:
                left_s = min(next_s, end_s) - monotonic()
                if left_s <= 0:
                    raise Late
                for key, _ in selector.select(left_s):
                    chunk = os.read(key.fd, 1 << 16)
                    if key.fd == words:
                        self._keep(chunk)
                        if not chunk:
                            selector.unregister(words)
                        continue
                    if not chunk:
                        return
                    *whole, partial = (partial + chunk).split(b"\n")
                    if whole:
                        next_s = monotonic() + silence_s
                    yield from whole

    def end(self, wait_s: float) -> int | None:
        """The child's exit status, with the rest of its stderr kept; None when it has not ended by then."""
        assert self._child.stderr is not None
        if not self._child.stderr.closed:
            try:
                self._keep(self._child.communicate(timeout=wait_s)[1])
            except subprocess.TimeoutExpired:
                return None
        return self._child.returncode

    def _keep(self, words: bytes) -> None:
        self.errors += words
        del self.errors[:-_TAIL_B]
