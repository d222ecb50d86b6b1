"""Counters that are watched: what they count between two moments, and what is no count."""

import itertools
import threading

import pytest
from fake_machine import Rushing

from joulefront_agent.sensors.counted import Counted, Scale
from joulefront_agent.wire import Failure

WRAPS_J = 2**32 * 1e-6


def counting(joules, *, range_j=WRAPS_J, reads=100, end=None):
    """What a counter that shows ``joules`` of the time measures over so many reads."""
    clock = Rushing()
    watched = clock.watched(lambda: joules(clock()))
    sensor = Counted("fake", "all", watched, Scale(1e-6, range_j), clock=clock, wait=clock.wait)
    sensor.start()
    clock.read(reads)
    if end:
        end(clock)
    return sensor.stop()


def stepping(power_w, period_s, from_j=0.0):
    """A counter that is updated each ``period_s``."""
    return lambda now_s: from_j + power_w * period_s * (now_s // period_s)


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.3])
def test_the_energy_at_the_edges_lies_between_two_updates(period_s):
    reading = counting(stepping(50.0, period_s))
    assert reading.energy_j == pytest.approx(50.0 * reading.window_s, rel=0.02)
    assert reading.period_s == pytest.approx(period_s, abs=0.021)
    assert reading.resolution_j == 1e-6


def test_a_counter_that_wraps_is_repaired():
    reading = counting(lambda now_s: stepping(50.0, 0.1, WRAPS_J - 40.0)(now_s) % WRAPS_J)
    assert reading.energy_j == pytest.approx(50.0 * reading.window_s, rel=0.02)
    assert reading.energy_j > 40.0


def test_a_counter_that_wraps_again_and_again_is_repaired():
    reading = counting(lambda now_s: stepping(50.0, 0.1)(now_s) % 60.0, range_j=60.0)
    assert reading.energy_j > 60.0
    assert reading.energy_j == pytest.approx(50.0 * reading.window_s, rel=0.02)


def test_a_counter_that_may_have_wrapped_twice_between_two_looks_is_an_error():
    def pause(clock):
        clock.now_s += 10.0
        clock.read(5)

    with pytest.raises(Failure, match=r"was not read for .* s: it may wrap more than once") as caught:
        counting(stepping(50.0, 0.1), end=pause)
    assert caught.value.kind == "MeterError"


@pytest.mark.parametrize("range_j", [None, WRAPS_J])
@pytest.mark.parametrize("back_to_j", [0.0, 99.0])
def test_a_counter_that_jumps_back_is_an_error_and_no_negative_energy(range_j, back_to_j):
    def joules(now_s):
        return stepping(50.0, 0.1, 100.0)(now_s) if now_s < 1.0 else stepping(50.0, 0.1, back_to_j - 50.0)(now_s)

    with pytest.raises(Failure, match=r"jumped back from 1\d\d J to .* J") as caught:
        counting(joules, range_j=range_j)
    assert caught.value.kind == "MeterError"


@pytest.mark.parametrize("range_j", [None, WRAPS_J])
def test_a_counter_that_jumps_forward_is_an_error_and_no_energy(range_j):
    def joules(now_s):
        return stepping(50.0, 0.1)(now_s) + (1000.0 if now_s > 1.0 else 0.0)

    with pytest.raises(Failure, match=r"jumped from \d\d J to 10\d\d J within 0\.\d+ s: it was set anew") as caught:
        counting(joules, range_j=range_j)
    assert caught.value.kind == "MeterError"


def test_an_update_that_comes_late_is_no_jump():
    """A GPU's 700 W: 70 J come late, and the next 70 J one look after them."""

    def joules(now_s):
        return stepping(700.0, 0.1)(now_s if not 1.0 <= now_s < 1.07 else 0.95)

    assert counting(joules).energy_j == pytest.approx(700.0 * 1.98, rel=0.05)


@pytest.mark.parametrize("missing", [{40}, {number for number in range(10, 90) if number % 5}])
def test_a_read_that_fails_in_between_loses_nothing_of_a_count(missing):
    reads = itertools.count()

    def joules(now_s):
        if next(reads) in missing:
            raise OSError(5, "Input/output error")
        return stepping(50.0, 0.1)(now_s)

    reading = counting(joules)
    assert reading.energy_j == pytest.approx(50.0 * reading.window_s, rel=0.02)


@pytest.mark.parametrize(("unseen_s", "is_borne"), [(0.08, True), (0.3, False)])
def test_a_count_that_was_not_read_before_the_windows_end_is_none(unseen_s, is_borne):
    """The thread waits for its next read until the window has ended, that much later."""
    rushing, holding, waiting, ended = Rushing(), threading.Event(), threading.Event(), threading.Event()

    def clock():
        now_s = rushing()
        if waiting.is_set() and threading.current_thread() is threading.main_thread():
            ended.set()
        return now_s

    def wait(event, seconds):
        if holding.is_set():
            waiting.set()
            assert ended.wait(60)
        rushing.wait(event, seconds)

    watched = rushing.watched(lambda: stepping(50.0, 0.02)(rushing()))
    sensor = Counted("fake", "all", watched, Scale(1e-6, None), clock=clock, wait=wait)
    sensor.start()
    rushing.read(60)
    holding.set()
    assert waiting.wait(60)
    rushing.now_s += unseen_s
    if is_borne:
        assert sensor.stop().energy_j > 0
    else:
        with pytest.raises(Failure, match=r"was not read for 0\.3\d* s before the window's end") as caught:
            sensor.stop()
        assert caught.value.kind == "MeterError"


def test_a_counter_above_its_range_does_not_wrap():
    def joules(now_s):
        return (5000.0 if now_s < 1.0 else 4900.0) + now_s // 0.1

    with pytest.raises(Failure, match="jumped back"):
        counting(joules)


def test_a_counter_that_stands_still_is_stuck():
    with pytest.raises(Failure, match="stands still for 2 s: the counter is stuck"):
        counting(lambda now_s: 7.0)
    with pytest.raises(Failure, match=r"stands still|was updated \d+ times"):
        counting(lambda now_s: stepping(50.0, 0.1)(min(now_s, 0.5)))


def test_a_window_of_hardly_an_update_is_too_short():
    with pytest.raises(Failure, match=r"was updated [012] times in .* s: it is stuck, or too slow"):
        counting(stepping(50.0, 1.0), reads=5)


def test_it_takes_its_own_processor_time_only():
    clock, cost_s = Rushing(), iter(range(100))
    sensor = Counted(
        "fake",
        "all",
        clock.watched(lambda: stepping(50.0, 0.1)(clock())),
        Scale(1e-6, None),
        clock=clock,
        wait=clock.wait,
        cost=lambda: float(next(cost_s)),
    )
    sensor.start()
    clock.read(50)
    assert sensor.stop().cost_s == 1.0  # from the window's begin to its end, looked at once each
