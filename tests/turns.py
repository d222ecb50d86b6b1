"""Virtual time for a meter that samples in a thread of its own: time passes when the test says so, and the thread keeps up."""

from __future__ import annotations

import threading
from types import SimpleNamespace

_LIMIT_S = 60.0  # real time after which a thread that does not come back is none of ours


class Turns:
    """``now_s`` is what the meters' modules take for CLOCK_MONOTONIC_RAW, in s."""

    def __init__(self, patch) -> None:
        self._now_s = 1000.0
        self._changed = threading.Condition()
        self._until: dict[threading.Thread, float] = {}
        self._at_work: set[threading.Thread] = set()
        for module in ("span", "sampling"):
            patch.setattr(f"joulefront.bench.meters.{module}.clock_gettime", lambda clock: self._now_s)
        threads = SimpleNamespace(Event=lambda: _Event(self), Thread=self._thread)
        patch.setattr("joulefront.bench.meters.sampling.threading", threads)

    def now_s(self):
        return self._now_s

    def pass_by(self, seconds):
        """So much time passes; whoever waits for a moment in it is done with that moment before the next one comes."""
        end_s = self._now_s + seconds
        with self._changed:
            while True:
                waiting = self._changed.wait_for(self._all_wait, _LIMIT_S)
                assert waiting, "a thread that samples does not come back"
                next_s = min(self._until.values(), default=end_s)
                self._now_s = min(end_s, next_s)
                if next_s > end_s or not self._until:
                    return
                self._changed.notify_all()
                for thread in [one for one, until_s in self._until.items() if until_s <= self._now_s]:
                    del self._until[thread]

    def _thread(self, target, **arguments):
        def work():
            try:
                target()
            finally:
                with self._changed:
                    self._at_work.discard(threading.current_thread())
                    self._changed.notify_all()

        thread = threading.Thread(target=work, **arguments)
        self._at_work.add(thread)
        return thread

    def _all_wait(self):
        return self._at_work <= set(self._until)


class _Event:
    def __init__(self, turns):
        self._turns, self._set = turns, False

    def set(self):
        with self._turns._changed:
            self._set = True
            self._turns._changed.notify_all()

    def clear(self):
        self._set = False

    def wait(self, seconds):
        turns, this = self._turns, threading.current_thread()
        with turns._changed:
            turns._until[this] = turns._now_s + seconds
            turns._changed.notify_all()
            while this in turns._until and not self._set:
                turns._changed.wait(_LIMIT_S)
            turns._until.pop(this, None)
        return self._set
