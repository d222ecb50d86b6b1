"""The first login on a device: is its host key to be trusted, and how is the user let in. The only place that asks.

A password is held for as long as it takes to let a key in, and is neither stored nor logged.
"""

from __future__ import annotations

import getpass
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

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
        if error.changed or _is_of_a_jump_host(error, destination):
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


def _is_of_a_jump_host(error: HostKeyError, destination: Destination) -> bool:
    login = resolve(destination)
    return bool(login.via) and login.known_as not in str(error)


def _shown_by(destination: Destination, open_connection: Open) -> HostKeyError:
    """The host key that the device shows, by trusting none."""
    try:
        with open_connection(replace(destination, host_key=_NOBODYS_KEY)):
            raise AssertionError("no device has this key")
    except HostKeyError as error:
        if _is_of_a_jump_host(error, destination):
            raise
        return error


# A valid public key whose private half nobody has: the curve's base point of order 8.
_NOBODYS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


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
    """Have a key let in, by a password that is asked for once."""
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
        install_key(connection, public or _new_key(private, f"joulefront {name} {getpass.getuser()}@{platform.node()}"))
    return _logged_in(replace(destination, key=private), open_connection)


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
    return key_file(name), None


def key_file(name: str) -> Path:
    """Where a key that was made for the device of that name alone is kept."""
    return registry.folder() / "keys" / name


def withdraw_key(name: str, connection: Connection) -> None:
    """Take back what a key that was made for the device of that name opens. Raises TransportError."""
    from cryptography.hazmat.primitives import serialization

    private = key_file(name)
    if not private.exists():
        return
    key = serialization.load_ssh_private_key(private.read_bytes(), password=None)
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    done = connection.execute(["/bin/sh", "-c", _WITHDRAW, "sh", line.decode("ascii")])
    if done.status:
        raise TransportError(
            f"the key cannot be taken out of ~/.ssh/authorized_keys: {done.stderr.decode(errors='replace')[-300:]}"
        )


# grep ends with 1 when no line is left, and with 2 when it failed, as on a full disk: then the file stays as it is.
_WITHDRAW = (
    'umask 077; cd ~/.ssh || exit; grep -vF -- "$1" authorized_keys > authorized_keys.joulefront; [ $? -le 1 ] && '
    "mv authorized_keys.joulefront authorized_keys"
)


def _new_key(private: Path, comment: str) -> str:
    """Make an ed25519 key at the path ``private`` and return its public key's line. Raises StoreError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.OpenSSH
    data = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    registry.write(private, data.decode("ascii"))
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{line.decode('ascii')} {comment}"
