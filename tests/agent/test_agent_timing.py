"""Warm-up and sampling, with a timer that does as the test wants and a clock that follows it."""

import pytest

from joulefront_agent import timing
from joulefront_agent.wire import Failure


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
    assert seconds == pytest.approx(0.5, rel=0.02)  # what five blocks leave of it is used too


def test_a_network_too_slow_for_five_blocks_is_warmed_up_one_by_one():
    timer = Timer(lambda number: 0.1)
    seconds, steady = timing.warm_up(timer, 0.55, timer.clock)
    assert not steady
    assert seconds == pytest.approx(0.4)
    assert timer.calls == [1, 1]


def test_a_network_too_slow_for_the_limit_is_flagged_without_running_long():
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
    assert len(timing.sample(timer, 0.1, 30, 1.0)[0]) == pytest.approx(count, abs=1)


def test_no_sample_is_lost_or_changed():
    timer = Timer(lambda number: 1e-3 + 1e-7 * number)
    samples, _ = timing.sample(timer, 0.01, 5, 1.0)
    numbers = [round((sample - 1e-3) / 1e-7) for sample in samples]
    assert numbers == sorted(set(numbers))
    assert sum(timer.calls) == len(samples)


@pytest.mark.parametrize("stepped", [0, 1, 3, 40])
def test_a_clock_that_is_set_back_costs_a_sample_and_nothing_else(stepped):
    timer = Timer(lambda number: -5.0 if number == stepped else 1e-3)
    samples, steps = timing.sample(timer, 0.1, 30, 1.0)
    assert set(samples) == {1e-3}
    assert len(samples) == pytest.approx(100, abs=1)
    assert steps == (stepped > 1)  # the first of each call is no sample, and the second was timed again


@pytest.mark.parametrize("latency_s", [0.0, -1.0])
def test_a_clock_that_does_not_go_on_is_nobodys_fault_and_no_hang(latency_s):
    timer = Timer(lambda number: latency_s)
    for measure in (lambda: timing.warm_up(timer, 1.0), lambda: timing.sample(timer, 0.1, 30, 1.0)):
        with pytest.raises(Failure, match="time of day does not go on") as caught:
            measure()
        assert caught.value.kind == "BadClock"


def test_a_clock_that_is_set_back_again_and_again_is_nobodys_fault():
    timer = Timer(lambda number: 1e-3 if number < 2 else -1.0)
    with pytest.raises(Failure, match="set back 99 times"):
        timing.sample(timer, 0.1, 30, 1.0)


def test_a_clock_too_coarse_makes_no_round_of_warming_up_endless():
    timer = Timer(lambda number: 1e-3 if number < 2 else 0.0)
    real = Timer(lambda number: 1e-3)

    def time(count):
        real(count)
        return timer(count)

    seconds, _ = timing.warm_up(time, 1.0, real.clock)
    assert seconds < 2.0
