"""Energy from a sensor that tells only its power: it is sampled while the network runs."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Collection

from joulefront_agent import samples
from joulefront_agent.reading import Reading
from joulefront_agent.samples import Sample
from joulefront_agent.wire import Failure

Wait = Callable[[threading.Event, float], object]
"""Waits for an event, for so many s at most."""

_LEAST_PERIOD_S = 0.02
_COST_FACTOR = 50
_PROBES = 5
_LEAST_SAMPLES = 3
_MOST_UNSEEN = 0.25


class Sampled:
    """A sensor of power as one of energy: a thread samples ``power_w`` from start to stop.

    ``power_w`` returns W and raises OSError or ValueError; ``interval_s`` is how often its driver says that it is
    updated. A sample is taken every 20 ms at most, no more often than it is updated, and so that reading takes no more
    than a fiftieth of a core. The thread keeps to ``cores``, where some are given.
    """

    def __init__(
        self,
        name: str,
        covers: str,
        power_w: Callable[[], float],
        interval_s: float | None,
        cores: Collection[int] = (),
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = threading.Event.wait,
    ) -> None:
        self.name = name
        self.covers = covers
        self._power_w = power_w
        self._interval_s = interval_s
        self._cores = cores
        self._clock = clock
        self._wait = wait
        self._window: _Window | None = None

    def start(self) -> None:
        """Begin a window, with a sample before it. Raises Failure (MeterError)."""
        costs_s = []
        for _ in range(_PROBES):
            began_s = self._clock()
            self._sample()
            costs_s.append(self._clock() - began_s)
        period_s = max(_LEAST_PERIOD_S, self._interval_s or 0.0, _COST_FACTOR * statistics.median(costs_s))
        self._window = _Window(self._sample, period_s, self._cores, self._clock, self._wait)

    def stop(self) -> Reading:
        """End the window, and wait for a sample after it. Raises Failure (MeterError).

        It is no measurement when a sample could not be read, fewer than three were taken, none for a quarter of the
        window, or nothing was above 0 W.
        """
        assert self._window is not None, "stop() comes after start()"
        window, self._window = self._window, None
        start_s, end_s, taken = window.end()
        inside = [power for moment, power in taken if start_s < moment < end_s]
        unseen_s = samples.longest_gap(taken)
        if len(inside) < _LEAST_SAMPLES or unseen_s > _MOST_UNSEEN * (end_s - start_s):
            raise Failure(
                "MeterError",
                f"{self.name} was read {len(inside)} times in {end_s - start_s:.3g} s, once not for {unseen_s:.3g} s: "
                f"too seldom for a window of that length (one sample each {window.period_s:.3g} s was meant)",
            )
        if max(inside) <= 0:
            raise Failure("MeterError", f"{self.name} reads {max(inside):g} W for {end_s - start_s:.3g} s: not wired?")
        energy_j = samples.integral(taken, start_s, end_s)
        if energy_j <= 0:
            raise Failure(
                "MeterError", f"{self.name} measured {energy_j:g} J in {end_s - start_s:.3g} s: wired backwards?"
            )
        return Reading(
            energy_j=energy_j,
            window_s=end_s - start_s,
            resolution_j=samples.step(taken) * (end_s - start_s),
            period_s=samples.update_period(taken) or self._interval_s or window.period_s,
        )

    def _sample(self) -> Sample:
        """The power now. Raises Failure (MeterError)."""
        before_s = self._clock()
        try:
            power_w = self._power_w()
        except (OSError, ValueError) as error:
            raise Failure("MeterError", f"{self.name} cannot be read: {error}") from error
        if not math.isfinite(power_w):
            raise Failure("MeterError", f"{self.name} reads {power_w} W")
        return (before_s + self._clock()) / 2, power_w


class _Window:
    """A thread that samples until it is ended; the window lies between its first and its last sample."""

    def __init__(
        self,
        sample: Callable[[], Sample],
        period_s: float,
        cores: Collection[int],
        clock: Callable[[], float],
        wait: Wait,
    ) -> None:
        self.period_s = period_s
        self._sample = sample
        self._cores = cores
        self._clock = clock
        self._wait = wait
        self._samples: list[Sample] = []
        self._failure: Failure | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joulefront-power", daemon=True)
        self._thread.start()
        self._begun.wait()
        self._start_s = clock()

    def end(self) -> tuple[float, float, list[Sample]]:
        """The window's start and end in s, and the samples. Raises Failure (MeterError)."""
        end_s = self._clock()
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._start_s, end_s, self._samples

    def _run(self) -> None:
        if self._cores:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._cores)  # 0 is the calling thread
        try:
            next_s = self._clock()
            while True:
                last = self._ended.is_set()
                self._samples.append(self._sample())
                self._begun.set()
                if last:
                    return
                # What came too late is left out, not made up for.
                next_s = max(next_s + self.period_s, self._clock())
                self._wait(self._ended, next_s - self._clock())
        except Failure as failure:
            self._failure = failure
        finally:
            self._begun.set()
