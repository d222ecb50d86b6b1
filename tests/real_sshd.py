"""A real sshd on this machine, for tests: on a port and with keys of its own; as root, for a user of its own as well."""

from __future__ import annotations

import getpass
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

_SFTP = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")


@dataclass(frozen=True)
class Sshd:
    """``arguments`` is what a device's [transport] would say."""

    user: str
    home: Path
    arguments: dict[str, object]


@contextmanager
def sshd() -> Iterator[Sshd]:
    """Run sshd, for an ordinary user: a new one when the tests are root's, else the tests' own."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise RuntimeError("no sshd: install it (Debian: apt install openssh-server)")
    # Not in pytest's folders, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="joulefront-sshd-") as name, _user() as (user, home):
        folder = Path(name)
        folder.chmod(0o755)
        for key in ("host", "client"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(folder / key)], check=True
            )
        shutil.copy(folder / "client.pub", folder / "authorized_keys")
        (folder / "authorized_keys").chmod(0o644)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        sftp = next((path for path in _SFTP if Path(path).exists()), "internal-sftp")
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\n"
            f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nSubsystem sftp {sftp}\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True) if os.getuid() == 0 else None
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=log, stdout=log)
        try:
            _await(server, port, folder / "log")
            kind, blob = (folder / "host.pub").read_text().split()[:2]
            where = {"host": "127.0.0.1", "user": user, "port": port, "host_key": f"{kind} {blob}"}
            yield Sshd(user, home, {**where, "key": str(folder / "client")})
        finally:
            server.terminate()
            server.wait()


@contextmanager
def _user() -> Iterator[tuple[str, Path]]:
    if os.getuid() != 0:
        yield getpass.getuser(), Path.home()
        return
    name = f"jf-{secrets.token_hex(4)}"
    # The password "*" is none; "!" would be a locked account, which sshd refuses.
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", "--password", "*", name], check=True)
    try:
        yield name, Path(f"~{name}").expanduser()
    finally:
        _remove_user(name)


def _remove_user(name: str) -> None:
    """Remove a user; one whose processes have not all ended yet is refused by userdel, and tried again for 30 s."""
    deadline_s = monotonic() + 30.0
    while True:
        subprocess.run(["pkill", "-KILL", "-u", name], check=False)
        done = subprocess.run(["userdel", "--remove", name], check=False, capture_output=True, text=True)
        try:
            pwd.getpwnam(name)
        except KeyError:
            return
        if monotonic() > deadline_s:
            raise RuntimeError(f"the user {name} cannot be removed: {done.stderr.strip()}")
        sleep(0.1)


def _await(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"sshd ended: {log.read_text()}")
        try:
            with socket.create_connection(("127.0.0.1", port), 1.0) as client:
                if client.recv(4) == b"SSH-":
                    return
        except OSError:
            server.poll()
