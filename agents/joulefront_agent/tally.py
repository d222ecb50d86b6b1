"""What is known of functions that are being timed: by one child, or by several when a function ends the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from joulefront_agent.wire import Failure
from joulefront_agent.wire_time import Step, Timed, Timing


class Tally:
    """The seconds of each function in whole rounds, so that what is compared was timed side by side."""

    def __init__(self, timing: Timing, clock: Callable[[], float] = monotonic) -> None:
        self._timing = timing
        self._clock = clock
        began_s = clock()
        self._limit_s = began_s + timing.limit_s
        self.end_s = began_s + timing.end_s
        self._seconds: list[list[float]] = [[] for _ in timing.functions]
        self._errors: dict[int, Failure] = {}
        self._left = list(range(len(timing.functions)))
        self._at_work: int | None = None

    def rest(self) -> Timing | None:
        """What the next child is to time; None when there is nothing left, or no time for it."""
        self._at_work = None
        done = self._cut()
        left_s = self._limit_s - self._clock()
        if not self._left or done == self._timing.rounds or (done and left_s <= 0) or self._clock() >= self.end_s:
            return None
        return replace(
            self._timing,
            functions=tuple(self._timing.functions[number] for number in self._left),
            rounds=self._timing.rounds - done,
            limit_s=max(left_s, 0.0),
        )

    def note(self, step: Step) -> None:
        """What a child says, of the functions that it was given."""
        number = self._at_work = self._left[step.function]
        if step.error is not None:
            self._errors[number] = step.error
        elif step.seconds is not None:
            self._seconds[number].append(step.seconds)

    def blame(self, failure: Failure) -> None:
        """The function at work has ended the child. Raises the failure when none was: then it is the library's.

        Where another child came as far as that, it was only too late for this one.
        """
        if self._at_work is not None:
            self._errors[self._at_work] = failure
        elif not self._errors or self._clock() < self.end_s:
            raise failure

    def timed(self, before: dict[str, Any], after: dict[str, Any]) -> Timed:
        """The answer. A function that had no whole round when the time was up says so."""
        done = self._cut()
        late = Failure("Skipped", f"the {self._timing.end_s:g} s for all functions were up before its first round was")
        functions = (
            self._errors.get(number) or (tuple(seconds[:done]) if done else late)
            for number, seconds in enumerate(self._seconds)
        )
        return Timed(tuple(functions), before, after)

    def _cut(self) -> int:
        """Drop what was begun of a round, and those that failed; returns how many rounds all that are left have."""
        self._left = [number for number in self._left if number not in self._errors]
        done = min((len(self._seconds[number]) for number in self._left), default=0)
        for number in self._left:
            del self._seconds[number][done:]
        return done
