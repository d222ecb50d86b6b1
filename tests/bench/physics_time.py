"""Virtual time for threads that wait for it."""

from __future__ import annotations

import math
import threading


class Waiting:
    """Threads that wait for a time to come: one that spends time lets each of them go on when it is due."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known: set[threading.Thread] = set()
        self._until: dict[threading.Thread, float] = {}

    def join(self, thread: threading.Thread | None = None) -> None:
        """That thread, or the calling one, is one of them from now on: no time passes until it waits, or ends."""
        self._known.add(thread or threading.current_thread())

    def wait(self, event: threading.Event, until_s: float) -> None:
        """Wait for the time, or the event."""
        this = threading.current_thread()
        with self._changed:
            self._until[this] = until_s
            self._changed.notify_all()
            while this in self._until and not event.is_set():
                self._changed.wait(1e-3)  # whoever sets the event knows nothing of this
            self._until.pop(this, None)

    def next_s(self) -> float:
        """When the next of them is due."""
        if not self._known:
            return math.inf
        with self._changed:
            return min(self._until.values(), default=math.inf)

    def release(self, now_s: float) -> None:
        """Let those who are due go on, until they wait again."""
        if not self._known:
            return
        with self._changed:
            due = [thread for thread, until_s in self._until.items() if until_s <= now_s]
            for thread in due:
                del self._until[thread]
            self._changed.notify_all()
        if due:
            self.gather()

    def gather(self) -> None:
        """Wait until all of them wait, or have ended."""
        if not self._known:
            return
        with self._changed:
            while busy := [thread for thread in self._known if thread not in self._until]:
                self._known -= {thread for thread in busy if not thread.is_alive()}
                if any(thread.is_alive() for thread in busy):
                    self._changed.wait(1e-3)
