"""What every Transport, and the Channel that it starts, has to do."""

import hashlib
import os
import sys
from contextlib import closing, contextmanager
from pathlib import PurePosixPath

import pytest

from joulefront.bench.local import LocalTransport
from joulefront.bench.ssh import SshTransport
from joulefront.errors import AgentDied, AgentTimeout, TransportError
from joulefront.protocols import Transport
from joulefront_agent import wire
from real_sshd import sshd
from ssh_server import SshServer


@contextmanager
def local(folder):
    yield LocalTransport()


@contextmanager
def ssh(folder):
    with closing(SshServer(folder)) as server:
        yield SshTransport(python=sys.executable, **server.arguments)


@contextmanager
def real_ssh(folder):
    with sshd() as server:
        yield SshTransport(python="/usr/bin/python3", **server.arguments)


TRANSPORTS = {"local": local, "ssh": ssh, "sshd": real_ssh}


@pytest.fixture(params=["local", "ssh", pytest.param("sshd", marks=pytest.mark.sshd)])
def transport(request, tmp_path_factory):
    with TRANSPORTS[request.param](tmp_path_factory.mktemp("device")) as transport, closing(transport):
        yield transport


@pytest.fixture
def channel(transport):
    with closing(transport.start()) as channel:
        yield channel


def ask(channel, op, params, number=1):
    channel.send(wire.encode_request(wire.Request(number, op, params)))
    return wire.decode_answer(channel.receive(60.0))


def shipped(transport, channel, file):
    """What the agent says about a file that it is asked to run."""
    data = file.read_bytes()
    run = wire.Run(
        transport.put(file, hashlib.sha256(data).hexdigest()), hashlib.sha256(data).hexdigest(), (), 1, False, False,
        0.0, 0.0, 1, 0.0, 0.0, 0, 0.0, (), 30.0,
    )  # fmt: skip
    return ask(channel, "run", run.to_wire()).error


def test_it_has_what_the_protocol_names(transport):
    assert all(callable(getattr(transport, name)) for name in ("start", "put", "close"))
    _: Transport = transport


def test_the_agent_that_it_starts_answers(channel):
    answer = ask(channel, "hello", wire.Hello(30.0, "auto").to_wire())
    assert answer.ok["protocol"] == wire.VERSION


def test_a_long_line_arrives_whole(channel):
    answer = ask(channel, "ping", {"padding": "x" * 3_000_000}, number=5)
    assert (answer.id, answer.error) == (5, None)


def test_a_line_that_comes_late_is_not_lost(channel):
    with pytest.raises(AgentTimeout, match=r"did not answer within 0\.05 s"):
        channel.receive(0.05)
    assert ask(channel, "ping", {}, number=9).id == 9


def test_a_file_is_shipped_under_its_hash_and_intact(transport, channel, tmp_path):
    file = tmp_path / "network.so"
    file.write_bytes(os.urandom(100_000))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    path = PurePosixPath(transport.put(file, sha256))
    assert path.is_absolute()
    assert sha256 in path.name
    # The agent checks the hash before anything else: with the right one it gets as far as loading what is no library.
    assert shipped(transport, channel, file).kind == "Crashed"


def test_a_file_is_shipped_once(transport, tmp_path):
    file = tmp_path / "network.so"
    file.write_bytes(b"x")
    sha256 = hashlib.sha256(b"x").hexdigest()
    path = transport.put(file, sha256)
    file.unlink()
    assert transport.put(file, sha256) == path


def test_many_files_are_shipped_and_each_may_be_shipped_again(transport, channel, tmp_path):
    files = [tmp_path / f"{number}.so" for number in range(10)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 100)
        assert shipped(transport, channel, file).kind == "Crashed"
    # Two at least, the reference and a candidate, are there at a time.
    for _ in range(2):
        for file in (files[0], files[5]):
            assert shipped(transport, channel, file).kind == "Crashed"


def test_a_file_that_cannot_be_shipped_leaves_nothing_behind(transport, tmp_path):
    file = tmp_path / "network.so"
    sha256 = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(TransportError, match=r"network\.so"):
        transport.put(file, sha256)
    file.write_bytes(b"x")
    assert sha256 in transport.put(file, sha256)


def test_an_agent_that_ended_is_said_to_be_dead_with_its_last_words(channel):
    ask(channel, "hello", wire.Hello(0.2, "auto").to_wire())
    with pytest.raises(AgentDied, match=r"nothing heard for 0\.2 s"):
        channel.receive(60.0)
    with pytest.raises(AgentDied):
        list(map(channel.send, [b"{}"] * 100))  # a pipe may take a line or two that nobody will read


def test_closing_ends_everything_and_may_be_repeated(transport):
    channel = transport.start()
    channel.close()
    channel.close()
    with pytest.raises(AgentDied):
        channel.send(b"{}")
    with pytest.raises(AgentDied):
        channel.receive(1.0)
    transport.close()
    transport.close()
