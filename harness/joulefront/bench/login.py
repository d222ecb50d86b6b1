"""Logging in over SSH: the host key first, then one key after another, or a password."""

from __future__ import annotations

import socket

import paramiko

from joulefront.bench import host_keys
from joulefront.bench.identities import identities
from joulefront.bench.identities import said as said
from joulefront.bench.ssh_config import Destination, Login
from joulefront.errors import LoginRefused, TransportError

_CONNECT_S = 15.0


class _Transport(paramiko.Transport):
    """Keeps what the server says when it ends the connection, which paramiko only logs."""

    farewell = ""

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        message.get_int()
        self.farewell = message.get_text()


def logged_in(
    login: Login, destination: Destination, password: str | None, way: socket.socket | paramiko.Channel | None
) -> paramiko.Transport:
    """A transport that is logged in, over ``way`` or over a socket of its own."""
    known = host_keys.trusted(login.known_as, destination.host_key, login.known_hosts)
    name = f"{login.hostname} port {login.port}"
    transport = _Transport(way or _socket(login))
    try:
        transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = _CONNECT_S
        options = transport.get_security_options()
        first = [kind for key in known.keys for kind in _algorithms(key)]
        options.key_types = tuple(sorted(options.key_types, key=lambda kind: kind not in first))
        try:
            transport.start_client(timeout=_CONNECT_S)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise TransportError(f"{name} does not answer as an SSH server: {said(error)}") from error
        shown = transport.get_remote_server_key()
        host_keys.require_not_revoked(shown, login.known_as, login.known_hosts, login.revoked)
        host_keys.check(shown, login.known_as, known, destination.host_key)
        _authenticate(transport, login, destination, password)
    except BaseException:
        transport.close()
        raise
    return transport


def _socket(login: Login) -> socket.socket:
    try:
        connected = socket.create_connection((login.hostname, login.port), _CONNECT_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each small packet waits 40 ms for company
        # Or minutes of a slow link would lie in this host's buffer, and an answer to a keepalive behind them.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
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


def _authenticate(transport: _Transport, login: Login, destination: Destination, password: str | None) -> None:
    """Offer one key after another, or the password. Raises LoginRefused, ConfigError, and TransportError when the
    connection breaks meanwhile."""
    notes: list[str] = []
    who = f"{login.user}@{login.hostname}"
    try:
        if password is not None:
            if not transport.auth_password(login.user, password, fallback=True):
                return
            raise LoginRefused(f"{who} takes the password, but wants something else besides")
        for label, key in identities(login, destination, notes):
            try:
                if not transport.auth_publickey(login.user, key):
                    return
                notes.append(f"{label}: taken, but {who} wants something else besides")
            except paramiko.BadAuthenticationType:
                notes.append("the device takes no keys at all")
                break
            except paramiko.AuthenticationException:
                if not transport.is_active():
                    raise
                notes.append(f"{label}: refused")
    except (paramiko.SSHException, EOFError, OSError) as error:
        if not transport.is_active() and "too many authentication failures" not in transport.farewell.lower():
            raise TransportError(
                f"{login.hostname} port {login.port} ended the connection while {login.user} was logging in"
                f"{': ' + transport.farewell if transport.farewell else ''}{'; '.join(['', *notes])}"
            ) from error
        if transport.farewell or not isinstance(error, paramiko.AuthenticationException):
            notes.append(transport.farewell or said(error))
    offered = "; ".join(notes) or "there is no key to offer"
    asked = "the password was refused" if password is not None else offered
    raise LoginRefused(f"{who} refuses the login ({asked}). To let a key in: ssh-copy-id -p {login.port} {who}")


def _algorithms(key: paramiko.PKey) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256") if key.get_name() == "ssh-rsa" else (key.get_name(),)
