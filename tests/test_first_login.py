"""The first login: host keys that are known, vouched for, wrong or changed; keys that are let in; and what is never asked."""

import re
import stat

import paramiko
import pytest

from joulefront.bench.connection import Connection
from joulefront.bench.ssh_config import Destination
from joulefront.errors import ConfigError, HostKeyError, LoginRefused, TransportError
from joulefront.first_login import first_login, key_file, trusting, withdraw_key
from ssh_server import PASSWORD, SshServer

COMMAND = ["joulefront", "devices", "add", "board", "pi@127.0.0.1"]


class User:
    """Somebody who says yes, or no, and knows the password."""

    def __init__(self, *, agrees=True, password=PASSWORD):
        self.agrees, self.password, self.asked, self.told = agrees, password, [], []

    def agree(self, question):
        self.asked.append(question)
        return self.agrees

    def secret(self, question):
        self.asked.append(question)
        return self.password

    def tell(self, what):
        self.told.append(what)


@pytest.fixture
def server(tmp_path):
    server = SshServer(tmp_path / "server")
    yield server
    server.close()


@pytest.fixture
def known(tmp_path):
    return tmp_path / "known_hosts"


@pytest.fixture
def at(tmp_path, server, known, monkeypatch):
    """Makes destinations of the server, without the keys and settings of whoever runs the tests."""
    config = tmp_path / "ssh_config"
    config.write_text(f"Host *\n UserKnownHostsFile {known}\n GlobalKnownHostsFile none\n IdentityFile none\n")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path / "devices"))
    return lambda **given: Destination(
        **{"host": "127.0.0.1", "user": "pi", "port": server.port, "config": config} | given
    )


def log_in(destination, accept=None, user=None):
    return first_login("board", destination, accept=accept, questions=user, command=COMMAND)


def know(known, server, key=None):
    key = key or server.host_key
    known.write_text(f"[127.0.0.1]:{server.port} {key.get_name()} {key.get_base64()}\n")


def test_a_known_host_and_a_key_ask_nothing(at, server, known):
    know(known, server)
    user = User()
    destination = at(key=server.key)
    assert log_in(destination, user=user) == destination
    assert user.asked == []


def test_an_unknown_host_key_is_asked_about(at, server):
    user = User()
    entered = log_in(at(key=server.key), user=user)
    assert entered.host_key == server.host_key_line
    assert server.host_key.fingerprint in user.asked[0]
    with pytest.raises(ConfigError, match="was not accepted: nothing was done"):
        log_in(at(key=server.key), user=User(agrees=False))


def test_an_unknown_host_key_without_a_terminal_names_the_command(at, server):
    with pytest.raises(ConfigError) as caught:
        log_in(at(key=server.key))
    command = f"joulefront devices add board pi@127.0.0.1 --accept-host-key {server.host_key.fingerprint}"
    assert str(caught.value).endswith(command)


def test_a_host_key_may_be_vouched_for(at, server, known):
    fingerprint = server.host_key.fingerprint
    assert log_in(at(key=server.key), accept=fingerprint).host_key == server.host_key_line
    know(known, server, paramiko.ECDSAKey.generate())  # the device was installed anew, say
    assert log_in(at(key=server.key), accept=fingerprint).host_key == server.host_key_line


@pytest.mark.parametrize("is_known", [False, True])
def test_another_host_key_than_was_vouched_for_is_refused(at, server, known, is_known):
    if is_known:
        know(known, server)
    with pytest.raises(ConfigError, match=re.escape(f"shows {server.host_key.fingerprint}, not SHA256:other")):
        log_in(at(key=server.key), accept="SHA256:other")


def test_a_changed_host_key_is_refused_and_nobody_is_asked(at, server, known):
    know(known, server, paramiko.ECDSAKey.generate())
    user = User()
    with pytest.raises(HostKeyError, match="ssh-keygen -R"):
        log_in(at(key=server.key), user=user)
    assert user.asked == []


def test_a_host_that_is_known_by_an_unusable_key_is_not_asked_about(at, server, known):
    known.write_text(f"[127.0.0.1]:{server.port} sk-ssh-ed25519@openssh.com AAAA\n")
    user = User()
    with pytest.raises(HostKeyError, match="--accept-host-key"):
        log_in(at(key=server.key), user=user)
    assert user.asked == []
    accept = server.host_key.fingerprint
    assert log_in(at(key=server.key), accept=accept).host_key == server.host_key_line


def test_a_revoked_host_key_is_refused_whoever_vouches(at, server, known):
    known.write_text(f"@revoked * {server.host_key_line}\n")
    with pytest.raises(HostKeyError, match="revoked"):
        log_in(at(key=server.key), accept=server.host_key.fingerprint)


def test_without_a_terminal_no_password_is_asked(at, server):
    with pytest.raises(LoginRefused, match=f"ssh-copy-id -p {server.port} pi@127.0.0.1"):
        log_in(at(host_key=server.host_key_line))


def test_a_password_lets_a_new_key_in(at, server):
    user = User()
    entered = log_in(at(host_key=server.host_key_line), user=user)
    assert entered.key == key_file("board")
    assert stat.S_IMODE(entered.key.stat().st_mode) == 0o600
    assert len(user.asked) == 2
    assert PASSWORD not in "".join(user.asked) + entered.key.read_text()
    assert (server.home / ".ssh/authorized_keys").read_text().count("ssh-ed25519 ") == 1
    assert log_in(entered, user=User(password="none")) == entered


def test_a_key_that_was_made_is_taken_back(at, server):
    file = server.home / ".ssh/authorized_keys"
    before = file.read_text()
    with Connection.open(log_in(at(host_key=server.host_key_line), user=User())) as connection:
        assert file.read_text() != before
        withdraw_key("board", connection)
        assert file.read_text().split() == before.split()
        file.unlink()
        withdraw_key("board", connection)
        assert not file.exists()
        file.mkdir()
        with pytest.raises(TransportError, match="cannot be taken out"):
            withdraw_key("board", connection)
        file.rmdir()
        file.parent.rename(server.home / "gone")
        withdraw_key("board", connection)
        withdraw_key("another", connection)


def test_a_key_is_taken_out_through_a_link(at, server, tmp_path):
    file, real = server.home / ".ssh/authorized_keys", tmp_path / "real"
    before = file.read_text()
    file.rename(real)
    file.symlink_to(real)
    real.chmod(0o640)
    with Connection.open(log_in(at(host_key=server.host_key_line), user=User())) as connection:
        withdraw_key("board", connection)
    assert file.is_symlink()
    assert real.read_text().split() == before.split()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["authorized_keys"]


def interrupted(destination, **given):
    """What opens connections until the key that was made is tried."""
    if destination.key is not None:
        raise KeyboardInterrupt
    return Connection.open(destination, **given)


def test_what_is_interrupted_is_undone(at, server):
    before = (server.home / ".ssh/authorized_keys").read_text()
    with pytest.raises(KeyboardInterrupt):
        enter(at(host_key=server.host_key_line), User(), interrupted)
    assert (server.home / ".ssh/authorized_keys").read_text().split() == before.split()
    assert not key_file("board").exists()


def test_what_cannot_be_undone_is_said_and_gone_on_with(at, server):
    def cut(destination, **given):
        if destination.key is not None:
            server.drop()
        return interrupted(destination, **given)

    user = User()
    with pytest.raises(KeyboardInterrupt):
        enter(at(host_key=server.host_key_line), user, cut)
    assert user.told == [
        f"the key {key_file('board')} is let in at pi@127.0.0.1; if this ends too early, the same command goes on with it"
    ]
    again = log_in(at(host_key=server.host_key_line))
    assert again.key == key_file("board")


def test_a_key_that_was_made_before_is_let_in_again(at, server):
    file = server.home / ".ssh/authorized_keys"
    first = log_in(at(host_key=server.host_key_line), user=User()).key.read_bytes()
    file.write_text("")
    again = log_in(at(host_key=server.host_key_line), user=User())
    assert again.key.read_bytes() == first


def enter(destination, user, open_connection):
    return first_login(
        "board", destination, accept=None, questions=user, command=COMMAND, open_connection=open_connection
    )


def test_the_key_that_stands_for_none_is_another_each_time(at, server):
    pinned = []

    def watched(destination, **given):
        pinned.append(destination.host_key)
        return Connection.open(destination, **given)

    for _ in range(2):
        trusting(at(key=server.key), server.host_key.fingerprint, watched)
    assert pinned[0] != pinned[1]


def test_a_password_lets_the_users_own_key_in(at, server, tmp_path):
    from joulefront.first_login import _new_key

    private = tmp_path / "me/.ssh/id_ed25519"
    private.with_name("id_ed25519.pub").parent.mkdir(parents=True)
    private.with_name("id_ed25519.pub").write_text(_new_key(private, "mine"))
    assert log_in(at(host_key=server.host_key_line), user=User()).key == private
    assert (server.home / ".ssh/authorized_keys").read_text().endswith(" mine\n")
    assert not key_file("board").exists()


def test_a_key_without_its_public_half_cannot_be_let_in(at, server, tmp_path):
    key = tmp_path / "other"
    paramiko.RSAKey.generate(2048).write_private_key_file(str(key))
    with pytest.raises(ConfigError, match="ssh-keygen -y -f"):
        log_in(at(host_key=server.host_key_line, key=key), user=User())


@pytest.mark.parametrize(
    ("user", "said"),
    [(User(password="wrong"), "the password was refused"), (User(agrees=False), "lets no key in.*ssh-copy-id")],
)
def test_who_is_not_let_in_leaves_nothing_behind(at, server, user, said):
    before = (server.home / ".ssh/authorized_keys").read_text()
    with pytest.raises((LoginRefused, ConfigError), match=said):
        log_in(at(host_key=server.host_key_line), user=user)
    assert (server.home / ".ssh/authorized_keys").read_text() == before
    assert not key_file("board").exists()


def test_a_key_file_that_others_may_read_is_named(at, server):
    server.key.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {server.key}"):
        log_in(at(host_key=server.host_key_line, key=server.key), user=User())


def test_a_new_host_key_takes_the_place_of_a_pinned_one(at, server):
    other = paramiko.ECDSAKey.generate()
    pinned = at(key=server.key, host_key=f"{other.get_name()} {other.get_base64()}")
    assert trusting(pinned, server.host_key.fingerprint).host_key == server.host_key_line


def test_a_jump_hosts_unknown_key_is_not_taken_for_the_devices(at, server, tmp_path):
    other = SshServer(tmp_path / "other")
    config = tmp_path / "jump_config"
    known = tmp_path / "known_hosts"
    config.write_text(
        f"Host board\n HostName 127.0.0.1\n Port {other.port}\n ProxyJump pi@127.0.0.1:{server.port}\n"
        f"Host *\n UserKnownHostsFile {known}\n GlobalKnownHostsFile none\n IdentityFile {server.key}\n"
    )
    user = User()
    unknown = f"the jump host 127.0.0.1: the host key of .* is not known.*{re.escape(server.host_key.fingerprint)}"
    with pytest.raises(TransportError, match=unknown):
        log_in(Destination("board", "pi", config=config), user=user)
    with pytest.raises(TransportError, match=unknown):
        log_in(Destination("board", "pi", config=config), accept=server.host_key.fingerprint)
    know(known, server)
    server.key.rename(tmp_path / "lost")
    with pytest.raises(
        TransportError, match=r"the jump host 127\.0\.0\.1: pi@127\.0\.0\.1 refuses the login"
    ) as caught:
        log_in(Destination("board", "pi", config=config), user=user)
    assert not isinstance(caught.value, LoginRefused)
    assert user.asked == []
    other.close()
