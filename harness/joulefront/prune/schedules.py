"""When to prune how much: at once, step by step, during fine-tuning, or as far as the accuracy allows.

A schedule knows nothing of models. It is told what was tried and says what to try next; whoever drives it (``prune_model``)
makes the networks:

    history = [Tried(0.0, metric of the unpruned network)]
    while (step := schedule.next(history)) is not None:
        ...make a network out of that of history[step.start], with the share step.ratio gone; recover it; judge it...
        history.append(Tried(step.ratio, its metric))
    index of what is left in the end = schedule.result(history)

A *ratio* is a share of the unpruned network, from 0 to below 1, of whatever is pruned (channels, weights): a step from a
network that has lost 0.2 to 0.5 takes out another 0.3 of the whole. Of a step with a ``course``, that share goes
during fine-tuning, not before it: at optimiser step t of n (from 0), ``course(t, n)`` is the share that is to be zero
from then on, or None where nothing changes at t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from joulefront.errors import ConfigError

Course = Callable[[int, int], float | None]
"""From the optimiser step (from 0) and their number to the share that is to be zero from then on; None: as it is."""

READY: Mapping[str, str] = MappingProxyType(
    {
        name: f"joulefront.prune.schedules:{found}"
        for name, found in (
            ("one-shot", "OneShot"),
            ("iterative", "Iterative"),
            ("gradual", "Gradual"),
            ("adaptive", "Adaptive"),
        )
    }
)
"""The ready-made schedules: their names and where each is found. Each is given ``target``; the rest are arguments."""


_NOTHING = 1e-9  # sums of steps are not exact


@dataclass(frozen=True, slots=True)
class Tried:
    """A network that a schedule asked for: the share of the unpruned one that it has lost, and its metric when recovered.

    The metric is the validation split's, higher is better; None where there is no data to judge it by.
    """

    ratio: float
    metric: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """What to make next: out of the network at ``start`` in the history, one with the share ``ratio`` of the unpruned
    network gone; during fine-tuning where there is a ``course``."""

    start: int
    ratio: float
    course: Course | None = None


class Schedule(Protocol):
    """What to prune next, a pure function of the history; its first entry is the unpruned network, of ratio 0."""

    def next(self, history: Sequence[Tried]) -> Step | None:
        """The next step, of a ratio above that of the network it starts from; None when there is no more to do."""
        ...

    def result(self, history: Sequence[Tried]) -> int:
        """Where in the history the network is that is left in the end."""
        ...


@dataclass(frozen=True, slots=True)
class OneShot:
    """The whole ``target`` in one step."""

    target: float

    def __post_init__(self) -> None:
        _check_target(self.target)

    def next(self, history: Sequence[Tried]) -> Step | None:
        """One step from the unpruned network."""
        return Step(0, self.target) if len(history) == 1 else None

    def result(self, history: Sequence[Tried]) -> int:
        """The last network."""
        return len(history) - 1


@dataclass(frozen=True, slots=True)
class Iterative:
    """The ``target`` in ``steps`` equal steps, each recovered, until a network's metric is below ``floor``.

    The result is the last network that is not below it. Raises ConfigError for a target, a number of steps or a floor that
    cannot be.
    """

    target: float
    steps: int = 5
    floor: float | None = None

    def __post_init__(self) -> None:
        _check_target(self.target)
        _check("steps", self.steps, self.steps >= 1, "a whole number of at least 1")

    def next(self, history: Sequence[Tried]) -> Step | None:
        """The next equal step, from the last network, while that is not below the floor."""
        done = len(history) - 1
        if done == self.steps or (done and not _reaches(history[-1], self.floor)):
            return None
        return Step(done, self.target * (done + 1) / self.steps)

    def result(self, history: Sequence[Tried]) -> int:
        """The last network that is not below the floor; the unpruned one where none is."""
        return _last_kept(history, self.floor)


@dataclass(frozen=True, slots=True)
class Gradual:
    """The ``target`` during one fine-tuning, fast at first: the polynomial of Zhu and Gupta (2017, arXiv:1710.01878, eq. 1).

    s_t = s_f + (s_i - s_f) (1 - (t - t0) / (t1 - t0))³, with s_i = 0, s_f = ``target``, t0 = ``start_step``,
    t1 = ``end_step`` and t in steps of ``every``. Steps are the optimiser's, from 0; the end is three quarters of them
    where it is not given, so that what is left is fine-tuned. Raises ConfigError for steps that cannot be.
    """

    target: float
    start_step: int = 0
    end_step: int | None = None
    every: int = 10

    def __post_init__(self) -> None:
        _check_target(self.target)
        _check("start_step", self.start_step, self.start_step >= 0, "a whole number of at least 0")
        _check("every", self.every, self.every >= 1, "a whole number of at least 1")
        if self.end_step is not None:
            _check(
                "end_step", self.end_step, self.end_step > self.start_step, f"more than start_step, {self.start_step}"
            )

    def next(self, history: Sequence[Tried]) -> Step | None:
        """One step from the unpruned network, with a course."""
        return Step(0, self.target, self.course) if len(history) == 1 else None

    def result(self, history: Sequence[Tried]) -> int:
        """The last network."""
        return len(history) - 1

    def course(self, step: int, steps: int) -> float | None:
        """The share to be zero from optimiser step ``step`` of ``steps`` on; None where it stays as it is.

        Raises ConfigError where the fine-tuning ends before the course does.
        """
        end = self.end_step if self.end_step is not None else max(self.start_step + 1, steps * 3 // 4)
        if end >= steps:
            raise ConfigError(
                f"schedule gradual: it prunes until optimiser step {end}, but fine-tuning has {steps}: recover for more epochs, "
                f"or set an end_step below {steps}"
            )
        if not self.start_step <= step <= end or ((step - self.start_step) % self.every and step != end):
            return None
        left = 1 - (step - self.start_step) / (end - self.start_step)
        return self.target * (1 - left**3)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """As far towards ``target`` as the metric stays at ``floor`` or above: each network below it halves the step.

    The first step is ``step``. What falls below the floor is given up: half of the step is tried from the last
    network that did not, down to steps of ``smallest``. Raises ConfigError for a target or steps that cannot be.
    """

    target: float
    floor: float
    step: float = 0.2
    smallest: float = 0.025

    def __post_init__(self) -> None:
        _check_target(self.target)
        _check("smallest", self.smallest, 0 < self.smallest < 1, "between 0 and 1")
        _check("step", self.step, self.smallest <= self.step < 1, f"at least smallest, {self.smallest:g}, and below 1")

    def next(self, history: Sequence[Tried]) -> Step | None:
        """A step from the last network that is not below the floor, halved for each that was."""
        size, done = self.step, 0.0
        for tried in history[1:]:
            if _reaches(tried, self.floor):
                done = tried.ratio
            else:
                size = (tried.ratio - done) / 2  # of what was tried: near the target that is less than a whole step
        if self.target - done < _NOTHING or size < self.smallest - _NOTHING:
            return None
        reached = done + size
        return Step(_last_kept(history, self.floor), self.target if self.target - reached < _NOTHING else reached)

    def result(self, history: Sequence[Tried]) -> int:
        """The last network that is not below the floor; the unpruned one where none is."""
        return _last_kept(history, self.floor)


def _last_kept(history: Sequence[Tried], floor: float | None) -> int:
    return max((index for index, tried in enumerate(history) if index and _reaches(tried, floor)), default=0)


def _reaches(tried: Tried, floor: float | None) -> bool:
    """Whether a network's metric is at the floor or above. Raises ConfigError where there is a floor and no metric."""
    if floor is None:
        return True
    if tried.metric is None:
        raise ConfigError("a schedule with a floor needs a task with a validation split to judge networks by")
    return tried.metric >= floor


def _check_target(target: float) -> None:
    _check("target", target, 0 < target < 1, "a share above 0 and below 1")


def _check(name: str, value: float, holds: bool, expected: str) -> None:
    if not holds:
        raise ConfigError(f"schedule {name}: expected {expected}, not {value:g}")
