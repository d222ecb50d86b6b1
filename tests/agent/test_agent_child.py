"""What the agent and its child look at before a network is loaded."""

import hashlib
import os
import subprocess
import sys

import pytest
from fake_machine import RASPBERRY_PI_4, write

from joulefront_agent import child, runner, wire
from joulefront_agent.wire import Failure


def test_an_energy_that_cannot_be_measured_is_an_error_with_its_reason(tmp_path):
    run = wire.Run("/x.so", "0" * 64, (), 1, False, False, 0.0, 0.0, 1, 0.0, 2.0, 0, 15.0, ("auto",), 60.0)
    with pytest.raises(Failure, match=r"no RAPL package zone.*hwmon has no chip that measures power") as caught:
        child.measure(run, "/none.so", write(tmp_path, RASPBERRY_PI_4))
    assert caught.value.kind == "MeterError"


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
