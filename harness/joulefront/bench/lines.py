"""Bytes as they come, as lines."""

from __future__ import annotations

from collections import deque


class Lines:
    """Collects chunks of bytes, and gives out whole lines without their newlines."""

    def __init__(self) -> None:
        self._whole: deque[bytes] = deque()
        self._partial = bytearray()

    def add(self, chunk: bytes) -> None:
        """More bytes."""
        first, *others = chunk.split(b"\n")
        self._partial += first
        for other in others:
            self._whole.append(bytes(self._partial))
            self._partial = bytearray(other)

    def take(self) -> bytes | None:
        """The first whole line, if there is one."""
        return self._whole.popleft() if self._whole else None
