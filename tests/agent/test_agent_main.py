"""The agent's loop, without a process: whatever goes wrong is an answer."""

import io

import pytest

from joulefront_agent import conditions, wire
from joulefront_agent.__main__ import Agent


def answers(agent, out, request):
    agent._handle(wire.encode_request(request))
    line, *others = out.getvalue().splitlines()
    out.seek(0)
    out.truncate()
    assert not others
    return wire.decode_answer(line)


@pytest.mark.parametrize("error", [RuntimeError("odd"), TypeError("odd"), OSError("odd"), OverflowError("odd")])
def test_any_error_is_answered(tmp_path, monkeypatch, error):
    def fail(root):
        raise error

    monkeypatch.setattr(conditions, "read", fail)
    agent = Agent(None, tmp_path, out := io.BytesIO(), work=tmp_path)
    answer = answers(agent, out, wire.Request(3, "conditions", {}))
    assert (answer.id, answer.error.kind, answer.error.message) == (3, "AgentError", f"{type(error).__name__}: odd")


def test_a_run_that_got_no_thread_leaves_the_agent_free(tmp_path, monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", fail)
    agent = Agent(None, tmp_path, out := io.BytesIO(), work=tmp_path)
    run = wire.Run("/x.so", "0" * 64, (), 1, True, False, 0.0, 0.0, 1, 0.0, 0.0, 0, 15.0, ("auto",), 0.0)
    for _ in range(2):
        assert "can't start new thread" in answers(agent, out, wire.Request(1, "run", run.to_wire())).error.message


def test_a_harness_that_is_gone_is_not_answered(tmp_path, monkeypatch):
    class Gone(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Agent(None, tmp_path, Gone(), work=tmp_path)._handle(b"{}")
