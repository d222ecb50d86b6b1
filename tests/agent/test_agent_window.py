"""The window in which sensors are read: how long it lasts, and what counts."""

import time

from joulefront_agent import window
from joulefront_agent.sensors.reading import Reading


class Sensor:
    """One that shows its period only after a second look."""

    name, covers = "fake", "everything"

    def __init__(self, period_s=0.0):
        self._periods = [0.0, period_s]

    @property
    def period_s(self):
        return self._periods.pop(0) if len(self._periods) > 1 else self._periods[0]

    def start(self):
        self.started = True

    def stop(self):
        assert self.started
        return Reading(10.0, 0.02, 1e-6, 1e-3, 0.01, 0.002)


class Clock:
    """Time that goes on by what is worked."""

    now_s = 100.0

    def __call__(self):
        return self.now_s

    def work(self, left_s):
        self.now_s += left_s
        return 50


def taken(tmp_path, *sensors, **limits):
    clock = Clock()
    return window.take(clock.work, sensors, tmp_path, **{"most_s": 60.0, **limits}, clock=clock)


def test_it_lasts_as_long_as_was_asked_and_counts_every_inference(tmp_path):
    found = taken(tmp_path, Sensor(), least_s=2.5)
    assert found.end_s - found.begin_s == 2.5
    assert found.inferences == 150
    (reading,) = found.readings
    assert (reading.sensor, reading.covers, reading.energy_j, reading.gain) == ("fake", "everything", 10.0, 0.01)


def test_it_lasts_as_many_updates_as_were_asked_of_the_slowest_sensor(tmp_path):
    found = taken(tmp_path, Sensor(0.01), Sensor(0.2), least_s=2.0, periods=100)
    assert round(found.end_s - found.begin_s, 6) == 20.0


def test_it_does_not_last_longer_than_was_asked(tmp_path):
    found = taken(tmp_path, Sensor(1.0), least_s=2.0, periods=100, most_s=15.0)
    assert round(found.end_s - found.begin_s, 6) == 15.0


def test_it_goes_on_for_so_many_inferences_whatever_that_takes(tmp_path):
    found = taken(tmp_path, Sensor(), least_s=2.0, most_s=2.0, least=420)
    assert found.inferences == 450
    assert found.end_s - found.begin_s == 2.0  # this work takes no time when it is given none


def test_its_clock_is_the_one_that_nothing_sets():
    assert window.raw_s() == time.clock_gettime(time.CLOCK_MONOTONIC_RAW) or window.raw_s() > 0


def test_a_machine_that_tells_no_load_has_none(tmp_path):
    assert taken(tmp_path, least_s=1.0).busy_cores is None
