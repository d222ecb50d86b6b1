"""A pin of the device that is high while an energy window lasts, for a meter that looks at it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from joulefront_agent.wire import Failure

PINS = r"/sys/class/(leds/[^/]+/brightness|gpio/gpio[0-9]{1,5}/value)"
"""What may be written to: an LED, which may be a pin on its own, and a pin that was exported."""

Mark = Callable[[bool], None]
"""Raises or lowers the pin."""


@contextlib.contextmanager
def pin(root: Path, path: str) -> Iterator[Mark]:
    """The pin at a ``path`` of PINS, low before and after; with an empty path, nothing is raised.

    Raises Failure (MeterError) where it cannot be written to.
    """
    if not path:
        yield lambda _: None
        return
    if not re.fullmatch(PINS, path):
        raise Failure("MeterError", f"mark: expected the file of an LED or a pin below /sys/class, not {path[:80]!r}")
    try:
        # Opened before the window, so that an edge is one write.
        file = os.open(root / path.lstrip("/"), os.O_WRONLY)
    except OSError as error:
        raise Failure(
            "MeterError", f"the pin that marks windows, {path}: {error.strerror}; docs/wiring.md says how"
        ) from error

    def mark(high: bool) -> None:
        try:
            os.pwrite(file, b"1\n" if high else b"0\n", 0)
        except OSError as error:
            raise Failure("MeterError", f"the pin that marks windows, {path}: {error.strerror}") from error

    try:
        mark(False)
        yield mark
    finally:
        with contextlib.suppress(Failure):
            mark(False)
        os.close(file)
