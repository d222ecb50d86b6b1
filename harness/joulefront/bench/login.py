"""Logging in over SSH: the host key first, then one key after another, or a password."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator

import paramiko
from paramiko.pkey import UnknownKeyType

from joulefront.bench import host_keys
from joulefront.bench.ssh_config import Destination, Login
from joulefront.errors import ConfigError, LoginRefused, TransportError

_CONNECT_S = 15.0


def logged_in(
    login: Login, destination: Destination, password: str | None, way: socket.socket | paramiko.Channel | None
) -> paramiko.Transport:
    """A transport that is logged in, over ``way`` or over a socket of its own."""
    keys = host_keys.trusted(login.known_as, destination.host_key, login.known_hosts)
    name = f"{login.hostname} port {login.port}"
    transport = paramiko.Transport(way or _socket(login))
    try:
        transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = _CONNECT_S
        options = transport.get_security_options()
        known = [kind for key in keys for kind in _algorithms(key)]
        options.key_types = tuple(sorted(options.key_types, key=lambda kind: kind not in known))
        try:
            transport.start_client(timeout=_CONNECT_S)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise TransportError(f"{name} does not answer as an SSH server: {said(error)}") from error
        shown = transport.get_remote_server_key()
        host_keys.check(shown, login.known_as, keys, destination.host_key, login.known_hosts)
        _authenticate(transport, login, destination, password)
    except BaseException:
        transport.close()
        raise
    return transport


def _socket(login: Login) -> socket.socket:
    try:
        connected = socket.create_connection((login.hostname, login.port), _CONNECT_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each small packet waits 40 ms for company
        return connected
    except OSError as error:
        reason = {
            ConnectionRefusedError: "it refuses the connection: is sshd running there, on that port?",
            TimeoutError: "nobody answers: is it on, and in this network?",
            socket.gaierror: "no such name: check its spelling, or give its address",
        }.get(type(error), f"{error.strerror or error}: is it on, and in this network?")
        raise TransportError(f"{login.hostname} port {login.port} cannot be reached: {reason}") from error


def onward(transport: paramiko.Transport, through: Login, following: Login) -> paramiko.Channel:
    """A channel from a jump host to the next one."""
    try:
        return transport.open_channel(
            "direct-tcpip", (following.hostname, following.port), ("127.0.0.1", 0), timeout=_CONNECT_S
        )
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise TransportError(
            f"{following.hostname} port {following.port} cannot be reached from the jump host {through.hostname}: "
            f"{said(error)}"
        ) from error


def _authenticate(transport: paramiko.Transport, login: Login, destination: Destination, password: str | None) -> None:
    """Offer one key after another, or the password. Raises LoginRefused and ConfigError."""
    notes: list[str] = []
    who = f"{login.user}@{login.hostname}"
    try:
        if password is not None:
            if not transport.auth_password(login.user, password, fallback=True):
                return
            raise LoginRefused(f"{who} takes the password, but wants something else besides")
        for label, key in _keys(login, destination, notes):
            try:
                if not transport.auth_publickey(login.user, key):
                    return
                notes.append(f"{label}: taken, but {who} wants something else besides")
            except paramiko.BadAuthenticationType:
                notes.append("the device takes no keys at all")
                break
            except paramiko.AuthenticationException:
                notes.append(f"{label}: refused")
    except (paramiko.SSHException, EOFError, OSError) as error:
        if not isinstance(error, paramiko.AuthenticationException):
            notes.append(said(error))
    offered = "; ".join(notes) or "there is no key to offer"
    asked = "the password was refused" if password is not None else offered
    raise LoginRefused(f"{who} refuses the login ({asked}). To let a key in: ssh-copy-id -p {login.port} {who}")


def _keys(login: Login, destination: Destination, notes: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """The keys to offer, each with what to call it; ``notes`` gets those that cannot be."""
    for path in login.identities:
        given = path == destination.key
        try:
            mode = path.stat().st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise PermissionError(f"others may read it: chmod 600 {path}")
            yield str(path), paramiko.PKey.from_path(path)
        except (OSError, ValueError, TypeError, paramiko.SSHException, UnknownKeyType) as error:
            locked = isinstance(error, TypeError | paramiko.PasswordRequiredException)
            reason = "it has a passphrase: ssh-add it to your agent" if locked else said(error)
            if given and not locked:
                raise ConfigError(f"the key {path} cannot be used: {reason}") from error
            notes.append(f"{path}: {reason}")
    if login.agent and os.environ.get("SSH_AUTH_SOCK"):
        agent = paramiko.Agent()
        try:
            for key in agent.get_keys():
                yield f"the agent's {key.fingerprint}", key
        finally:
            agent.close()


def _algorithms(key: paramiko.PKey) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256") if key.get_name() == "ssh-rsa" else (key.get_name(),)


def said(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
