"""What every energy sensor of a device has to do, whatever it reads."""

import itertools
import math
import threading
from dataclasses import replace
from functools import partial

import pytest

from joulefront_agent import sensors
from joulefront_agent.sensors import nvml, probe, rapl
from joulefront_agent.sensors.reading import Sensor
from joulefront_agent.wire import Failure
from lent import lent

machine, boards = lent("agent/fake_machine"), lent("agent/fake_sensors")


class Subject:
    """A sensor whose machine takes ``power_w``; time passes as the test wants, and the tree shows it."""

    def __init__(self, root, case):
        self.root, self.case, self.power_w = root, case, case.power_w
        self.before_read, self._lock = lambda: None, threading.Lock()
        machine.write(root, case.tree)
        boards.vcgencmd(root, boards.PMIC)
        self.sensor, self.reason = sensors.find(root, case.name)
        self._clock, self._turn = machine.Rushing(), itertools.count()
        source = self.sensor._source
        read = self._clock.watched(partial(self._read, source.read))
        self.sensor._source = replace(source, read=read, clock=self._clock, wait=self._clock.wait)

    def _read(self, read):
        joules = 100.0 + self.power_w * math.floor(self._clock() / 0.05) * 0.05  # a counter is updated each 50 ms
        jitter = next(self._turn) % 2 if self.power_w else 0
        with self._lock:
            self.case.show(self.root, self.power_w, joules, jitter)
        self.before_read()
        return read()

    def let_pass(self):
        self._clock.read(60)

    def take_away(self):
        with self._lock:
            self.case = replace(self.case, show=lambda *_: None)
            (self.root / self.case.file).unlink()

    def block(self, released):
        self.sensor._source = replace(self.sensor._source, stuck_s=0.05)
        self.before_read = lambda: released.wait(60)


class Gpu(Subject):
    """A GPU, whose module is the tree."""

    def __init__(self, root, monkeypatch, without=()):
        fake = boards.FakeNvml(without=without)
        monkeypatch.setitem(sensors.KINDS, "nvml", partial(nvml.look, load=lambda _: fake))

        def show(root, watts, joules, jitter):
            fake.mj, fake.mw = math.floor(joules * 1000), round(watts * 1000) + jitter

        super().__init__(root, boards.Case("nvml", {"dev/nvidiactl": ""}, show, "dev/nvidiactl", 300.0))
        self._fake = fake

    def take_away(self):
        self._fake._without = ("energy", "power")


class Rapl(Subject):
    """RAPL, which nobody samples: its clock moves the counter."""

    def __init__(self, root):
        self.root, self.power_w, self.reason = root, 20.0, None
        self._lock = threading.Lock()
        machine.write(root, machine.zone("intel-rapl:0", "package-0"))
        self._zone = root / "sys/class/powercap/intel-rapl:0"
        self._clock = machine.Ticking(self._zone / "energy_uj", self.power_w)
        self.case = boards.Case("rapl", {}, lambda *_: None, "sys/class/powercap/intel-rapl:0/energy_uj", 20.0)
        self.sensor = rapl.Rapl([self._zone], self._clock)

    @property
    def power_w(self):
        return self._power_w

    @power_w.setter
    def power_w(self, value):
        self._power_w = value
        if hasattr(self, "_clock"):
            self._clock.power_w = value

    def let_pass(self):
        self._clock.advance(2.0)


READ_BY_A_THREAD = ["gpu", "gpu without a counter", *boards.CASES]


@pytest.fixture(params=["rapl", *READ_BY_A_THREAD])
def subject(request, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_LIMIT_S", 0.02)
    if request.param == "rapl":
        return Rapl(tmp_path)
    if request.param.startswith("gpu"):
        return Gpu(tmp_path, monkeypatch, ("energy",) if "without" in request.param else ())
    return Subject(tmp_path, boards.CASES[request.param])


def test_it_measures_watts_times_seconds_each_time_anew(subject):
    for power_w in (subject.power_w, 2 * subject.power_w):
        subject.power_w = power_w
        subject.sensor.start()
        subject.let_pass()
        reading = subject.sensor.stop()
        assert reading.energy_j == pytest.approx(power_w * reading.window_s, rel=5e-3)
        assert reading.window_s >= 1.0
        assert 0 < reading.resolution_j < 0.01 * reading.energy_j
        assert 0 < reading.period_s <= 1.0
        assert reading.gain is None or 0 < reading.gain <= 0.01
        assert reading.cost_s >= 0


def test_it_has_a_name_that_finds_it_and_says_what_it_covers(subject):
    _: Sensor = subject.sensor
    assert subject.reason is None
    assert subject.sensor.covers
    assert subject.sensor.name in sensors.names(subject.root)
    again, reason = sensors.find(subject.root, subject.sensor.name)
    assert (again.name, again.covers, reason) == (subject.sensor.name, subject.sensor.covers, None)


def test_a_survey_shows_it_as_usable_with_what_a_read_takes(subject):
    (found,) = [found for found in sensors.survey(subject.root) if found.name == subject.sensor.name]
    assert (found.covers, found.reason, found.fix) == (subject.sensor.covers, None, None)
    assert found.read_s > 0


def test_it_tells_its_period_once_it_is_started(subject):
    assert subject.sensor.period_s == 0
    subject.sensor.start()
    subject.let_pass()
    assert 0 < subject.sensor.period_s <= 1.0
    subject.sensor.stop()


def test_what_vanishes_in_the_window_is_an_error_and_no_joules(subject):
    subject.sensor.start()
    subject.let_pass()
    subject.take_away()
    with pytest.raises(Failure, match="cannot be read") as caught:
        subject.sensor.stop()
    assert caught.value.kind == "MeterError"


def test_what_is_gone_before_cannot_be_started(subject):
    subject.take_away()
    with pytest.raises(Failure, match="cannot be read") as caught:
        subject.sensor.start()
    assert caught.value.kind == "MeterError"


def test_nothing_is_an_error_and_not_zero(subject):
    subject.power_w = 0.0
    with pytest.raises(Failure, match=r"stuck|not wired") as caught:  # noqa: PT012 -- some tell at once, some at the end
        subject.sensor.start()
        subject.let_pass()
        subject.sensor.stop()
    assert caught.value.kind == "MeterError"


@pytest.mark.parametrize("subject", READ_BY_A_THREAD, indirect=True)
def test_a_driver_that_blocks_is_the_sensors_fault_and_no_hang(subject):
    released = threading.Event()
    subject.block(released)
    try:
        with pytest.raises(Failure, match=r"does not answer: reading it took more than 0\.05 s"):
            subject.sensor.start()
    finally:
        released.set()
