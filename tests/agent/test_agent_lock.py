"""One session a device, with real agents: who is refused, who is replaced, and when the lock is free again."""

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from joulefront_agent import install, lock, wire
from joulefront_agent.wire import Failure


class Agent:
    """A real one, of a session."""

    def __init__(self, path, session, **environment):
        command = [
            sys.executable,
            "-m",
            "joulefront_agent",
            "--runtime",
            "none.so",
            "--lock",
            path,
            "--session",
            session,
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
        )

    def ask(self, op, params):
        self.process.stdin.write(wire.encode_request(wire.Request(1, op, params)) + b"\n")
        self.process.stdin.flush()
        return wire.decode_answer(self.process.stdout.readline())

    def hello(self):
        return self.ask("hello", wire.Hello(60.0, "none").to_wire())

    def end(self):
        self.process.stdin.close()
        return self.process.wait(60)


@pytest.fixture
def start(tmp_path):
    agents = []

    def make(session, **environment):
        agents.append(Agent(tmp_path / "lock", session, **environment))
        return agents[-1]

    yield make
    for agent in agents:
        agent.process.kill()
        agent.process.wait()
        agent.process.stdin.close()
        agent.process.stdout.close()


def test_another_session_is_told_who_measures_until_that_one_ends(start, tmp_path):
    first = start("one", SSH_CONNECTION="192.168.1.5 50000 192.168.1.20 22")
    assert first.hello().error is None
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    second = start("two")
    for op in ("hello", "conditions", "run"):
        refused = second.ask(op, {}).error
        assert refused.kind == "Busy"
        assert "another session (from 192.168.1.5) measures on it since 20" in refused.message
        assert "one whose host is gone ends by itself within a minute" in refused.message
    assert first.ask("ping", {}).error is None
    assert first.end() == 0
    assert start("two").hello().error is None


def test_an_agent_that_its_own_session_left_over_is_replaced(start):
    first = start("one")
    assert first.hello().error is None
    second = start("one")
    assert second.hello().error is None
    assert first.process.wait(60) == -signal.SIGKILL


def test_the_lock_of_an_agent_that_was_killed_is_free(start):
    first = start("one")
    assert first.hello().error is None
    first.process.kill()
    first.process.wait()
    assert start("two").hello().error is None


def test_no_program_that_a_holder_starts_keeps_the_lock(tmp_path):
    code = (
        "import subprocess, sys, pathlib; from joulefront_agent import lock; lock.take(pathlib.Path(sys.argv[1]), 'one');"
        "print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, tmp_path / "lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        started = int(holder.stdout.readline())
        try:
            holder.kill()
            holder.wait()
            os.kill(started, 0)
            os.close(lock.take(tmp_path / "lock", "two"))
        finally:
            os.kill(started, signal.SIGKILL)


@pytest.mark.parametrize("content", [{"session": "one", "since": 0.0, "host": None}, None])
def test_no_process_is_killed_that_is_no_agent(tmp_path, monkeypatch, content):
    monkeypatch.setattr(lock, "_TAKE_OVER_S", 0.1)
    path = tmp_path / "lock"
    with subprocess.Popen(["sleep", "600"]) as bystander, path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(json.dumps({**content, "pid": bystander.pid}) if content else "not yet")
        held.flush()
        try:
            with pytest.raises(Failure, match=r"another agent measures on it, and did not end within 0\.1 s") as caught:
                lock.take(path, "one")
            assert caught.value.kind == "Busy"
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_lock_that_cannot_be_opened_is_no_licence(tmp_path):
    with pytest.raises(Failure, match=r"cannot be told: .*No such file") as caught:
        lock.take(tmp_path / "missing" / "lock", "one")
    assert caught.value.kind == "Busy"


def test_a_lock_without_a_session_is_refused():
    command = [sys.executable, "-m", "joulefront_agent", "--runtime", "none.so", "--lock", "x"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--lock needs --session" in ended.stderr


def test_a_lock_that_was_removed_while_it_was_waited_for_is_none(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    wait, opened = lock._wait, []

    def removed_meanwhile(descriptor, *given):
        wait(descriptor, *given)
        if not opened:
            monkeypatch.setattr(lock, "_wait", wait)
            path.unlink()
            opened.append(lock.take(path, "other"))

    monkeypatch.setattr(lock, "_wait", removed_meanwhile)
    monkeypatch.setattr(lock, "_TAKE_OVER_S", 0.1)
    with pytest.raises(Failure, match="did not end within"):  # it would have had a lock that nobody else looks at
        lock.take(path, "one")
    os.close(opened[0])
    os.close(lock.take(path, "one"))


def test_what_a_removal_holds_is_waited_for(tmp_path):
    path = tmp_path / "lock"
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with path.open("r+") as looking:
            assert install.refusal(looking.fileno(), "one") == "another process holds its lock"
    with path.open("r+") as looking:
        assert install.refusal(looking.fileno(), "one") is None


def test_what_a_session_was_shipped_in_is_marked_as_used_by_each_run(start, tmp_path):
    for name in ("agent-1", "runtime-1", "agent-2"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0.0, 0.0))
    path = [f"{tmp_path}/agent-1", f"{tmp_path}/runtime-1", *filter(None, [os.environ.get("PYTHONPATH")])]
    agent = start("one", PYTHONPATH=os.pathsep.join(path))
    run = wire.Run("/none.so", "0" * 64, (), 1, False, False, 0.0, 0.0, 1, 0.0, 0.0, 0, 15.0, (), 1.0)
    assert agent.ask("run", run.to_wire()).error.kind == "BadFile"
    used = {path.name for path in tmp_path.iterdir() if path.is_dir() and path.stat().st_mtime > 0}
    assert used == {"agent-1", "runtime-1"}
