"""A session: the handshake, timeouts, pings, and an agent that is started anew."""

from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import pytest
from scripted import CONDITIONS, FACTS, Die, ScriptedTransport, Silence, ran

from joulefront.bench import session as module
from joulefront.bench.session import Session
from joulefront.errors import AgentDied, AgentTimeout, WireMismatch
from joulefront_agent import wire

LIBRARY = Path("x.so")
RUN = wire.Run("/x.so", "0" * 64, (), 1, True, False, 0.0, 0.0, 1, 0.0, 0.0, 0, 15.0, ("auto",), 0.0)


def wait_until(condition):
    deadline_s = monotonic() + 30
    while not condition():
        assert monotonic() < deadline_s
        sleep(0.001)


def test_facts_are_what_hello_says():
    transport = ScriptedTransport()
    with Session(transport, "auto") as session:
        assert session.facts == FACTS
    assert transport.asked == ["hello"]


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        ({**FACTS, "protocol": 99}, "speaks version 99 of the protocol"),
        ({**FACTS, "tvm_ffi": "0.1.15"}, "has apache-tvm-ffi 0.1.15, this harness"),
        ({**FACTS, "tvm_ffi": None}, "has apache-tvm-ffi None"),
        ({**FACTS, "cores": [1]}, "cores: expected a number"),
        (b"Welcome to Debian!", "not of the protocol"),
    ],
)
def test_an_agent_that_is_not_ours_is_refused(hello, said):
    transport = ScriptedTransport(hello=lambda params: hello)
    with pytest.raises(WireMismatch, match=said), Session(transport, "auto"):
        pass


def test_an_agent_of_another_version_that_refuses_us_is_a_mismatch():
    def refuse(params):
        raise wire.Failure("WireError", "the harness speaks version 1, this agent version 2")

    with pytest.raises(WireMismatch, match="this agent version 2"), Session(ScriptedTransport(hello=refuse), "auto"):
        pass


def test_what_ran_comes_back_and_a_failure_is_raised():
    answers = [ran(2e-3).to_wire()]

    def run(params):
        if answers:
            return answers.pop()
        raise wire.Failure("Hung", "too slow")

    with Session(ScriptedTransport(run=run), "auto") as session:
        assert session.run(RUN, LIBRARY) == ran(2e-3)
        with pytest.raises(wire.Failure, match="too slow"):
            session.run(RUN, LIBRARY)


def test_an_answer_of_another_shape_is_a_mismatch():
    transport = ScriptedTransport(run=lambda params: {"surprise": 1})
    with Session(transport, "auto") as session, pytest.raises(WireMismatch, match="answer to run"):
        session.run(RUN, LIBRARY)


def test_a_run_whose_agent_dies_is_not_repeated_and_the_next_request_starts_another():
    def die(params):
        raise Die

    transport = ScriptedTransport(run=die)
    with Session(transport, "auto") as session:
        with pytest.raises(AgentDied):
            session.run(RUN, LIBRARY)
        assert session.restarts == []
        assert session.conditions()["cpu_total_s"] == 1.0
        assert session.restarts == ["scripted: the end"]
    assert transport.asked == ["hello", "run", "hello", "conditions"]


def test_conditions_are_asked_for_once_more():
    deaths = [1]

    def die_once(params):
        if deaths:
            deaths.pop()
            raise Die
        return CONDITIONS

    transport = ScriptedTransport(conditions=die_once)
    with Session(transport, "auto") as session:
        assert session.conditions() == CONDITIONS
    assert transport.asked == ["hello", "conditions", "hello", "conditions"]


def test_a_silent_agent_is_pinged_and_then_given_up(monkeypatch):
    def silence(params):
        raise Silence

    clock = iter(range(1000))
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    transport = ScriptedTransport(run=silence, ping=silence)
    with Session(transport, "auto") as session:
        with pytest.raises(AgentTimeout, match="run took more than 20 s"):
            session.run(RUN, LIBRARY)
        with pytest.raises(AgentTimeout, match="answered no ping for 60 s"):
            session.run(replace(RUN, timeout_s=600.0), LIBRARY)
    assert transport.asked.count("ping") > 2


def test_a_ping_that_is_answered_late_is_no_answer_to_the_request():
    pending = []

    def slow(params):
        pending.append(params)
        raise Silence

    def ping(params):
        # The run's answer comes after the ping's.
        transport.late = ran(3e-3).to_wire()
        return {}

    transport = ScriptedTransport(run=slow, ping=ping)
    with Session(transport, "auto") as session:
        channel = session._channel
        receive = channel.receive

        def answer(timeout_s):
            if not channel.lines and hasattr(transport, "late"):
                channel.lines.append(wire.encode_answer(wire.Answer(2, transport.late)))
            return receive(timeout_s)

        channel.receive = answer
        assert session.run(RUN, LIBRARY) == ran(3e-3)


def test_an_idle_agent_is_kept_alive(monkeypatch):
    monkeypatch.setattr(wire, "PING_S", 0.01)
    transport = ScriptedTransport()
    with Session(transport, "auto"):
        wait_until(lambda: transport.asked.count("ping") >= 3)
    assert transport.asked[0] == "hello"


def test_an_idle_agent_that_dies_is_replaced_when_it_is_needed(monkeypatch):
    monkeypatch.setattr(wire, "PING_S", 0.01)
    deaths = [1]

    def ping(params):
        if deaths:
            deaths.pop()
            raise Die
        return {}

    transport = ScriptedTransport(ping=ping)
    with Session(transport, "auto") as session:
        wait_until(lambda: not deaths)
        session.conditions()
        assert transport.started == 2
