"""What the agent and its child look at before a network is loaded."""

import contextlib
import hashlib
import os
import subprocess
import sys
from functools import partial

import pytest
from fake_machine import RASPBERRY_PI_4, write

from joulefront_agent import child, runner, window, wire
from joulefront_agent.sensors.reading import Reading
from joulefront_agent.wire import Failure
from joulefront_agent.wire_energy import Watch


def test_an_energy_that_cannot_be_measured_is_an_error_with_its_reason(tmp_path):
    run = wire.Run("/x.so", "0" * 64, (), 1, False, False, 0.0, 0.0, 1, 0.0, 2.0, 0, 15.0, ("auto",), 60.0)
    with pytest.raises(Failure, match=r"no RAPL package zone.*hwmon has no chip that measures power") as caught:
        child.measure(run, "/none.so", write(tmp_path, RASPBERRY_PI_4))
    assert caught.value.kind == "MeterError"


@pytest.fixture
def asked(monkeypatch):
    """The cores that each sensor is to be read on, on a machine of four of which this process may use three."""
    cores = []

    class Sensor:
        name, covers, period_s = "fake", "all", 0.0

        def start(self):
            pass

        def stop(self):
            return Reading(1.0, 1.0, 1e-6, 0.02)

    def find(root, meter, spare):
        cores.append(set(spare))
        return (None, "told to") if meter == "none there" else (Sensor(), None)

    monkeypatch.setattr(child.sensors, "find", find)
    monkeypatch.setattr(child.spin, "spinning", lambda used: contextlib.nullcontext())
    monkeypatch.setattr(child, "CALM_S", 0.0)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 2, 3})
    return cores


@pytest.mark.parametrize(
    ("busy", "cores", "told"),
    [(0, {0, 2, 3}, "0,2,3"), (1, {2, 3}, "2,3"), (2, {3}, "3"), (3, {0, 2, 3}, "0,2,3 (none is spare)")],
)
def test_sensors_are_read_beside_what_runs_where_there_is_a_core_for_it(tmp_path, asked, busy, cores, told):
    watched = child.watch(Watch(("one", "other"), busy, 0.0, 0, 0.0, 1.0), tmp_path)
    assert asked == [cores, cores]
    assert watched.before["meter_cores"] == told
    assert "meter_cores" not in child.watch(Watch((), busy, 0.0, 0, 0.0, 1.0), tmp_path).before
    run = wire.Run(
        "/x.so", "0" * 64, (), max(busy, 1), False, False, 0.0, 0.0, 1, 0.0, 2.0, 0, 15.0, ("none there",), 60.0
    )
    with pytest.raises(Failure, match="told to"):
        child.measure(run, "/none.so", tmp_path)
    assert asked[2:] == [cores if busy else {2, 3}]


class Slow:
    """A network that takes ``inference_s``, and one inference more than it is asked for."""

    def __init__(self, inference_s):
        self.inference_s, self.now_s = inference_s, 0.0

    def clock(self):
        return self.now_s

    def run(self, count):
        self.now_s += (count + 1) * self.inference_s
        return count + 1


@pytest.mark.parametrize(
    ("told_s", "takes_s", "energy_s", "limit_s", "inferences", "window_s"),
    [
        (3.0, 3.0, 10.0, 15.0, 10, 30.0),  # beyond the limit too: fewer than ten tell little
        (3.0, 5.0, 10.0, 15.0, 10, 50.0),  # slower than it was
        (3.0, 0.5, 10.0, 15.0, 60, 30.0),  # or quicker
        (0.75, 0.75, 10.0, 15.0, 15, 11.25),  # two and one more at a time, since a sensor is looked at each second
        (0.75, 0.75, 2.0, 15.0, 11, 8.25),
    ],
)
def test_a_window_of_energy_holds_ten_inferences_of_a_slow_network(
    tmp_path, monkeypatch, told_s, takes_s, energy_s, limit_s, inferences, window_s
):
    network = Slow(takes_s)
    monkeypatch.setattr(child.window, "take", partial(window.take, clock=network.clock))
    run = wire.Run("/x.so", "0" * 64, (), 1, False, False, 0.0, 0.0, 1, 0.0, energy_s, 0, limit_s, (), 60.0)
    taken = child._window(network, told_s, run, [], tmp_path)
    assert (taken.inferences, taken.end_s - taken.begin_s) == (inferences, pytest.approx(window_s))


@pytest.fixture
def read(monkeypatch):
    """How often each file's bytes are hashed."""
    hashed = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(runner.hashlib, "sha256", lambda: hashed.append(1) or sha256())
    return hashed


def test_a_library_is_hashed_once_and_again_when_it_was_written(tmp_path, read):
    file, known = tmp_path / "network.so", {}
    file.write_bytes(b"one")
    one, other = (hashlib.new("sha256", data).hexdigest() for data in (b"one", b"two"))
    for _ in range(3):
        runner.verify(str(file), one, known)
    assert len(read) == 1
    file.write_bytes(b"two")
    os.utime(file, ns=(0, 1))
    with pytest.raises(Failure, match="damaged on its way") as caught:
        runner.verify(str(file), one, known)
    assert caught.value.kind == "BadFile"
    runner.verify(str(file), other, known)
    assert len(read) == 3


def test_what_was_damaged_stays_damaged_and_what_is_gone_is_gone(tmp_path, read):
    file, known = tmp_path / "network.so", {}
    file.write_bytes(b"one")
    for _ in range(2):
        with pytest.raises(Failure, match="damaged on its way"):
            runner.verify(str(file), "0" * 64, known)
    assert len(read) == 2
    one = hashlib.new("sha256", b"one").hexdigest()
    runner.verify(str(file), one, known)
    file.unlink()
    with pytest.raises(Failure, match="cannot be read"):
        runner.verify(str(file), one, known)


STUCK = """
import sys
from joulefront_agent import wire
request = wire.decode_request(sys.stdin.buffer.readline())
if {answers}:
    failure = wire.Failure("MeterError", "the sensor does not answer")
    sys.stdout.buffer.write(wire.encode_answer(wire.Answer(request.id, None, failure)) + b"\\n")
    sys.stdout.buffer.flush()
import time
time.sleep(600)
"""


@pytest.mark.parametrize(("answers", "kind"), [(True, "MeterError"), (False, "Hung")])
def test_a_child_that_answered_and_cannot_end_has_answered(tmp_path, monkeypatch, answers, kind):
    """As one whose thread a driver blocks: not even SIGKILL ends it before the driver lets go."""
    started, popen = [], subprocess.Popen

    def start(command, **given):
        started.append(popen([sys.executable, "-c", STUCK.format(answers=answers)], **given))
        return started[-1]

    file = tmp_path / "network.so"
    file.write_bytes(b"one")
    monkeypatch.setattr(runner, "_kill", lambda child: None)
    monkeypatch.setattr(runner, "_END_S", 0.05)
    monkeypatch.setattr(runner.subprocess, "Popen", start)
    sha256 = hashlib.sha256(b"one").hexdigest()
    run = wire.Run(
        str(file), sha256, (), 1, False, False, 0.0, 0.0, 1, 0.0, 2.0, 0, 15.0, ("auto",), 5.0 if answers else 0.1
    )
    try:
        with pytest.raises(Failure) as caught:
            runner.Runner("none.so", "/").run(1, run)
        assert caught.value.kind == kind
    finally:
        for child in started:
            child.kill()
            child.communicate()
