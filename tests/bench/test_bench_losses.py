"""A device that is lost while it measures: what was begun is measured anew, and nobody is blamed in a hurry."""

from dataclasses import replace

import pytest
from scripted import CONDITIONS, FACTS, ScriptedTransport, ran
from test_bench import GOOD, JOB, REFERENCE, WINDOW, WITH_SENSOR

from joulefront.bench import Bench
from joulefront.bench import session as sessions
from joulefront.config import MeasureConfig
from joulefront.errors import AgentDied, BenchError, ConnectionLost, Crashed, TransportError
from joulefront_agent import identity, wire
from joulefront_devices import Device


class Board:
    """Runs networks, is lost at the runs of these numbers, and boots meanwhile if ``boots``."""

    def __init__(self, lost_at=(), boots=False, facts=FACTS, loss=None):
        self.lost_at, self.boots, self.facts = set(lost_at), boots, dict(facts)
        self.loss = loss or ConnectionLost("scripted: the connection is lost")
        self.runs, self.boot = [], 1
        self.transport = ScriptedTransport(hello=self.hello, conditions=lambda params: CONDITIONS, run=self.run)

    def hello(self, params):
        return {**self.facts, "boot": f"boot {self.boot}"}

    def run(self, params):
        self.runs.append(params["sha256"][0])
        if len(self.runs) in self.lost_at:
            self.boot += self.boots
            raise self.loss
        outputs, window = GOOD if params["outputs"] else (), WINDOW if params["energy_s"] else None
        return ran(1e-3 + 1e-6 * (self.boot - 1), outputs=outputs, window=window).to_wire()


@pytest.fixture
def job(tmp_path):
    return replace(JOB, library=tmp_path / "x.so")


@pytest.fixture
def open_bench(monkeypatch):
    monkeypatch.setattr("joulefront.bench.settle.sleep", lambda seconds: None)

    def opened(board):
        monkeypatch.setattr("joulefront.plugins.build", lambda *args, **kwargs: board.transport)
        return Bench(Device(name="scripted"), MeasureConfig(repeats=3), 1)

    return opened


def test_a_round_is_measured_anew_when_the_connection_comes_back(open_bench, job):
    board = Board(lost_at=[2])
    with open_bench(board) as bench:
        measured = bench.measure(job, "screening")
    assert board.runs == ["a"] * 4
    assert len(measured.repeats_s) == 3
    # What was begun is no part of it, nor is its loss a doubt about the rest: the device is the same.
    assert not any("was lost" in warning for warning in measured.warnings)


def test_what_was_measured_before_a_boot_is_no_part_of_a_measurement(open_bench, job):
    board = Board(lost_at=[3], boots=True)
    with open_bench(board) as bench:
        bench.reference = replace(REFERENCE, library=job.library)
        measured = bench.measure(job, "screening")
    assert board.runs == ["a", "a", "a", "b", "a", "a", "a"]
    assert measured.latency_s.value == 1.001e-3


def test_an_agent_that_ends_because_the_device_boots_is_no_crash(open_bench, job):
    board = Board(lost_at=[2], boots=True, loss=AgentDied("scripted: SIGTERM"))
    with open_bench(board) as bench:
        measured = bench.measure(job, "screening")
    assert measured.latency_s.value == 1.001e-3
    assert len(measured.repeats_s) == 3


def test_a_network_that_takes_the_device_down_twice_has_crashed(open_bench, job):
    board = Board(lost_at=[1, 3], boots=True)
    with open_bench(board) as bench:
        bench.reference = replace(REFERENCE, library=job.library)
        with pytest.raises(Crashed, match=r"candidate: the device booted 2 times while it was measured"):
            bench.measure(job, "screening")
        assert board.runs == ["a", "b", "a", "b"]
        assert bench.measure(replace(job, sha256="c" * 64), "screening").latency_s.value > 0


def test_without_a_network_that_is_known_to_run_nobody_is_blamed_for_two_boots(open_bench, job):
    board = Board(lost_at=[1, 2], boots=True)
    with open_bench(board) as bench, pytest.raises(BenchError, match="look at its power supply") as caught:
        bench.measure(job, "screening")
    assert not isinstance(caught.value, ConnectionLost)


def test_a_connection_that_is_lost_while_a_library_is_shipped_is_waited_for(open_bench, job, monkeypatch):
    board, calls = Board(), []
    put = board.transport.put

    def lost_twice(source, sha256):
        calls.append(sha256)
        if len(calls) in (1, 3):
            raise ConnectionLost("scripted: while shipping")
        return put(source, sha256)

    monkeypatch.setattr(board.transport, "put", lost_twice)
    with open_bench(board) as bench:
        assert len(bench.measure(job, "screening").repeats_s) == 3
    assert board.transport.started == 3


def test_the_reference_is_run_with_the_meter_when_a_network_failed_with_it(open_bench, job):
    board = Board(facts=WITH_SENSOR)
    asked = []

    def run(params):
        asked.append((params["sha256"][0], params["energy_s"]))
        if params["energy_s"]:
            raise wire.Failure("Hung", "scripted: the meter does not answer")
        return board.run(params)

    board.transport.ops["run"] = run
    with open_bench(board) as bench:
        bench.reference = replace(REFERENCE, library=job.library)
        with pytest.raises(BenchError, match="and so does the reference"):
            bench.measure(job, "screening")
    assert asked[-1] == ("b", 2.0)


def test_a_way_that_breaks_again_and_again_stops_the_study_and_blames_no_network(open_bench, job):
    board = Board(lost_at=range(1, 100))
    with open_bench(board) as bench, pytest.raises(ConnectionLost):
        bench.measure(job, "screening")
    assert len(board.runs) == 6


def test_a_device_that_does_not_come_back_stops_the_study(open_bench, job, monkeypatch):
    board = Board(lost_at=[1])
    with open_bench(board) as bench:

        def start():
            raise TransportError("no route to host (tried for 600 s)")

        monkeypatch.setattr(board.transport, "start", start)
        with pytest.raises(TransportError, match="tried for 600 s"):
            bench.measure(job, "screening")


def test_sensors_that_come_up_after_sshd_are_waited_for(open_bench, job, monkeypatch):
    monkeypatch.setattr(sessions, "_SENSOR_LOOK_S", 0.0)
    board = Board(lost_at=[1], boots=True, facts=WITH_SENSOR)
    missing = iter([True, True])
    hello = board.hello

    def late(params):
        gone = board.boot > 1 and next(missing, False)
        return {**hello(params), "sensor": None} if gone else hello(params)

    board.transport.ops["hello"] = late
    with open_bench(board) as bench:
        assert bench.measure(job, "screening").latency_s.value == 1.001e-3
    assert board.transport.started == 4


def test_a_sensor_that_does_not_come_back_is_another_device(open_bench, job, monkeypatch):
    monkeypatch.setattr(sessions, "_SENSOR_S", 0.0)
    board = Board(lost_at=[1], boots=True, facts=WITH_SENSOR)
    hello = board.hello
    board.transport.ops["hello"] = lambda params: {**hello(params), "sensor": None if board.boot > 1 else "rapl"}
    with open_bench(board) as bench, pytest.raises(BenchError, match=r"sensor was \['rapl'\], is \[None\]"):
        bench.measure(job, "screening")


def test_what_was_measured_on_a_simulated_machine_says_so(open_bench, job):
    with open_bench(Board(facts={**FACTS, "simulated": "its model is QEMU's"})) as bench:
        assert bench.measure(job, "screening").provenance == "simulated"


def test_only_this_very_machine_shares_its_cores_with_the_host(open_bench, monkeypatch):
    with open_bench(Board()) as bench:
        assert not bench.shares_host
    monkeypatch.setattr(identity, "machine", lambda root: FACTS["machine"])
    with open_bench(Board()) as bench:
        assert bench.shares_host
