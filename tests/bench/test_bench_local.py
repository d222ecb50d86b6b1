"""The local transport and its processes: what only they can show."""

import errno
import os
import resource
import shutil
import signal
import stat
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from joulefront.bench import local
from joulefront.bench.channel import ProcessChannel
from joulefront.errors import AgentDied, AgentTimeout, TransportError
from joulefront_agent import wire


@pytest.fixture
def transport():
    with closing(local.LocalTransport()) as transport:
        yield transport


def ask(channel, op, params=None, number=1):
    channel.send(wire.encode_request(wire.Request(number, op, params or {})))
    return wire.decode_answer(channel.receive(60.0))


def start_hanging(transport, channel, broken, run_of):
    """Start a run that never ends; returns its process."""
    job = broken["hang"]
    library = transport.put(job.library, job.sha256)
    channel.send(wire.encode_request(wire.Request(1, "run", run_of(job, library=library).to_wire())))
    agent = psutil.Process(channel.pid)
    while not agent.children():
        assert agent.is_running()
    return agent.children()[0]


def ended(process):
    gone, _ = psutil.wait_procs([process], timeout=30)
    return bool(gone) or process.status() == psutil.STATUS_ZOMBIE


def test_the_folder_is_private_and_removed(transport):
    path = Path(transport.put(Path(__file__), "0" * 64))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    transport.close()
    assert not path.parent.exists()


def another_file_system(*_):
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.mark.parametrize("linked", [True, False])
def test_only_what_was_shipped_last_takes_room(transport, tmp_path, monkeypatch, linked):
    if not linked:
        monkeypatch.setattr(os, "link", another_file_system)
    files = [tmp_path / f"{number}.so" for number in range(6)]
    for file in files:
        file.write_bytes(b"x" * 100)
    reference = transport.put(files[0], "r" * 64)
    for number, file in enumerate(files[1:]):
        path = Path(transport.put(file, str(number) * 64))
        assert path.stat().st_nlink == (2 if linked else 1) or path.stat().st_dev != file.stat().st_dev
        assert transport.put(files[0], "r" * 64) == reference
        assert Path(reference).read_bytes() == path.read_bytes() == b"x" * 100
    assert len(list(transport._folder.iterdir())) == 3


def test_folders_of_sessions_that_were_killed_are_swept_up(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    process = psutil.Popen([sys.executable, "-c", ""])
    process.wait()
    killed, lives = tmp_path / f"joulefront-{process.pid}-abcd1234", tmp_path / f"joulefront-{os.getppid()}-abcd1234"
    strangers = [tmp_path / name for name in (f"joulefront-{process.pid}", "joulefront-x-y", "joulefront-1-2-3")]
    for folder in (killed, lives, *strangers):
        folder.mkdir()
        (folder / "x.so").write_bytes(b"x")
    with closing(local.LocalTransport()) as transport:
        assert set(tmp_path.iterdir()) == {lives, *strangers, transport._folder}


def test_a_full_disk_leaves_no_partial_file(transport, tmp_path, monkeypatch):
    (tmp_path / "x.so").write_bytes(b"x" * 100)
    copy = shutil.copyfile

    def half(source, target):
        Path(target).write_bytes(b"x" * 50)
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(os, "link", another_file_system)
    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(TransportError, match="No space left on device"):
        transport.put(tmp_path / "x.so", "0" * 64)
    assert list(transport._folder.iterdir()) == []
    monkeypatch.setattr(shutil, "copyfile", copy)
    assert Path(transport.put(tmp_path / "x.so", "0" * 64)).read_bytes() == b"x" * 100


def test_no_room_for_a_folder_is_a_transport_error(monkeypatch):
    monkeypatch.setattr(local.tempfile, "mkdtemp", lambda **_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(TransportError, match="full"):
        local.LocalTransport()


def test_without_tvm_the_message_says_so(monkeypatch):
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TransportError, match="tvm is not installed"):
        local.LocalTransport()


def test_the_agent_has_a_process_group_of_its_own(transport):
    with closing(transport.start()) as channel:
        assert os.getpgid(channel.pid) == channel.pid != os.getpgid(0)


@pytest.mark.parametrize(
    "line", [b"", b"garbage \xff\x00", b"[1]", b'{"id": 3}', b'{"id": 1, "op": "no", "params": {}}']
)
def test_garbage_gets_an_error_answer_and_the_agent_lives(transport, line):
    with closing(transport.start()) as channel:
        channel.send(line)
        answer = wire.decode_answer(channel.receive(60.0))
        assert (answer.id, answer.error.kind) == (None, "WireError")
        assert ask(channel, "ping").ok == {}


def test_wrong_params_get_an_error_answer_with_the_requests_id(transport):
    with closing(transport.start()) as channel:
        for op in ("run", "hello"):
            answer = ask(channel, op, {"version": wire.VERSION, "surplus": 1}, number=4)
            assert (answer.id, answer.error.kind) == (4, "WireError")
        assert "surplus" in answer.error.message


@pytest.mark.parametrize(
    ("op", "key", "value"),
    [("hello", "silence_s", int("9" * 400)), ("hello", "silence_s", 1e300), ("run", "timeout_s", 1e300)],
)
def test_numbers_beyond_all_measure_do_not_end_the_agent(transport, broken, run_of, op, key, value):
    params = wire.Hello(1.0, "auto").to_wire() if op == "hello" else run_of(broken["crash"]).to_wire()
    with closing(transport.start()) as channel:
        answer = ask(channel, op, {**params, key: value}, number=4)
        assert (answer.id, answer.ok) == (4, None)
        assert ask(channel, "ping", number=5).ok == {}


def test_the_agent_answers_while_a_run_is_on_its_way_but_does_no_second_one(transport, broken, run_of):
    with closing(transport.start()) as channel:
        start_hanging(transport, channel, broken, run_of)
        assert ask(channel, "ping", number=2).ok == {}
        assert ask(channel, "conditions", number=3).ok["cpu_total_s"] > 0
        second = ask(channel, "run", run_of(broken["hang"]).to_wire(), number=4)
        assert (second.error.kind, second.error.message) == ("AgentError", "a run is still on its way; one at a time")


def test_the_end_of_input_ends_the_agent_and_its_child(transport, broken, run_of):
    channel = transport.start()
    child = start_hanging(transport, channel, broken, run_of)
    channel.close()
    assert ended(child)


def test_stopped_pings_end_the_agent_and_its_child(transport, broken, run_of):
    with closing(transport.start()) as channel:
        ask(channel, "hello", wire.Hello(1.0, "auto").to_wire())
        child = start_hanging(transport, channel, broken, run_of)
        with pytest.raises(AgentDied, match="nothing heard for 1 s"):
            list(iter(lambda: channel.receive(60.0), None))  # the run's own answer may come first: its child was killed
        assert ended(child)


def test_a_killed_agent_takes_its_child_along(transport, broken, run_of):
    with closing(transport.start()) as channel:
        child = start_hanging(transport, channel, broken, run_of)
        os.kill(channel.pid, signal.SIGKILL)
        with pytest.raises(AgentDied, match="ended by SIGKILL"):
            channel.receive(60.0)
        assert ended(child)


def test_a_killed_child_is_reported_and_the_agent_lives(transport, broken, run_of):
    with closing(transport.start()) as channel:
        start_hanging(transport, channel, broken, run_of).kill()
        assert wire.decode_answer(channel.receive(60.0)).error.kind == "OutOfMemory"
        assert ask(channel, "ping").ok == {}


def test_a_network_that_needs_more_memory_than_there_is(transport, jobs, run_of):
    with closing(transport.start()) as channel:
        ask(channel, "ping")
        psutil.Process(channel.pid).rlimit(psutil.RLIMIT_AS, (2 << 30, 2 << 30))  # its child inherits it
        job = jobs["huge"]
        library = transport.put(job.library, job.sha256)
        assert ask(channel, "run", run_of(job, library=library).to_wire()).error.kind == "OutOfMemory"


def python(code, folder):
    return ProcessChannel([sys.executable, "-c", code], dict(os.environ), folder)


def test_the_tail_of_stderr_is_in_the_error(tmp_path):
    code = "import sys; sys.stderr.write('a' * 9000 + 'the reason'); sys.exit(7)"
    with closing(python(code, tmp_path)) as channel:
        with pytest.raises(AgentDied, match=r"exit status 7; the end of its stderr: a+the reason") as caught:
            channel.receive(60.0)
        assert len(str(caught.value)) < 5000


def test_lines_are_put_together_from_pieces(tmp_path):
    code = "import os\nfor piece in (b'on', b'e\\ntwo\\nth', b'ree\\n'): os.write(1, piece)\ninput()"
    with closing(python(code, tmp_path)) as channel:
        assert [channel.receive(60.0) for _ in range(3)] == [b"one", b"two", b"three"]


def test_an_agent_that_reads_nothing_is_a_timeout_and_not_a_hang(tmp_path, monkeypatch):
    monkeypatch.setattr("joulefront.bench.channel._SEND_S", 0.2)
    monkeypatch.setattr("joulefront.bench.channel._END_S", 0.2)
    with closing(python("import time; time.sleep(600)", tmp_path)) as channel:
        with pytest.raises(AgentTimeout, match="read nothing"):
            channel.send(b"x" * 10_000_000)
        process = psutil.Process(channel.pid)
    assert ended(process)


def test_a_descriptor_above_1023_is_waited_for(tmp_path):
    low, high = resource.getrlimit(resource.RLIMIT_NOFILE)
    if high < 1200:
        pytest.skip("so many files may not be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(low, 1200), high))
    taken = []
    try:
        while not taken or taken[-1] < 1030:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        with closing(python("print(input())", tmp_path)) as channel:
            channel.send(b"hello")
            assert channel.receive(60.0) == b"hello"
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, high))


def test_an_agent_ended_by_a_signal_without_a_name(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)"
    said = f"ended by signal {signal.SIGRTMIN + 1}"
    with closing(python(code, tmp_path)) as channel, pytest.raises(AgentDied, match=said):
        channel.receive(60.0)


def test_a_command_that_is_none(tmp_path):
    with pytest.raises(TransportError, match="cannot be started"):
        ProcessChannel(["/nowhere/python"], {}, tmp_path)
