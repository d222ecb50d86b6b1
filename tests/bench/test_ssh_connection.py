"""Connections over SSH: who is let in, which host is believed, and what is noticed when the other side is gone."""

import base64
import os
import socket
import threading
import time

import paramiko
import pytest

from joulefront.bench import connection as module
from joulefront.bench.connection import Connection, install_key
from joulefront.bench.ssh_config import Destination, resolve, route
from joulefront.errors import ConfigError, ConnectionLost, HostKeyError, LoginRefused, TransportError
from ssh_server import PASSWORD, SshServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = SshServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def config(tmp_path):
    """An ssh_config of the test's own, without the user's keys and known hosts."""
    file = tmp_path / "ssh_config"
    file.write_text(
        f"Host *\n  UserKnownHostsFile {tmp_path}/known\n  GlobalKnownHostsFile none\n  IdentityFile none\n"
    )
    return file


def to(server, config=None, **changes):
    given = {"host": "127.0.0.1", "user": "pi", "port": server.port, "key": server.key, "config": config}
    return Destination(**{**given, "host_key": server.host_key_line, **changes})


def test_commands_run_and_say_how_they_ended(server):
    with Connection.open(to(server)) as connection:
        done = connection.execute(["sh", "-c", "cat; echo 'a b' $HOME >&2; exit 3"], given=b"x" * 300_000)
        assert (done.status, len(done.stdout)) == (3, 300_000)
        assert done.stderr.decode().split() == ["a", "b", str(server.home)]
        assert connection.execute(["printf", "%s", "it's; $HOME"]).stdout == b"it's; $HOME"


def test_what_a_shell_prints_first_is_no_output(tmp_path):
    server = SshServer(tmp_path, greeting="Welcome to Debian!\n\x1b[0m")
    with Connection.open(to(server)) as connection:
        assert connection.execute(["echo", "mine"]).stdout == b"mine\n"
    server.close()


def test_a_command_that_takes_too_long_is_named(server):
    with Connection.open(to(server)) as connection:
        with pytest.raises(TransportError, match=r"sleep took more than 0\.1 s"):
            connection.execute(["sleep", "60"], timeout_s=0.1)
        assert connection.execute(["true"]).status == 0


def test_an_upload_goes_on_where_it_was_cut_off(server, tmp_path):
    source, path = tmp_path / "source", tmp_path / "there"
    source.write_bytes(os.urandom(200_000))
    path.write_bytes(source.read_bytes()[:150_000])
    with Connection.open(to(server)) as connection:
        assert connection.upload(source, str(path)) == 50_000
        assert path.read_bytes() == source.read_bytes()
        assert connection.upload(source, str(path)) == 0
        with pytest.raises(TransportError, match=r"/nowhere/x: No such file"):
            connection.upload(source, "/nowhere/x")
        connection.rename(str(path), str(tmp_path / "final"))
        connection.remove(str(tmp_path / "final"))
        connection.remove(str(tmp_path / "final"))
        connection.make_folder(str(tmp_path / "mine"))
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700


def test_a_host_that_nobody_knows_is_refused_with_its_fingerprint(server, config):
    with pytest.raises(HostKeyError, match=r"is not known: ecdsa-sha2-nistp256 SHA256:") as caught:
        Connection.open(to(server, config, host_key=None))
    assert not caught.value.changed
    assert caught.value.key == server.host_key_line
    assert caught.value.fingerprint == server.host_key.fingerprint


@pytest.mark.parametrize(
    "names", ["{}", "other,{}", "hashed", "[127.0.*]:*", "other\n@cert-authority * ssh-rsa AAAA\n{}"]
)
def test_known_hosts_are_believed(server, config, tmp_path, names):
    name = f"[127.0.0.1]:{server.port}"
    written = paramiko.HostKeys.hash_host(name) if names == "hashed" else names.format(name)
    (tmp_path / "known").write_text(f"# mine\n\n{written} {server.host_key_line}\n")
    with Connection.open(to(server, config, host_key=None)) as connection:
        assert connection.execute(["true"]).status == 0


def test_a_changed_host_key_is_refused_and_says_what_to_do(server, config, tmp_path):
    other = paramiko.ECDSAKey.generate()
    line = f"{other.get_name()} {other.get_base64()}"
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {line}\n")
    with pytest.raises(
        HostKeyError, match=rf"shows another host key.*ssh-keygen -R '\[127\.0\.0\.1\]:{server.port}'"
    ) as caught:
        Connection.open(to(server, config, host_key=None))
    assert caught.value.changed
    with pytest.raises(HostKeyError, match=r"--accept-host-key SHA256:"):
        Connection.open(to(server, config, host_key=line))


def test_a_revoked_host_key_is_refused_though_it_is_known(server, config, tmp_path):
    (tmp_path / "known").write_text(
        f"[127.0.0.1]:{server.port} {server.host_key_line}\n@revoked * {server.host_key_line}\n"
    )
    with pytest.raises(HostKeyError, match="revoked"):
        Connection.open(to(server, config, host_key=None))


@pytest.mark.parametrize("line", ["nonsense", "ssh-ed25519 ?", "ssh-ed25519 " + base64.b64encode(b"x").decode()])
def test_a_pinned_key_that_is_none_is_the_users_mistake(server, line):
    with pytest.raises(ConfigError, match=r"\[transport\] host_key: expected a line"):
        Connection.open(to(server, host_key=line))


def test_a_key_that_others_may_read_is_refused(server, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(server.key.read_bytes())
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=rf"others may read it: chmod 600 {key}"):
        Connection.open(to(server, key=key))


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("no key", "cannot be used")])
def test_a_key_file_that_is_none(server, tmp_path, content, said):
    if content:
        (tmp_path / "key").write_text(content)
        (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigError, match=said):
        Connection.open(to(server, key=tmp_path / "key"))


def test_a_key_with_a_passphrase_belongs_into_the_agent(server, config, tmp_path):
    paramiko.RSAKey.generate(2048).write_private_key_file(str(tmp_path / "locked"), password="secret")
    with pytest.raises(LoginRefused, match="it has a passphrase: ssh-add it"):
        Connection.open(to(server, config, key=tmp_path / "locked"))


def test_a_login_without_the_right_key_is_refused(server, config, tmp_path):
    paramiko.RSAKey.generate(2048).write_private_key_file(str(tmp_path / "other"))
    with pytest.raises(LoginRefused, match=rf"other: refused\). To let a key in: ssh-copy-id -p {server.port} pi@127"):
        Connection.open(to(server, config, key=tmp_path / "other"))
    with pytest.raises(LoginRefused, match="there is no key to offer"):
        Connection.open(to(server, config, key=None))


def test_a_password_lets_in_and_a_key_can_be_installed(server, config, tmp_path):
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(tmp_path / "new"))
    with pytest.raises(LoginRefused, match="the password was refused") as caught:
        Connection.open(to(server, config, key=None), password="wrong")
    assert "wrong" not in str(caught.value)
    with Connection.open(to(server, config, key=None), password=PASSWORD) as connection:
        install_key(connection, f"{key.get_name()} {key.get_base64()} new")
    with Connection.open(to(server, config, key=tmp_path / "new")) as connection:
        assert connection.execute(["true"]).status == 0
    with Connection.open(to(server)):  # the one that was there before still opens
        pass


def test_nobody_there():
    with pytest.raises(TransportError, match=r"127\.0\.0\.1 port 9 cannot be reached: it refuses the connection"):
        Connection.open(Destination("127.0.0.1", "pi", 9))
    with pytest.raises(TransportError, match=r"no such name: check its spelling"):
        Connection.open(Destination("board.invalid", "pi"))


def answer(listening):
    other, _ = listening.accept()
    with other:
        other.sendall(b"HTTP/1.1 400 no\r\n\r\n" * 200)
        other.recv(1000)


def test_a_server_that_speaks_no_ssh(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=answer, args=(listening,))
        answering.start()
        with pytest.raises(TransportError, match="does not answer as an SSH server"):
            Connection.open(Destination("127.0.0.1", "pi", listening.getsockname()[1], key=tmp_path / "none"))


def test_a_connection_that_is_cut_is_lost(tmp_path):
    server = SshServer(tmp_path)
    connection = Connection.open(to(server))
    channel = connection.start(["cat"])
    server.drop()
    with pytest.raises(ConnectionLost, match=r"pi@127\.0\.0\.1 is lost: it was closed"):
        connection.receive(channel, float("inf"))
    with pytest.raises(ConnectionLost):
        connection.execute(["true"])
    connection.close()
    server.close()


def test_a_connection_without_a_sign_of_life_is_lost(server, monkeypatch):
    """What a pulled cable looks like: nothing is closed, nothing comes."""
    now_s = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(module, "_BEAT_S", 1e6)
    connection = Connection.open(to(server))
    channel = connection.start(["sleep", "60"])
    now_s[0] += module.SILENCE_S + 1
    with pytest.raises(ConnectionLost, match="no sign of life for 21 s"):
        connection.receive(channel, float("inf"))
    connection.close()


def test_signs_of_life_come_by_themselves(server, monkeypatch):
    monkeypatch.setattr(module, "_BEAT_S", 0.01)
    with Connection.open(to(server)) as connection:
        before_s = connection._heard_s
        deadline_s = time.monotonic() + 60
        while connection._heard_s == before_s:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        connection.require()


def test_a_jump_host_is_gone_through(server, tmp_path):
    jump = SshServer(tmp_path / "jump")
    config = tmp_path / "config"
    (tmp_path / "known").write_text(f"[127.0.0.1]:{jump.port} {jump.host_key_line}\n")
    (tmp_path / "included").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {server.port}\n  User pi\n  IdentityFile {server.key}\n  ProxyJump jump\n"
    )
    config.write_text(
        f"Include {tmp_path}/included\n"
        f"Host jump\n  HostName 127.0.0.1\n  Port {jump.port}\n  User pi\n  IdentityFile {jump.key}\n"
        f"Host *\n  IdentitiesOnly yes\n  UserKnownHostsFile {tmp_path}/known\n  GlobalKnownHostsFile none\n"
    )
    board = Destination("board", host_key=server.host_key_line, config=config)
    assert [hop.host for hop in route(board)] == ["jump", "board"]
    with Connection.open(board) as connection:
        assert connection.execute(["sh", "-c", "echo $HOME"]).stdout.decode().strip() == str(server.home)
    assert list(jump.forwards.values()) == [("127.0.0.1", server.port)]
    (tmp_path / "known").write_text("")
    with pytest.raises(
        TransportError, match=r"the jump host jump: the host key of .* is not known.*To settle it: ssh jump"
    ):
        Connection.open(board)
    jump.close()


def test_settings_are_openssh_s(tmp_path):
    config = tmp_path / "config"
    (tmp_path / "k").touch()
    config.write_text(
        f"Host pi5\n  HostName 192.0.2.7\n  Port 2222\n  User me\n  IdentityFile {tmp_path}/k\n  IdentityFile {tmp_path}/gone\n"
        "  HostKeyAlias the-pi\n  IdentitiesOnly yes\n  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n"
    )
    login = resolve(Destination("pi5", config=config))
    assert (login.hostname, login.port, login.user, login.known_as) == ("192.0.2.7", 2222, "me", "the-pi")
    assert (login.identities, login.known_hosts, login.via) == ((tmp_path / "k",), (), ())
    assert (login.only, login.agent) == (True, None)
    given = resolve(Destination("pi5", "you", 23, tmp_path / "mine", config=config))
    assert (given.port, given.user, given.identities) == (23, "you", (tmp_path / "mine",))


def test_without_openssh_its_settings_are_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = tmp_path / "config"
    config.write_text("Host pi5\n  HostName 192.0.2.7\n  Port 2222\n  ProxyJump a,b\n")
    login = resolve(Destination("pi5", "me", config=config))
    assert (login.hostname, login.port, login.user, login.known_as) == ("192.0.2.7", 2222, "me", "[192.0.2.7]:2222")
    assert login.via == ("a", "b")


def test_settings_that_cannot_be_followed(tmp_path):
    config = tmp_path / "config"
    config.write_text("Host pi5\n  ProxyCommand nc %h %p\nHost round\n  ProxyJump round\n")
    with pytest.raises(ConfigError, match=r"ProxyCommand \(nc %h %p\), which is not supported: ProxyJump is"):
        resolve(Destination("pi5", config=config))
    config.write_text("Host pi5\n  Nonsense yes\n")
    with pytest.raises(ConfigError, match=r"ssh -G pi5 fails: .*Bad configuration option"):
        resolve(Destination("pi5", config=config))
    config.write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(ConfigError, match=r"ProxyJump leads through 9 hosts and on"):
        route(Destination("a", config=config))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi@192.168.1.20", ("192.168.1.20", "pi", None)),
        ("board", ("board", None, None)),
        ("me@board.local:2222", ("board.local", "me", 2222)),
        ("ssh://me@board:22/", ("board", "me", 22)),
        ("[::1]:2222", ("::1", None, 2222)),
        ("pi@fe80::1%eth0", ("fe80::1%eth0", "pi", None)),
    ],
)
def test_destinations(text, expected):
    found = Destination.parse(text)
    assert (found.host, found.user, found.port) == expected


@pytest.mark.parametrize(
    "text", ["", "@", "pi@", "a b", "board:port", "-oProxyCommand=x", "-l@board", "board:99999", "board:0"]
)
def test_what_is_no_destination(text):
    with pytest.raises(ConfigError, match="expected"):
        Destination.parse(text)
