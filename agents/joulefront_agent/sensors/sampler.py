"""A thread that reads a sensor over and over while something else runs."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from joulefront_agent.sensors.samples import Sample, update_period
from joulefront_agent.wire import Failure

Wait = Callable[[threading.Event, float], object]
"""Waits for an event, for so many s at most."""

LEAST_PERIOD_S = 0.02
_COST_FACTOR = 50
_PROBES = 5
_MOST_FAILED = 5
_STILL_S = 2.0


@dataclass(frozen=True)
class Source:
    """What is read, and how.

    ``read`` returns a value in ``unit``, and raises OSError or ValueError. ``interval_s`` is how often the driver says that
    it is updated. ``cost`` is the processor time in s that the calling thread, and what it started, took so far. A
    ``counter`` is read until it changes, before the window as well as after it: it tells nothing in between.
    """

    name: str
    unit: str
    read: Callable[[], float]
    interval_s: float | None
    cores: Collection[int]
    clock: Callable[[], float]
    wait: Wait
    cost: Callable[[], float]
    stuck_s: float
    counter: bool = False


class Sampler:
    """Reads a source until it is ended; the window lies between its first and its last sample.

    A sample is taken every 20 ms at most, no more often than it is updated, and so that reading takes no more than a
    fiftieth of a core. The thread keeps to the source's cores, where some are given. A sample that cannot be read is lost:
    ``lost`` tells when, in s, and why, for buses have their moments. Five in a row, or one that takes longer than
    ``stuck_s``, end it. All reading is that thread's, so that a driver that blocks it blocks nobody else.
    """

    def __init__(self, source: Source) -> None:
        self.period_s = math.inf
        self.cost_s = 0.0
        self.lost: list[tuple[float, str]] = []
        self._source = source
        self._samples: list[Sample] = []
        self._failure: Failure | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joulefront-power", daemon=True)
        self._start_s = math.inf

    def update_s(self) -> float:
        """The time between two updates in s, of what was sampled so far, or between two samples."""
        return max(self.period_s, update_period(self._samples[:]) or 0.0)

    def begin(self) -> None:
        """Wait for what there has to be before a window, then begin it. Raises Failure (MeterError)."""
        self._thread.start()
        if not self._begun.wait(self._source.stuck_s):
            raise self._stuck()
        if self._failure is not None:
            raise self._failure
        self._start_s = self._source.clock()

    def end(self) -> tuple[float, float, list[Sample]]:
        """The window's start and end in s, and the samples; one after it is waited for. Raises Failure (MeterError)."""
        end_s = self._source.clock()
        self._ended.set()
        self._thread.join(self._source.stuck_s)
        if self._thread.is_alive():
            raise self._stuck()
        if self._failure is not None:
            raise self._failure
        return self._start_s, end_s, self._samples

    def _run(self) -> None:
        source, pause = self._source, threading.Event()
        if source.cores:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, source.cores)  # 0 is the calling thread
        try:
            self.period_s = self._choose()
            mark, failed, last = 0, 0, False
            began_cost_s = 0.0
            since_s = next_s = source.clock()
            while True:
                if self._ended.is_set() and not last:
                    last, since_s = True, source.clock()
                    mark = len(self._samples) - source.counter
                try:
                    self._samples.append(self._sample())
                except Failure as failure:
                    self.lost.append((source.clock(), failure.message))
                    failed += 1
                    if failed == _MOST_FAILED:
                        raise
                else:
                    failed = 0
                    if self._is_enough(mark):
                        if last:
                            self.cost_s = source.cost() - began_cost_s
                            return
                        if not self._begun.is_set():
                            began_cost_s = source.cost()
                            self._begun.set()
                if (last or not self._begun.is_set()) and source.clock() - since_s > _STILL_S + self.period_s:
                    raise Failure("MeterError", f"{source.name} stands still for {_STILL_S:g} s: the counter is stuck")
                # What came too late is left out, not made up for.
                next_s = max(next_s + self.period_s, source.clock())
                source.wait(pause if last else self._ended, next_s - source.clock())
        except Failure as failure:
            self._failure = failure
        finally:
            self._begun.set()

    def _is_enough(self, mark: int) -> bool:
        """Whether there is a sample from ``mark`` on; of a counter, one that differs from the one there."""
        since = self._samples[mark:]
        return any(value != since[0][1] for _, value in since[1:]) if self._source.counter else bool(since)

    def _choose(self) -> float:
        """How often to sample, in s, after a few looks at how long that takes. Raises Failure (MeterError)."""
        costs_s = []
        failure = None
        for _ in range(_PROBES):
            began_s = self._source.clock()
            try:
                self._sample()
            except Failure as failed:
                failure = failed
            else:
                costs_s.append(self._source.clock() - began_s)
        if failure is not None and not costs_s:
            raise failure
        return max(LEAST_PERIOD_S, self._source.interval_s or 0.0, _COST_FACTOR * statistics.median(costs_s))

    def _sample(self) -> Sample:
        """The value now. Raises Failure (MeterError)."""
        source = self._source
        before_s = source.clock()
        try:
            value = source.read()
        except (OSError, ValueError) as error:
            raise Failure("MeterError", f"{source.name} cannot be read: {error}") from error
        if not math.isfinite(value):
            raise Failure("MeterError", f"{source.name} reads {value} {source.unit}")
        return (before_s + source.clock()) / 2, value

    def _stuck(self) -> Failure:
        limit_s = self._source.stuck_s
        return Failure("MeterError", f"{self._source.name} does not answer: reading it took more than {limit_s:g} s")


class Sampling:
    """What sensors that are sampled have in common: a sampler of ``source`` from start to stop, one a window."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sampler: Sampler | None = None

    @property
    def period_s(self) -> float:
        """The time between two updates in s, as they show by now; before that, between two samples."""
        return self._sampler.update_s() if self._sampler is not None else 0.0

    def start(self) -> None:
        """Begin a window, after what there has to be before it. Raises Failure (MeterError)."""
        sampler = Sampler(self._source)
        sampler.begin()
        self._sampler = sampler

    def _taken(self) -> Sampler:
        """The window's sampler, which is to be ended now."""
        assert self._sampler is not None, "stop() comes after start()"
        sampler, self._sampler = self._sampler, None
        return sampler
