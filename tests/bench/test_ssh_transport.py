"""The SSH transport beyond the contract: what is lost is told once, and nothing waits for ever."""

import hashlib
import socket
import sys
import threading
from contextlib import closing, suppress

import pytest

from joulefront.bench import connection as module
from joulefront.bench.connection import Connection
from joulefront.bench.ssh import SshChannel, SshTransport
from joulefront.bench.ssh_config import Destination
from joulefront.errors import AgentTimeout, ConnectionLost, TransportError, WireMismatch
from joulefront_agent import wire
from ssh_server import SshServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with closing(SshServer(tmp_path_factory.mktemp("server"))) as server:
        yield server


@pytest.fixture
def transport(server):
    with closing(SshTransport(python=sys.executable, wait_s=5.0, **server.arguments)) as transport:
        yield transport


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "network.so"
    file.write_bytes(b"a network")
    return file


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def to(server, port=None):
    return Destination("127.0.0.1", "pi", port or server.port, server.key, server.host_key_line)


def lost(transport, server):
    """Cut the connection, and wait until that is noticed."""
    connection = transport._connection
    server.drop()
    with suppress(ConnectionLost):
        while True:
            connection.execute(["true"])


def hello(channel):
    channel.send(wire.encode_request(wire.Request(1, "hello", wire.Hello(60.0, "none").to_wire())))
    return wire.decode_answer(channel.receive(60.0)).ok


def test_after_a_loss_all_is_shipped_again(transport, server, file):
    path = transport.put(file, sha256(file))
    (server.home / path).unlink()
    lost(transport, server)
    assert transport.put(file, sha256(file)) == path
    assert (server.home / path).read_bytes() == file.read_bytes()


def test_an_agent_that_a_lost_connection_left_behind_is_ended_by_the_next(transport, server):
    first = hello(transport.start())
    lost(transport, server)
    assert hello(transport.start())["machine"] == first["machine"]


def test_a_device_that_stays_away_is_given_up(tmp_path):
    with closing(SshServer(tmp_path)) as server:
        transport = SshTransport(python=sys.executable, wait_s=1.5, **server.arguments)
        transport.start().close()
        transport._destination = to(server, port=9)  # where nobody listens
        lost(transport, server)
        with pytest.raises(TransportError, match=r"cannot be reached: .* \(tried for 1\.5 s\)"):
            transport.start()
        transport.close()


def test_what_lies_in_the_users_home_is_no_module_of_the_agents(transport, server):
    (server.home / "platform.py").write_text("raise SystemExit('the wrong platform')")
    (server.home / "statistics.py").write_text("raise SystemExit('the wrong statistics')")
    assert hello(transport.start())["architecture"]


def test_a_full_disk_leaves_no_part_of_a_file(transport, file, monkeypatch):
    transport.put(file, sha256(file))

    def fail(self, source, path):
        open(path, "wb").close()  # noqa: PTH123 -- as an upload begins
        raise TransportError("scripted: failure")

    monkeypatch.setattr(Connection, "upload", fail)
    other = file.with_name("other.so")
    other.write_bytes(b"another network")
    with pytest.raises(TransportError, match="scripted: failure"):
        transport.put(other, sha256(other))
    monkeypatch.setattr("joulefront.bench.ssh.free_b", lambda remote, python: 3)
    with pytest.raises(TransportError, match=r"no room on the device, 0\.0 MB free: scripted: failure"):
        transport.put(other, sha256(other))
    assert len(list((file.parent / transport._files).iterdir())) == 1


@pytest.mark.parametrize("command", ["yes", "yes | tr -d '\\n'", "while :; do echo; sleep 0.05; done"])
def test_a_command_that_writes_without_an_end_ends(server, command):
    with (
        Connection.open(to(server)) as connection,
        pytest.raises(TransportError, match=r"without an end|took more than"),
    ):
        connection.execute(["sh", "-c", command], timeout_s=1.0)


def test_an_agent_that_writes_a_line_without_an_end_is_none(server, monkeypatch):
    monkeypatch.setattr(wire, "LINE_LIMIT_B", 1_000_000)
    with Connection.open(to(server)) as connection:
        channel = SshChannel(connection, ["sh", "-c", "yes | tr -d '\\n'"], str(server.home))
        with pytest.raises(WireMismatch, match="a line of more than 1000000 bytes"):
            channel.receive(60.0)
        channel.close()


def test_an_agent_that_never_ends_a_line_answers_too_late(server, monkeypatch):
    monkeypatch.setattr("joulefront.bench.ssh._SEND_S", 0.2)
    with Connection.open(to(server)) as connection:
        channel = SshChannel(connection, ["sh", "-c", "while :; do printf .; sleep 0.02; done"], str(server.home))
        with pytest.raises(AgentTimeout, match=r"did not answer within 0\.1 s"):
            channel.receive(0.1)
        channel.close()


def test_a_shell_that_hangs_is_told_from_a_command_that_does(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CONNECT_S", 0.3)
    monkeypatch.setattr(module, "SILENCE_S", 0.3)
    monkeypatch.setattr(module, "_BEAT_S", 0.05)
    with closing(SshServer(tmp_path)) as server:
        server.execute = lambda channel, command: channel.closed or threading.Event().wait(5.0)
        said = r"does not run commands over SSH.*try 'ssh pi@127"
        with Connection.open(to(server)) as connection, pytest.raises(TransportError, match=said):
            connection.start(["true"])


class Proxy:
    """Between a client and a server; ``stalled``, it takes nothing and gives nothing, and closes nothing."""

    def __init__(self, port):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port, self.target, self.going = self.listening.getsockname()[1], port, threading.Event()
        self.going.set()
        self.sockets = [self.listening]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listening.accept()
        onward = socket.create_connection(("127.0.0.1", self.target))
        self.sockets += [client, onward]
        for one, other in ((client, onward), (onward, client)):
            threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    def pump(self, one, other):
        try:
            while chunk := one.recv(1 << 14):
                self.going.wait()
                other.sendall(chunk)
        except OSError:
            return

    def close(self):
        self.going.set()
        for one in self.sockets:
            one.close()


def test_writing_to_a_device_that_is_cut_off_ends(server, monkeypatch):
    """Nobody reads, so the writer waits, and the keepalive behind it: a watch that never writes ends both."""
    monkeypatch.setattr(module, "SILENCE_S", 1.0)
    monkeypatch.setattr(module, "_BEAT_S", 0.1)
    with closing(Proxy(server.port)) as proxy:
        connection = Connection.open(to(server, proxy.port))
        channel = SshChannel(connection, ["cat"], str(server.home))
        proxy.going.clear()
        with pytest.raises(ConnectionLost, match="no sign of life"):
            channel.send(b"x" * 50_000_000)
        channel.close()
        connection.close()
