"""What is there where there is none, and a look that takes too long; what a sensor keeps to is in tests/contract."""

import threading

import pytest

from joulefront_agent.sensors import probe, reading
from joulefront_agent.sensors.meter import Meter
from joulefront_agent.wire import Failure


def test_sensors_that_block_who_looks_for_them_do_not_answer():
    released = threading.Event()
    try:
        with pytest.raises(Failure, match=r"do not answer: they took more than 0\.05 s") as caught:
            reading.within(0.05, lambda: released.wait(60))
        assert caught.value.kind == "MeterError"
    finally:
        released.set()
    assert reading.within(60, lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        reading.within(60, lambda: 1 / 0)


class Time:
    """A clock that goes on only by what is slept, and by what a read takes."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def probed(read, *, kind="power", took_s=0.001, **given):
    time = Time()

    def reading_takes():
        time.now_s += took_s
        return read(time.now_s)

    meter = Meter(("fake",), "all", kind, True, lambda *_: None, reading_takes, **given)
    return probe.probe(meter, time, time.sleep), time


def test_a_probe_tells_how_often_how_fine_and_how_long():
    shown, time = probed(lambda now_s: 5.0 + 0.25 * (int(now_s / 0.035) % 3))
    assert shown.period_s == pytest.approx(0.035, abs=0.006)
    assert shown.resolution == 0.25
    assert shown.read_s == pytest.approx(0.001)
    assert 1.5 <= time.now_s < 1.6


def test_a_probe_ends_early_where_it_has_seen_enough():
    shown, time = probed(lambda now_s: now_s, took_s=1e-4)
    assert time.now_s < 0.1
    assert shown.period_s == pytest.approx(2e-4)


def test_what_never_changed_shows_no_more_than_its_driver_says():
    assert probed(lambda _: 3.25)[0] == probe.Probed(None, None, pytest.approx(0.001))
    assert probed(lambda _: 3.25, interval_s=0.035)[0].period_s == 0.035


def test_what_is_known_of_its_step_is_told_though_nothing_changed():
    assert probed(lambda _: 3.25, step=lambda watts: watts / 1000)[0].resolution == 3.25e-3
    finer, _ = probed(lambda now_s: 3.0 + 1e-3 * (int(now_s / 0.1) % 2), step=lambda _: 5e-3)
    assert finer.resolution == 5e-3


def test_a_counters_step_is_its_unit_and_not_how_much_was_counted():
    shown, _ = probed(lambda now_s: 50.0 * int(now_s / 0.1), kind="counter", step=lambda _: 1e-3)
    assert (shown.resolution, shown.period_s) == (1e-3, pytest.approx(0.1, abs=0.006))


def test_one_that_is_dear_to_read_is_left_in_peace():
    reads = []
    probed(lambda now_s: reads.append(now_s) or 1.0, rest_s=0.1)
    assert len(reads) == 15


@pytest.mark.parametrize(("value", "said"), [(float("nan"), "it reads nan"), (None, "it cannot be read: gone")])
def test_what_is_no_number_is_no_meter(value, said):
    def read(_):
        if value is None:
            raise OSError("gone")
        return value

    with pytest.raises(Failure, match=said) as caught:
        probed(read)
    assert caught.value.kind == "MeterError"
