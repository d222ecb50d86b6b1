"""Functions timed in turns, round by round, so that whatever drifts or disturbs strikes all of them alike."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

from joulefront_agent import blame, timing
from joulefront_agent.functions import Calls
from joulefront_agent.window import raw_s
from joulefront_agent.wire import Failure
from joulefront_agent.wire_time import Step

_BLOCK_S = 2e-5
_MOST_BLOCKS = 1000
_MOST_STEPS = 10


class Turn:
    """One function's turns: each for about ``slice_s``, in blocks of calls that a reading of the clock does not lengthen.

    With ``alone`` each block is one call.
    """

    def __init__(self, calls: Calls, slice_s: float, alone: bool, clock: Callable[[], float] = raw_s) -> None:
        self._calls = calls
        self._slice_s = slice_s
        self._alone = alone
        self._clock = clock
        self._number, self._repeat = 1, 1

    def take(self) -> float:
        """The median of the blocks' seconds per call. Raises Failure (BadClock), and whatever the function raises."""
        for _ in range(_MOST_STEPS):
            began_s = self._clock()
            blocks = self._calls(self._number, self._repeat)
            took_s = self._clock() - began_s
            taken = [seconds for seconds in blocks if seconds > 0]  # the runtime's clock may be set back, or forward
            if taken and timing.fits([self._number * seconds for seconds in taken], took_s):
                break
        else:
            raise Failure(
                "BadClock",
                f"the device's time of day does not go on: {_MOST_STEPS} turns took no time, or more than went by",
            )
        call_s = statistics.median(taken)
        if self._alone:
            block_s = took_s / self._repeat  # with what is done before each call
        else:
            self._number = max(1, math.ceil(_BLOCK_S / call_s))
            block_s = self._number * call_s
        self._repeat = max(1, min(_MOST_BLOCKS, round(self._slice_s / block_s)))
        return call_s


def take(
    turns: Mapping[int, Turn],
    rounds: int,
    limit_s: float,
    report: Callable[[Step], None],
    clock: Callable[[], float] = raw_s,
) -> None:
    """Give each function, by its number, a turn in each of ``rounds`` rounds, after two in which they warm up.

    No round begins that would end after ``limit_s``, but one always runs. A function that raises is told and has no
    further turn. Raises Failure (BadClock).
    """
    left = dict(turns)
    began_s = clock()
    for number in range(-2, rounds):  # the first of those calls once, the second for as long as the others
        if number > 0 and (clock() - began_s) * (1 + 1 / (number + 1)) > limit_s:
            return
        for function, turn in list(left.items()):
            report(Step(function))
            try:
                seconds = turn.take()
            except Failure:
                raise
            except Exception as error:  # noqa: BLE001 -- the runtime raises anything; the others are well
                report(Step(function, error=blame.of_error(error)))
                del left[function]
            else:
                if number >= 0:
                    report(Step(function, seconds))
