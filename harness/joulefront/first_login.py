"""The first login on a device: is its host key to be trusted, and how is the user let in. The only place that asks.

A password is held for as long as it takes to let a key in, and is neither stored nor logged.
"""

from __future__ import annotations

import contextlib
import getpass
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from joulefront.bench.connection import Connection, install_key
from joulefront.bench.ssh_config import Destination, resolve
from joulefront.errors import ConfigError, HostKeyError, LoginRefused, TransportError
from joulefront.terminal import Questions
from joulefront_devices import registry

Open = Callable[..., Connection]


def first_login(
    name: str,
    destination: Destination,
    *,
    accept: str | None,
    questions: Questions | None,
    command: Sequence[str],
    open_connection: Open = Connection.open,
) -> Destination:
    """The destination with the host key and the key that searches log in with; it was logged in with them.

    ``accept`` is the fingerprint of the host key that the user vouches for; ``command`` is what they typed, for messages.
    Where there is nobody to be asked (``questions`` is None), what a question would settle is an error that says how to.
    Raises HostKeyError for a host key that changed, LoginRefused, ConfigError, and TransportError when nobody is there.
    """
    if accept is not None and destination.host_key is None:
        destination = trusting(destination, accept, open_connection)
    try:
        return _logged_in(destination, open_connection)
    except HostKeyError as error:
        if error.changed:
            raise
        destination = _vouched_for(destination, error, questions, command)
    except LoginRefused as refused:
        return _let_in(name, destination, refused, questions, open_connection)
    try:
        return _logged_in(destination, open_connection)
    except LoginRefused as refused:
        return _let_in(name, destination, refused, questions, open_connection)


def trusting(destination: Destination, accept: str, open_connection: Open = Connection.open) -> Destination:
    """The destination with the one host key that has the fingerprint ``accept``, whatever was known before.

    Raises ConfigError when the device shows another one, and TransportError when nobody is there.
    """
    shown = _shown_by(destination, open_connection)
    if shown.fingerprint != accept:
        raise ConfigError(
            f"--accept-host-key: {destination.host} shows {shown.fingerprint}, not {accept}. Compare it with what "
            "'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' says on the device itself"
        )
    return replace(destination, host_key=shown.key)


def _shown_by(destination: Destination, open_connection: Open) -> HostKeyError:
    """The host key that the device shows, by trusting none: one whose private half is thrown away at once."""
    nobodys = _public_line(Ed25519PrivateKey.generate())
    try:
        with open_connection(replace(destination, host_key=nobodys)):
            raise AssertionError("nobody has this key")
    except HostKeyError as error:
        return error


def _logged_in(destination: Destination, open_connection: Open) -> Destination:
    with open_connection(destination):
        return destination


def _vouched_for(
    destination: Destination, error: HostKeyError, questions: Questions | None, command: Sequence[str]
) -> Destination:
    """The destination with the host key that it shows, when the user says that it is the right one."""
    if questions is None:
        again = shlex.join([*command, "--accept-host-key", error.fingerprint])
        raise ConfigError(f"{error}; when it is the same: {again}") from None
    if not questions.agree(f"{error}.\nIs it the same, and is the device to be trusted?"):
        raise ConfigError(f"the host key {error.fingerprint} was not accepted: nothing was done")
    return replace(destination, host_key=error.key)


def _let_in(
    name: str, destination: Destination, refused: LoginRefused, questions: Questions | None, open_connection: Open
) -> Destination:
    """Have a key let in, by a password that is asked for once. What is interrupted meanwhile is undone."""
    if destination.key is None and key_file(name).is_file():  # let in before, by a command that ended too early
        with contextlib.suppress(LoginRefused):
            return _logged_in(replace(destination, key=key_file(name)), open_connection)
    if questions is None:
        raise LoginRefused(f"{refused} (or run the same command on a terminal, where a password can be asked for)")
    login = resolve(destination)
    who = f"{login.user}@{login.hostname}"
    password = questions.secret(f"{refused}.\nPassword of {who} (used once, kept nowhere)")
    with open_connection(destination, password=password) as connection:
        private, public = _key_to_install(name, destination)
        if not questions.agree(f"Searches log in by key. Let the key {private}{'' if public else ' (made now)'} in?"):
            raise LoginRefused(
                f"{who} lets no key in: nothing was done. To let one in: ssh-copy-id -p {login.port} {who}"
            )
        left = f"the key {private} is let in at {who}; if this ends too early, the same command goes on with it"
        try:
            comment = f"joulefront {name} {getpass.getuser()}@{platform.node()}"
            install_key(connection, public or _new_key(private, comment))
            entered = _logged_in(replace(destination, key=private), open_connection)
        except BaseException:
            if public is None and not _undone(name, connection):
                questions.tell(left)
            raise
    questions.tell(left)
    return entered


def _undone(name: str, connection: Connection) -> bool:
    """Take back a key that was made, and forget it; where it cannot be taken back, it is kept."""
    try:
        withdraw_key(name, connection)
    except TransportError:
        return False
    registry.remove(key_file(name))
    return True


def _key_to_install(name: str, destination: Destination) -> tuple[Path, str | None]:
    """A private key's path and its public key's line: the one that was named, one of the user's, or None: to be made."""
    theirs = [Path.home() / ".ssh" / f"id_{kind}" for kind in ("ed25519", "ecdsa", "rsa")]
    for private in [destination.key] if destination.key else theirs:
        public = private.with_name(f"{private.name}.pub")
        if private.is_file() and public.is_file():
            return private, public.read_text(encoding="utf-8").strip()
    if destination.key:
        raise ConfigError(
            f"--key {destination.key}: its public half {destination.key}.pub is not there to be let in; "
            f"make it: ssh-keygen -y -f {destination.key} > {destination.key}.pub"
        )
    ours = key_file(name)
    return ours, _public_line(_loaded(ours)) if ours.is_file() else None


def key_file(name: str) -> Path:
    """Where a key that was made for the device of that name alone is kept."""
    return registry.folder() / "keys" / name


def withdraw_key(name: str, connection: Connection) -> None:
    """Take back what a key that was made for the device of that name opens. Raises TransportError."""
    private = key_file(name)
    if not private.exists():
        return
    done = connection.execute(["/bin/sh", "-c", _WITHDRAW, "sh", _public_line(_loaded(private))])
    if done.status:
        raise TransportError(
            f"the key cannot be taken out of ~/.ssh/authorized_keys: {done.stderr.decode(errors='replace')[-300:]}"
        )


# Where the key is not, there is nothing to do. The file is written through, since it may be a link, and only once what
# remains lies beside it: grep ends with 1 when that is no line at all, and with 2 when it failed, as on a full disk.
_WITHDRAW = """
cd ~/.ssh 2>/dev/null && [ -e authorized_keys ] || exit 0
grep -qF -- "$1" authorized_keys; case $? in 0) ;; 1) exit 0 ;; *) exit 2 ;; esac
umask 077; rest=authorized_keys.joulefront
grep -vF -- "$1" authorized_keys > $rest; [ $? -le 1 ] || { rm -f $rest; exit 2; }
cat $rest > authorized_keys && rm -f $rest
"""


def _new_key(private: Path, comment: str) -> str:
    """Make an ed25519 key at the path ``private`` and return its public key's line. Raises StoreError."""
    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    registry.write(private, data.decode("ascii"))
    return f"{_public_line(key)} {comment}"


def _loaded(private: Path) -> Ed25519PrivateKey:
    """A key that was made here. Raises ConfigError."""
    try:
        key = load_ssh_private_key(private.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{private}: this key cannot be read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{private}: expected an ed25519 key, as devices add makes it")
    return key


def _public_line(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
