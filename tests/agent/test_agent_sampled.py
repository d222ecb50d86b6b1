"""Energy from a sensor of power, by a sampler whose time the test makes."""

import itertools
import math
import os
import threading

import pytest
from fake_machine import Rushing

from joulefront_agent.sensors.sampled import Sampled
from joulefront_agent.wire import Failure


def sampled(power_w, clock, **changes):
    return Sampled(
        "fake", "all", clock.watched(power_w), clock=clock, **{"interval_s": None, "wait": clock.wait, **changes}
    )


def measured(power_w, samples=50, **changes):
    clock = Rushing()
    sensor = sampled(power_w(clock), clock, **changes)
    sensor.start()
    clock.read(samples)
    return sensor.stop()


def test_a_steady_power_is_watts_times_seconds():
    reading = measured(lambda clock: lambda: 3.25)
    assert reading.energy_j == pytest.approx(3.25 * reading.window_s)
    assert reading.window_s >= 48 * 0.02
    assert reading.resolution_j == pytest.approx(1e-6 * reading.window_s)  # no step was seen
    assert reading.period_s == 0.02


def test_what_changes_is_told_by_its_steps_and_how_often_they_come():
    reading = measured(lambda clock: lambda: 5.0 + 0.5 * (int(clock() / 0.2) % 3), samples=200)
    assert reading.energy_j == pytest.approx(5.5 * reading.window_s, rel=0.1)
    assert reading.resolution_j == pytest.approx(0.5 * reading.window_s)
    assert reading.period_s == pytest.approx(0.2, abs=0.021)


@pytest.mark.parametrize(("interval_s", "period_s"), [(None, 0.02), (0.007, 0.007), (0.035, 0.035), (1.0, 1.0)])
def test_it_is_read_as_often_as_it_is_updated_but_no_more_than_each_20_ms(interval_s, period_s):
    moments = []

    def power_w(clock):
        def read():
            moments.append(clock())
            return 1.0

        return read

    assert measured(power_w, interval_s=interval_s).period_s == max(0.02, period_s)
    taken = [later - earlier for earlier, later in itertools.pairwise(moments[10:])]
    assert taken == pytest.approx([max(0.02, period_s)] * len(taken))


def test_a_sensor_that_is_slow_to_read_is_read_less_often():
    def power_w(clock):
        def read():
            clock.now_s += 0.002
            return 1.0

        return read

    assert measured(power_w).period_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda: 0.0, "reads 0 W for .* s: not wired"),
        (lambda: -0.5, "reads -0.5 W for .* s: not wired"),
        (itertools.cycle([1.0, -9.0]).__next__, "measured -.* J in .* s: wired backwards"),
    ],
)
def test_no_energy_is_an_error_and_not_zero(values, said):
    with pytest.raises(Failure, match=said) as caught:
        measured(lambda clock: values)
    assert caught.value.kind == "MeterError"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (OSError(5, "Input/output error"), "cannot be read: .* Input/output error"),
        (ValueError("no integer"), "cannot be read: no integer"),
        (math.nan, "reads nan W"),
    ],
)
@pytest.mark.parametrize("good", [0, 30])
def test_a_sensor_that_cannot_be_read_is_an_error(broken, said, good):
    ended = threading.Event()
    left = iter([3.0] * good)

    def read():
        if (value := next(left, None)) is not None:
            return value
        ended.set()
        if isinstance(broken, Exception):
            raise broken
        return broken

    clock = Rushing()
    sensor = Sampled("fake", "all", read, None, clock=clock, wait=clock.wait)

    def measure():
        sensor.start()
        assert ended.wait(60)
        sensor.stop()

    with pytest.raises(Failure, match=said) as caught:
        measure()
    assert caught.value.kind == "MeterError"


def test_a_window_too_short_for_three_samples_is_an_error():
    clock = Rushing()
    sensor = sampled(lambda: 1.0, clock, interval_s=600.0, wait=threading.Event.wait)
    sensor.start()
    clock.now_s += 1.0
    with pytest.raises(Failure, match=r"was read 0 times in 1 s.*one sample each 600 s was meant"):
        sensor.stop()


def late(by_s, at=20):
    """A sensor one read of which takes so much longer: it is of the middle of that time."""
    reads = itertools.count()

    def power_w(clock):
        def read():
            if next(reads) == at:
                clock.now_s += by_s
            return 1.0

        return read

    return power_w


@pytest.mark.parametrize(
    ("by_s", "samples", "interval_s"),
    [
        (0.15, 50, None),  # not for 95 ms, four to five periods, of 1.1 s
        (1.8, 1000, None),  # not for 0.92 s of 22 s, 4.2 %
        (7.0, 50, 1.0),  # not for 4.5 s, as many periods, of 56 s
    ],
)
def test_a_sample_that_comes_late_is_borne(by_s, samples, interval_s):
    assert measured(late(by_s), samples=samples, interval_s=interval_s).energy_j > 0


@pytest.mark.parametrize(
    ("by_s", "at", "samples", "interval_s", "unseen"),
    [
        (0.2, 20, 50, None, r"0\.12"),  # six periods of 20 ms, and 11 %
        (2.6, 20, 1000, None, r"1\.32"),  # 5.8 %
        (9.0, 20, 50, 1.0, r"5\.5"),  # five and a half periods, and 9 %
        (4.0, 9, 6, 1.0, "3"),  # three periods only, but a third
        (1e6, 20, 50, None, r"5e\+05"),
    ],
)
def test_a_window_that_was_not_looked_at_for_long_is_an_error(by_s, at, samples, interval_s, unseen):
    with pytest.raises(Failure, match=rf"once not for {unseen} s: too seldom") as caught:
        measured(late(by_s, at), samples=samples, interval_s=interval_s)
    assert caught.value.kind == "MeterError"


def test_the_sampler_keeps_to_its_cores_and_the_network_to_its_own():
    allowed = os.sched_getaffinity(0)
    core, seen = max(allowed), []

    def read():
        if threading.current_thread() is not threading.main_thread():
            seen.append(os.sched_getaffinity(0))
        return 1.0

    measured(lambda clock: read, cores={core})
    assert set(map(frozenset, seen)) == {frozenset({core})}
    assert os.sched_getaffinity(0) == allowed


def losing(missing, broken=None):
    """A sensor of 3.25 W whose reads of those numbers fail, or tell ``broken``; the first five are its probing's."""
    reads = itertools.count()

    def read():
        if not missing(next(reads)):
            return 3.25
        if broken is None:
            raise OSError(5, "Input/output error")
        return broken

    return lambda clock: read


@pytest.mark.parametrize("missing", [{3}, {0, 2}, {5, 6}, {20}])
def test_a_sample_that_cannot_be_read_is_borne_and_so_are_some_before_the_window(missing):
    reading = measured(losing(missing.__contains__))
    assert reading.energy_j == pytest.approx(3.25 * reading.window_s)


@pytest.mark.parametrize("broken", [None, math.nan, math.inf])
@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({10, 40}.__contains__, "lost 2 of "),
        (lambda number: number > 6 and number % 5, r"lost \d\d of "),  # four of five
    ],
)
def test_more_samples_that_cannot_be_read_are_no_measurement(missing, broken, said):
    with pytest.raises(
        Failure, match=rf"fake {said}\d\d samples in .* s, the last as fake (cannot be|reads)"
    ) as caught:
        measured(losing(missing, broken))
    assert caught.value.kind == "MeterError"


@pytest.mark.parametrize(("lost", "is_borne"), [(2, True), (3, False)])
def test_of_thousands_of_samples_one_in_a_thousand_may_be_lost(lost, is_borne):
    """Some 2,100 are taken: two of them are less than that, three are more."""
    missing = {700 + 300 * number for number in range(lost)}.__contains__
    if is_borne:
        assert measured(losing(missing), samples=2100).energy_j > 0
    else:
        with pytest.raises(Failure, match=r"lost 3 of 2\d\d\d samples"):
            measured(losing(missing), samples=2100)


def test_the_last_sample_is_tried_again_and_what_fails_after_the_window_is_not_lost():
    rushing, ended, tries = Rushing(), [], []

    def clock():
        now_s = rushing()
        if stopping and threading.current_thread() is threading.main_thread():
            ended.append(now_s)
        return now_s

    def read():
        if ended and len(tries) < 3:
            tries.append(1)
            raise OSError(5, "Input/output error")
        return 1.0

    stopping = False
    sensor = Sampled("fake", "all", rushing.watched(read), None, clock=clock, wait=rushing.wait)
    sensor.start()
    rushing.read(20)
    stopping = True
    assert sensor.stop().energy_j > 0
    assert len(tries) == 3


@pytest.mark.parametrize(("interval_s", "least_s"), [(None, 0.2), (0.035, 0.35), (0.6, 6.0), (17.0, 15.0)])
def test_a_slow_sensor_asks_for_a_longer_window(interval_s, least_s):
    clock = Rushing()
    sensor = sampled(lambda: 1.0, clock, interval_s=interval_s)
    assert sensor.period_s == 0.0
    sensor.start()
    assert sensor.period_s == pytest.approx(max(0.02, interval_s or 0.0))
    clock.read(12)
    sensor.stop()


@pytest.mark.parametrize("good", [0, 20])
def test_a_driver_that_blocks_its_reader_is_the_sensors_fault_and_no_hang(good):
    blocked, released = threading.Event(), threading.Event()
    left = iter([1.0] * good)

    def read():
        if (value := next(left, None)) is not None:
            return value
        blocked.set()
        released.wait(60)
        return 1.0

    clock = Rushing()
    sensor = Sampled("fake", "all", read, None, clock=clock, wait=clock.wait, stuck_s=0.05)

    def measure():
        sensor.start()
        assert blocked.wait(60)
        sensor.stop()

    try:
        with pytest.raises(Failure, match=r"fake does not answer: reading it took more than 0\.05 s") as caught:
            measure()
    finally:
        released.set()
    assert caught.value.kind == "MeterError"


def test_the_window_holds_none_of_the_probing_and_nothing_after_it():
    """Ten reads before and the last one after it, each of 3 s by the clock, would make it longer."""
    clock = Rushing()
    slow = iter([3.0] * 6)

    def read():
        clock.now_s += next(slow, 0.0)
        return 1.0

    sensor = sampled(read, clock, wait=lambda ended, seconds: ended.wait(60))
    sensor.start()
    began_s = clock()
    clock.now_s += 2.0
    with pytest.raises(Failure, match=r"was read 0 times in 2 s"):
        sensor.stop()
    assert began_s == 18.0


def test_a_sensor_that_always_moves_and_does_not_is_stuck():
    with pytest.raises(Failure, match=r"reads 3\.25 W for .* s on end: it is stuck, or too slow") as caught:
        measured(lambda clock: lambda: 3.25, moves=True)
    assert caught.value.kind == "MeterError"
    assert measured(lambda clock: lambda: 3.0 + (clock() > 0.5), moves=True).energy_j > 0


def test_one_that_moves_seldom_has_the_period_that_shows():
    reading = measured(lambda clock: lambda: 3.0 + int(clock() / 0.4) % 2, moves=True)
    assert reading.period_s == pytest.approx(0.4, rel=0.3)


def test_a_reading_says_what_the_maker_does_and_what_it_took():
    cost_s = iter(range(100))
    reading = measured(lambda clock: lambda: 3.25, gain=0.005, cost=lambda: float(next(cost_s)))
    assert (reading.gain, reading.cost_s) == (0.005, 1.0)  # looked at when the window began and when it ended
    assert measured(lambda clock: lambda: 3.25).gain is None


def test_the_samplers_own_processor_time_is_the_default():
    def read():
        sum(range(20_000))
        return 3.25

    assert measured(lambda clock: read, samples=10).cost_s > 0


@pytest.mark.parametrize("nothing_w", [0.0, -1.0])
def test_of_a_total_nothing_is_a_sample_that_could_not_be_read(nothing_w):
    """A machine that runs takes some power; a rail of it may take none."""
    reading = measured(losing({20}.__contains__, nothing_w), total=True)
    assert reading.energy_j == pytest.approx(3.25 * reading.window_s)
    rail = measured(losing(lambda number: number % 10 == 9, nothing_w))
    assert rail.energy_j < 3.0 * rail.window_s
    with pytest.raises(Failure, match=rf"lost \d of \d\d samples .* cannot be read: it reads {nothing_w:g} W"):
        measured(losing(lambda number: number % 10 == 9, nothing_w), total=True)
    with pytest.raises(Failure, match=rf"cannot be read: it reads {nothing_w:g} W: not wired\?") as caught:
        measured(lambda clock: lambda: nothing_w, total=True)
    assert caught.value.kind == "MeterError"
