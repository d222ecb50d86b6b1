"""What every energy sensor keeps to, whatever it reads; and what is there where there is none."""

import threading

import pytest
from fake_machine import JETSON_AGX_ORIN, VIRTUAL_BOARD, Rushing, Ticking, write, zone

from joulefront_agent import sensors
from joulefront_agent.sensors import rapl, reading, sampled
from joulefront_agent.sensors.reading import Sensor
from joulefront_agent.wire import Failure

POWER_W = {"rapl": 20.0, "power": 3.25, "volts and amperes": 3.24, "a sum": 19.0 * 0.210 + 4.968 * 0.900}

FILES = {"power": "hwmon5/power1_input", "volts and amperes": "hwmon4/curr1_input", "a sum": "hwmon3/curr2_input"}


class Case:
    """A sensor of a machine that takes ``power_w``, how to let time pass, and how to take its file away."""

    def __init__(self, root, kind):
        self.root, self.power_w = root, POWER_W[kind]
        if kind == "rapl":
            write(root, zone("intel-rapl:0", "package-0"))
            folder = root / "sys/class/powercap/intel-rapl:0"
            clock = Ticking(folder / "energy_uj", self.power_w)
            self.sensor = rapl.Rapl([folder], clock)
            self.let_pass = lambda: clock.advance(2.0)
            self.file = folder / "energy_uj"
        else:
            write(root, JETSON_AGX_ORIN if kind == "a sum" else VIRTUAL_BOARD)
            found, _ = sensors.find(root, "hwmon:ina3221/1" if kind == "volts and amperes" else "auto")
            clock = Rushing()
            self.sensor = sampled.Sampled(
                found.name,
                found.covers,
                clock.watched(found._source.read),
                found._source.interval_s,
                clock=clock,
                wait=clock.wait,
            )
            self.let_pass = lambda: clock.read(60)
            self.file = root / "sys/class/hwmon" / FILES[kind]


@pytest.fixture(params=sorted(POWER_W))
def case(request, tmp_path):
    return Case(tmp_path, request.param)


def test_it_measures_watts_times_seconds_each_time_anew(case):
    for _ in range(2):
        case.sensor.start()
        case.let_pass()
        reading = case.sensor.stop()
        assert reading.energy_j == pytest.approx(case.power_w * reading.window_s, rel=2e-3)
        assert reading.window_s >= 1.0
        assert 0 < reading.resolution_j < 0.01 * reading.energy_j
        assert 0 < reading.period_s < 0.05


def test_it_has_a_name_that_finds_it_and_says_what_it_covers(case):
    _: Sensor = case.sensor
    assert case.sensor.name in sensors.names(case.root)
    again, reason = sensors.find(case.root, case.sensor.name)
    assert (again.name, again.covers, reason) == (case.sensor.name, case.sensor.covers, None)


def test_what_vanishes_in_the_window_is_an_error_and_no_joules(case):
    case.sensor.start()
    case.let_pass()
    case.file.unlink()
    with pytest.raises(Failure, match="cannot be read") as caught:
        case.sensor.stop()
    assert caught.value.kind == "MeterError"


def test_what_is_gone_before_cannot_be_started(case):
    case.file.unlink()
    with pytest.raises(Failure, match="cannot be read") as caught:
        case.sensor.start()
    assert caught.value.kind == "MeterError"


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
