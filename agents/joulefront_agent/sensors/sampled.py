"""Energy from a sensor that tells only its power: it is sampled while the network runs."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Collection

from joulefront_agent.sensors import samples
from joulefront_agent.sensors.reading import STUCK_S, Reading
from joulefront_agent.sensors.samples import Sample
from joulefront_agent.wire import Failure

Wait = Callable[[threading.Event, float], object]
"""Waits for an event, for so many s at most."""

_LEAST_PERIOD_S = 0.02
_COST_FACTOR = 50
_PROBES = 5
_LEAST_SAMPLES = 3
_MOST_UNSEEN = 0.25
_MOST_FAILED = 5


class Sampled:
    """A sensor of power as one of energy: a thread samples ``power_w`` from start to stop.

    ``power_w`` returns W and raises OSError or ValueError; ``interval_s`` is how often its driver says that it is
    updated. A sample is taken every 20 ms at most, no more often than it is updated, and so that reading takes no more
    than a fiftieth of a core. The thread keeps to ``cores``, where some are given. One that cannot be read is left out:
    buses have their moments. Five in a row, or one that takes longer than ``stuck_s``, end the measurement.
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
        stuck_s: float = STUCK_S,
    ) -> None:
        self.name = name
        self.covers = covers
        self._power_w = power_w
        self._interval_s = interval_s
        self._cores = cores
        self._clock = clock
        self._wait = wait
        self._stuck_s = stuck_s
        self._window: _Window | None = None

    @property
    def period_s(self) -> float:
        """The time between two updates in s, as they show by now; before that, between two samples."""
        return self._window.update_s() if self._window is not None else 0.0

    def start(self) -> None:
        """Begin a window, with a sample before it. Raises Failure (MeterError)."""
        window = _Window(self._sample, self._period_s, self._cores, self._clock, self._wait)
        window.begin(self.name, self._stuck_s)
        self._window = window

    def _period_s(self) -> float:
        """How often to sample, in s, after a few looks at how long that takes. Raises Failure (MeterError)."""
        costs_s = []
        failure = None
        for _ in range(_PROBES):
            began_s = self._clock()
            try:
                self._sample()
            except Failure as failed:
                failure = failed
            else:
                costs_s.append(self._clock() - began_s)
        if failure is not None and not costs_s:
            raise failure
        return max(_LEAST_PERIOD_S, self._interval_s or 0.0, _COST_FACTOR * statistics.median(costs_s))

    def stop(self) -> Reading:
        """End the window, and wait for a sample after it. Raises Failure (MeterError).

        It is no measurement when it could not be read five times in a row, or does not answer, when fewer than three
        samples were taken, none for a quarter of the window, or nothing was above 0 W.
        """
        assert self._window is not None, "stop() comes after start()"
        window, self._window = self._window, None
        start_s, end_s, taken = window.end(self.name, self._stuck_s)
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
    """A thread that samples until it is ended; the window lies between its first and its last sample.

    All reading is that thread's, so that a driver that blocks it blocks nobody else.
    """

    def __init__(
        self,
        sample: Callable[[], Sample],
        choose: Callable[[], float],
        cores: Collection[int],
        clock: Callable[[], float],
        wait: Wait,
    ) -> None:
        self.period_s = math.inf
        self._sample = sample
        self._choose = choose
        self._cores = cores
        self._clock = clock
        self._wait = wait
        self._samples: list[Sample] = []
        self._failure: Failure | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joulefront-power", daemon=True)
        self._start_s = math.inf

    def update_s(self) -> float:
        """The time between two updates in s, of what was sampled so far."""
        return max(self.period_s, samples.update_period(self._samples[:]) or 0.0)

    def begin(self, name: str, limit_s: float) -> None:
        """Wait for the first sample, for ``limit_s`` at most, then begin. Raises Failure (MeterError)."""
        self._thread.start()
        if not self._begun.wait(limit_s):
            raise _stuck(name, limit_s)
        if self._failure is not None:
            raise self._failure
        self._start_s = self._clock()

    def end(self, name: str, limit_s: float) -> tuple[float, float, list[Sample]]:
        """The window's start and end in s, and the samples: the last one is waited for. Raises Failure (MeterError)."""
        end_s = self._clock()
        self._ended.set()
        self._thread.join(limit_s)
        if self._thread.is_alive():
            raise _stuck(name, limit_s)
        if self._failure is not None:
            raise self._failure
        return self._start_s, end_s, self._samples

    def _run(self) -> None:
        if self._cores:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._cores)  # 0 is the calling thread
        try:
            self.period_s = self._choose()
            next_s = self._clock()
            failed = 0
            while True:
                last = self._ended.is_set()
                try:
                    self._samples.append(self._sample())
                except Failure:
                    failed += 1
                    if failed == _MOST_FAILED:
                        raise
                else:
                    failed = 0
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


def _stuck(name: str, limit_s: float) -> Failure:
    return Failure("MeterError", f"{name} does not answer: reading it took more than {limit_s:g} s")
