"""Warm-up and sampling, with a timer that does as the test wants and a clock that follows it."""

import pytest

from joulefront_agent import timing, window
from joulefront_agent.wire import Failure


class Timer:
    """Each inference takes what ``latency_s(number of the inference)`` says; the first of each call is discarded.

    The time of day is set by ``step_s`` of it meanwhile: the timer takes that for a part of the inference.
    """

    def __init__(self, latency_s, step_s=lambda number: 0.0):
        self.latency_s, self.step_s, self.now_s, self.count, self.calls = latency_s, step_s, 0.0, 0, []

    def __call__(self, count):
        self.calls.append(count)
        return [self._one() for _ in range(count + 1)][1:]

    def _one(self):
        taken_s, step_s = self.latency_s(self.count), self.step_s(self.count)
        self.count += 1
        self.now_s += taken_s
        return taken_s + step_s

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
    assert len(timing.sample(timer, 0.1, 30, 1.0, timer.clock)[0]) == pytest.approx(count, abs=1)


def test_no_sample_is_lost_or_changed():
    timer = Timer(lambda number: 1e-3 + 1e-7 * number)
    samples, _ = timing.sample(timer, 0.01, 5, 1.0, timer.clock)
    numbers = [round((sample - 1e-3) / 1e-7) for sample in samples]
    assert numbers == sorted(set(numbers))
    assert sum(timer.calls) == len(samples)


@pytest.mark.parametrize("stepped", [0, 1, 3, 40])
def test_a_clock_that_is_set_back_costs_a_sample_and_nothing_else(stepped):
    timer = Timer(lambda number: 1e-3, lambda number: -5.0 if number == stepped else 0.0)
    samples, steps = timing.sample(timer, 0.1, 30, 1.0, timer.clock)
    assert set(samples) == {1e-3}
    assert len(samples) == pytest.approx(100, abs=1)
    assert steps == (stepped > 1)  # the first of each call is no sample, and the second was timed again


@pytest.mark.parametrize("stepped", [0, 1, 3, 40])
@pytest.mark.parametrize("step_s", [0.02, 0.3, 30.0])
def test_a_clock_that_is_set_forward_costs_a_call_of_the_timer_and_nothing_else(stepped, step_s):
    """As when a Pi without a clock of its own hears from NTP; 0.3 s is less than the samples take together."""
    timer = Timer(lambda number: 1e-2, lambda number: step_s if number == stepped else 0.0)
    samples, steps = timing.sample(timer, 0.5, 30, 10.0, timer.clock)
    assert samples == [1e-2] * 50
    assert steps == (stepped > 1)


@pytest.mark.parametrize("share", [-5e-4, 5e-4])
def test_a_clock_that_is_slewed_is_not_set(share):
    timer = Timer(lambda number: 1e-3, lambda number: 1e-3 * share)
    samples, steps = timing.sample(timer, 3.0, 30, 10.0, timer.clock)
    assert (len(samples), steps) == (pytest.approx(3000, abs=3), 0)


def test_what_was_timed_in_vain_counts_against_the_limit():
    timer = Timer(lambda number: 1.0, lambda number: 30.0 if number == 5 else 0.0)
    samples, steps = timing.sample(timer, 10.0, 1, 12.0, timer.clock)
    assert (samples, steps) == ([1.0], 1)
    assert timer.now_s <= 14.0


def test_warming_up_is_not_given_up_when_the_clock_is_set_forward():
    timer = Timer(lambda number: 1e-3, lambda number: 30.0 if number == 1 else 0.0)
    assert timing.warm_up(timer, 1.0, timer.clock)[1]


@pytest.mark.parametrize("shown_s", [0.0, -1.0, 30.0])
def test_a_clock_that_does_not_go_on_is_nobodys_fault_and_no_hang(shown_s):
    timer = Timer(lambda number: 1e-3, lambda number: shown_s - 1e-3)
    for measure in (
        lambda: timing.warm_up(timer, 1.0, timer.clock),
        lambda: timing.sample(timer, 0.1, 30, 1.0, timer.clock),
    ):
        with pytest.raises(Failure, match="time of day does not go on") as caught:
            measure()
        assert caught.value.kind == "BadClock"


@pytest.mark.parametrize(("step_s", "times"), [(-1.0, 99), (1.0, 11)])
def test_a_clock_that_is_set_again_and_again_is_nobodys_fault(step_s, times):
    timer = Timer(lambda number: 1e-3, lambda number: step_s if number > 1 else 0.0)
    with pytest.raises(Failure, match=f"set {times} times") as caught:
        timing.sample(timer, 0.1, 30, 10.0, timer.clock)
    assert caught.value.kind == "BadClock"


def test_a_clock_too_coarse_makes_no_round_of_warming_up_endless():
    timer = Timer(lambda number: 1e-3, lambda number: 0.0 if number < 2 else -1e-3)
    seconds, _ = timing.warm_up(timer, 1.0, timer.clock)
    assert seconds < 2.0


def test_the_clock_that_says_how_long_a_call_was_is_one_that_nothing_sets():
    """By default: a timer in real time whose clock is set forward."""
    timer = Timer(lambda number: 1e-3, lambda number: 30.0 if number == 3 else 0.0)

    def time(count):
        began_s = window.raw_s()
        taken_s = timer(count)
        while window.raw_s() - began_s < (count + 1) * 1e-3:
            pass
        return taken_s

    assert timing.sample(time, 0.01, 5, 1.0) == ([1e-3] * 10, 1)
