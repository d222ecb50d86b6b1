"""What the user's OpenSSH settings say is followed: files with odd names, revoked keys, agents and certificates."""

import shutil
import subprocess
from pathlib import Path

import paramiko
import pytest

from joulefront.bench import host_keys
from joulefront.bench.connection import Connection
from joulefront.bench.ssh_config import Destination, resolve
from joulefront.errors import ConfigError, HostKeyError, LoginRefused, TransportError
from ssh_server import Server, SshServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = SshServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def known(tmp_path, server):
    file = tmp_path / "known"
    file.write_text(f"[127.0.0.1]:{server.port} {server.host_key_line}\n")
    return file


@pytest.fixture
def at(tmp_path, server, known):
    """Makes a destination of the server with settings of the test's own, which come before the usual ones."""

    def made(settings, host="127.0.0.1", **given):
        config = tmp_path / "config"
        lines = [
            *settings.splitlines(),
            f"UserKnownHostsFile {known}",
            "GlobalKnownHostsFile none",
            f"Port {server.port}",
        ]
        config.write_text("\n  ".join(["Host *", *lines, "HostName 127.0.0.1", "User pi", "IdentityFile none"]) + "\n")
        return Destination(host, config=config, **given)

    return made


@pytest.fixture
def agent(tmp_path_factory, server):
    """The socket of an agent that has the server's key."""
    if not all(map(shutil.which, ("ssh-agent", "ssh-add"))):
        pytest.skip("no ssh-agent")
    socket = tmp_path_factory.mktemp("a") / "s"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        add = ["ssh-add", "-q", str(server.key)]
        subprocess.run(add, env={"SSH_AUTH_SOCK": str(socket)}, check=True, capture_output=True)
        yield socket
    finally:
        process.terminate()
        process.wait()


def public(server):
    key = paramiko.RSAKey.from_private_key_file(str(server.key))
    return f"{key.get_name()} {key.get_base64()} mine\n"


def enters(destination):
    with Connection.open(destination) as connection:
        return connection.execute(["true"]).status == 0


def other_key_at(server):
    other = paramiko.ECDSAKey.generate()
    return f"[127.0.0.1]:{server.port} {other.get_name()} {other.get_base64()}\n"


@pytest.mark.parametrize("openssh", [True, False])
def test_known_hosts_files_may_have_spaces_in_their_names(at, server, tmp_path, monkeypatch, openssh):
    file = tmp_path / "with a space" / "known hosts"
    file.parent.mkdir()
    settings = f'UserKnownHostsFile {tmp_path}/none "{file}"\nIdentityFile {server.key}'
    if not openssh:
        monkeypatch.setattr(shutil, "which", lambda name: None)
        settings = f'UserKnownHostsFile "{file}"\nIdentityFile {server.key}'
    file.write_text(f"[127.0.0.1]:{server.port} {server.host_key_line}\n")
    assert enters(at(settings))
    file.write_text(other_key_at(server))
    with pytest.raises(HostKeyError) as caught:
        enters(at(settings))
    assert caught.value.changed


def test_known_hosts_files_may_be_many_with_long_names(at, server, tmp_path):
    names = " ".join(f"{tmp_path}/{number}{'x' * 200}" for number in range(30))
    assert enters(at(f"UserKnownHostsFile {names} {tmp_path}/known\nIdentityFile {server.key}"))


def test_files_that_cannot_be_looked_at(at, server, tmp_path, monkeypatch):
    """No known_hosts file is passed over; a key is, when another one is let in."""
    stat = Path.stat

    def refusing(self, **given):
        if "secret" in self.parts:
            raise PermissionError(13, "Permission denied")
        return stat(self, **given)

    monkeypatch.setattr(Path, "stat", refusing)
    assert enters(at(f"IdentityFile {tmp_path}/secret/key\nIdentityFile {server.key}"))
    with pytest.raises(LoginRefused, match="secret/key: Permission denied"):
        enters(at(f"IdentityFile {tmp_path}/secret/key"))
    with pytest.raises(ConfigError, match="secret/known: cannot be read: Permission denied"):
        enters(at(f"UserKnownHostsFile {tmp_path}/secret/known\nIdentityFile {server.key}"))


def test_a_hashed_name_is_in_small_letters(tmp_path):
    key = paramiko.ECDSAKey.generate()
    file = tmp_path / "known"
    for written, asked in (("board.local", "Board.local"), ("The-Board", "The-Board")):
        file.write_text(f"{paramiko.HostKeys.hash_host(written)} {key.get_name()} {key.get_base64()}\n")
        assert host_keys.trusted(asked, None, [file]).keys == (key,)
    assert host_keys.trusted("other", None, [file]).keys == ()


def test_a_known_hosts_file_that_cannot_be_found_out_is_no_unknown_host(at, server, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"UserKnownHostsFile /known_%Q: %Q is not known here: write the path out"):
        resolve(at("UserKnownHostsFile /known_%Q"))
    with pytest.raises(ConfigError, match="a KnownHostsCommand"):
        resolve(at("KnownHostsCommand /bin/keys"))
    assert resolve(at("KnownHostsCommand /bin/keys", host_key=server.host_key_line)).user == "pi"


def test_a_revoked_host_key_is_refused(at, server, tmp_path):
    revoked = tmp_path / "revoked"
    destination = at(f"RevokedHostKeys {revoked}\nIdentityFile {server.key}")
    revoked.write_text(f"# stolen\n{other_key_at(server).partition(' ')[2]}")
    assert enters(destination)
    revoked.write_text(f"{server.host_key_line} stolen\n")
    with pytest.raises(HostKeyError, match=rf"RevokedHostKeys \({revoked}\) calls revoked"):
        enters(destination)
    revoked.write_bytes(b"SSHKRL\n\0\0\0\0\1")
    with pytest.raises(ConfigError, match=r"it is a binary list \(KRL\), which is not read here"):
        enters(destination)
    revoked.unlink()
    with pytest.raises(ConfigError, match="revoked: cannot be read: No such file"):
        enters(destination)


@pytest.mark.parametrize("line", ["|1|abc|def ssh-ed25519 AAAA", "|1|x ssh-rsa AAAA", "|1|", "|1|AAAA|AAAA ssh-rsa A"])
def test_a_damaged_line_of_another_host_is_passed_over(at, server, known, line):
    known.write_text(f"{line}\n{known.read_text()}")
    assert enters(at(f"IdentityFile {server.key}"))


@pytest.mark.parametrize("key", ["sk-ssh-ed25519@openssh.com AAAA", "ssh-ed25519 AAAAdamaged", "ssh-rsa"])
def test_a_host_that_is_known_by_keys_that_cannot_be_used_is_not_unknown(at, server, known, key):
    known.write_text(f"[127.0.0.1]:{server.port} {key}\n")
    with pytest.raises(
        HostKeyError, match=rf"cannot be compared with that: {key.split()[0]}.*--accept-host-key SHA256:"
    ) as caught:
        enters(at(f"IdentityFile {server.key}"))
    assert caught.value.changed


def test_the_agent_that_the_settings_name_is_asked(at, agent, tmp_path, monkeypatch):
    assert enters(at(f"IdentityAgent {agent}"))
    monkeypatch.setenv("MY_AGENT", str(agent))
    assert enters(at("IdentityAgent $MY_AGENT"))
    with pytest.raises(LoginRefused, match=f"the agent at {tmp_path}/none does not answer: No such file"):
        enters(at(f"IdentityAgent {tmp_path}/none"))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    assert enters(at(""))
    with pytest.raises(LoginRefused, match="no key to offer"):
        enters(at("IdentityAgent none"))


def test_of_the_agents_keys_only_those_that_are_named_are_offered(at, server, agent, tmp_path, monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    with pytest.raises(LoginRefused, match="no key to offer"):
        enters(at("IdentitiesOnly yes"))
    (tmp_path / "mine.pub").write_text(public(server))
    assert enters(at(f"IdentitiesOnly yes\nIdentityFile {tmp_path}/mine.pub"))
    assert enters(at(f"IdentitiesOnly yes\nIdentityFile {tmp_path}/mine"))
    (tmp_path / "mine.pub").write_text(" ".join(other_key_at(server).split()[1:]))
    with pytest.raises(LoginRefused, match=r"mine\.pub: its private half is in no agent"):
        enters(at(f"IdentitiesOnly yes\nIdentityFile {tmp_path}/mine.pub"))


@pytest.mark.parametrize("has_public", [True, False])
def test_a_key_with_a_passphrase_is_used_by_the_agent(at, server, agent, tmp_path, monkeypatch, has_public):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    locked = tmp_path / "locked"
    shutil.copy(server.key, locked)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(locked)], check=True)
    if has_public:
        (tmp_path / "locked.pub").write_text(public(server))
    assert enters(at(f"IdentitiesOnly yes\nIdentityFile {locked}"))


def test_tokens_and_variables_in_a_keys_name(at, server, tmp_path, monkeypatch):
    shutil.copy(server.key, tmp_path / f"key_127.0.0.1_{server.port}_pi")
    monkeypatch.setenv("MY_KEYS", str(tmp_path))
    assert enters(at("IdentityFile ${MY_KEYS}/key_%h_%p_%r"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert enters(at("IdentityFile %d/key_%h_%p_%r", host="alias"))
    with pytest.raises(ConfigError, match=r"IdentityFile \$\{NO_SUCH\}/k: \$\{NO_SUCH\} is not known"):
        resolve(at("IdentityFile ${NO_SUCH}/k"))


@pytest.mark.parametrize("beside", [True, False])
def test_a_certificate_is_offered_with_its_key(at, server, tmp_path, monkeypatch, beside):
    seen = []

    def check(self, username, key):
        seen.append(key.public_blob.key_type if key.public_blob else key.get_name())
        return paramiko.AUTH_SUCCESSFUL if key.public_blob else paramiko.AUTH_FAILED

    monkeypatch.setattr(Server, "check_auth_publickey", check)
    for name in ("ca", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(tmp_path / name)], check=True)
    sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "me", "-n", "pi", str(tmp_path / "mine.pub")]
    subprocess.run(sign, check=True)
    certificate = tmp_path / "mine-cert.pub"
    if not beside:
        certificate = certificate.rename(tmp_path / "elsewhere")
    assert enters(at(f"IdentityFile {tmp_path}/mine" + ("" if beside else f"\nCertificateFile {certificate}")))
    assert seen == ["ssh-rsa-cert-v01@openssh.com"]


def test_a_connection_that_breaks_during_the_login_is_not_a_refusal(at, server, monkeypatch):
    def check(self, username, key):
        self.owner.drop()
        return paramiko.AUTH_FAILED

    monkeypatch.setattr(Server, "check_auth_publickey", check)
    with pytest.raises(TransportError, match="ended the connection while pi was logging in") as caught:
        enters(at(f"IdentityFile {server.key}"))
    assert not isinstance(caught.value, LoginRefused)


def test_too_many_keys_are_a_refusal(at, server, monkeypatch):
    def check(self, username, key):
        message = paramiko.Message()
        message.add_byte(paramiko.common.cMSG_DISCONNECT)
        message.add_int(2)
        message.add_string("Too many authentication failures")
        message.add_string("")
        self.owner._transports[-1]._send_message(message)
        return paramiko.AUTH_FAILED

    monkeypatch.setattr(Server, "check_auth_publickey", check)
    with pytest.raises(LoginRefused, match="Too many authentication failures"):
        enters(at(f"IdentityFile {server.key}"))


def test_a_jump_hosts_refusal_is_not_the_devices(at, server, known, tmp_path):
    jump = SshServer(tmp_path / "jump")
    known.write_text(f"{known.read_text()}[127.0.0.1]:{jump.port} {jump.host_key_line}\n")
    config = at("").config
    config.write_text(f"Host board\n  ProxyJump pi@127.0.0.1:{jump.port}\n{config.read_text()}")
    destination = Destination("board", "pi", key=server.key, config=config)
    with pytest.raises(
        TransportError, match=r"the jump host 127\.0\.0\.1: pi@127\.0\.0\.1 refuses the login"
    ) as caught:
        enters(destination)
    assert not isinstance(caught.value, LoginRefused)
    jump.close()
