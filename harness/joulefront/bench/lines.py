"""Bytes as they come, as lines."""

from __future__ import annotations

from collections import deque

from joulefront.errors import WireMismatch
from joulefront_agent import wire


class Lines:
    """Collects chunks of bytes, and gives out whole lines without their newlines, none longer than the protocol has."""

    def __init__(self) -> None:
        self._whole: deque[bytes] = deque()
        self._partial = bytearray()

    def add(self, chunk: bytes) -> None:
        """More bytes. Raises WireMismatch for a line that does not end."""
        first, *others = chunk.split(b"\n")
        self._partial += first
        for other in others:
            self._whole.append(bytes(self._partial))
            self._partial = bytearray(other)
        if len(self._partial) > wire.LINE_LIMIT_B:
            raise WireMismatch(
                f"what the agent writes is not of the protocol: a line of more than {wire.LINE_LIMIT_B} bytes"
            )

    def take(self) -> bytes | None:
        """The first whole line, if there is one."""
        return self._whole.popleft() if self._whole else None
