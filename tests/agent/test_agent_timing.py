"""Warm-up and sampling, with a timer that does as the test wants and a clock that follows it."""

import pytest

from joulefront_agent import timing
from joulefront_agent.sensors import Reading


class Timer:
    """Each inference takes what ``latency_s(number of the inference)`` says; the first of each call is discarded."""

    def __init__(self, latency_s):
        self.latency_s, self.now_s, self.count, self.calls = latency_s, 0.0, 0, []

    def __call__(self, count):
        self.calls.append(count)
        return [self._one() for _ in range(count + 1)][1:]

    def _one(self):
        taken_s = self.latency_s(self.count)
        self.count += 1
        self.now_s += taken_s
        return taken_s

    def clock(self):
        return self.now_s


def test_a_steady_network_is_warm_after_one_round_of_blocks():
    timer = Timer(lambda number: 1e-3)
    seconds, steady = timing.warm_up(timer, 1.0, timer.clock)
    assert steady
    assert timer.calls == [1, 50]
    assert seconds == pytest.approx(53e-3)


def test_a_network_that_gets_faster_is_warmed_until_it_no_longer_does():
    timer = Timer(lambda number: 1e-3 * (1 + max(0.0, 1 - number / 100)))
    _, steady = timing.warm_up(timer, 2.0, timer.clock)
    assert steady
    assert timer.latency_s(timer.count) == pytest.approx(1e-3, rel=0.05)


def test_a_network_that_never_settles_is_stopped_at_the_limit_and_flagged():
    timer = Timer(lambda number: 1e-3 * (1 + number / 100))
    seconds, steady = timing.warm_up(timer, 0.5, timer.clock)
    assert not steady
    assert seconds <= 0.5


def test_a_network_too_slow_for_the_test_is_flagged_without_running_long():
    timer = Timer(lambda number: 2.0)
    _, steady = timing.warm_up(timer, 0.5, timer.clock)
    assert not steady
    assert timer.calls == [1]


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ([1, 1, 1, 1, 1], True),
        ([1.01, 0.99, 1.0, 1.01, 0.99], True),
        ([1.08, 1.06, 1.04, 1.02, 1.0], False),
        ([1, 1.2, 1, 1.2, 1], False),
        ([1, 1, 1, 1, 1.5], False),
    ],
)
def test_steady(medians, expected):
    assert timing.steady(medians) is expected


@pytest.mark.parametrize(
    ("latency_s", "count"),
    [
        (1e-3, 100),  # 0.1 s
        (1e-2, 30),  # 30 samples
        (0.1, 9),  # one more than is kept is run
        (2.0, 1),  # beyond the limit, one is kept
        (1e-6, 10_000),  # no network needs more
    ],
)
def test_how_many_samples_are_taken(latency_s, count):
    timer = Timer(lambda number: latency_s)
    assert len(timing.sample(timer, 0.1, 30, 1.0)) == pytest.approx(count, abs=1)


def test_no_sample_is_lost_or_changed():
    timer = Timer(lambda number: 1e-3 + 1e-7 * number)
    samples = timing.sample(timer, 0.01, 5, 1.0)
    numbers = [round((sample - 1e-3) / 1e-7) for sample in samples]
    assert numbers == sorted(set(numbers))
    assert sum(timer.calls) == len(samples)


def test_the_energy_window_counts_every_inference_that_ran():
    class Sensor:
        name, covers = "fake", "everything"

        def start(self):
            self.started = True

        def stop(self):
            assert self.started
            return Reading(10.0, 0.02, 1e-6, 1e-3)

    counts = []

    def run(count):
        counts.append(count + 1)
        return count + 1

    energy = timing.energy(run, 1e-4, Sensor(), 0.005)
    assert energy.inferences == sum(counts) >= 51
    assert (energy.energy_j, energy.window_s, energy.sensor, energy.covers) == (10.0, 0.02, "fake", "everything")
