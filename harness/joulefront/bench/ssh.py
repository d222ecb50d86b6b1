"""The way to a device over SSH: the agent as a remote command, files by SFTP into a private folder."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from time import monotonic, sleep

import paramiko

from joulefront.bench.connection import Connection, drain
from joulefront.bench.lines import Lines
from joulefront.bench.provision import Provisioned, free_b, provision
from joulefront.bench.ssh_config import Destination
from joulefront.cache import Cache
from joulefront.errors import AgentDied, AgentTimeout, ConnectionLost, LoginRefused, TransportError

_log = logging.getLogger(__name__)
_KEPT = 3  # the network at work, the reference, and one more
_SEND_S = 30.0
_END_S = 5.0
_STILL_S = 0.5
_TAIL_B = 4000
_CHUNK_B = 1 << 15
_BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0)


class SshTransport:
    """Runs the agent on another machine, as ``user`` there, with what it needs shipped into a private folder.

    ``host``, ``user``, ``port``, ``key``, ``host_key`` and ``config`` are ssh_config.Destination's; what is not given is
    as OpenSSH has it. ``python`` is the device's interpreter where it is not python3, ``wheels`` a folder on this host with
    the wheels that the device needs, for hosts without a package index. A device that was reached and is lost is tried
    again for ``wait_s``, in s.

    Its methods raise TransportError, ConnectionLost when a device that was there is gone, and HostKeyError.
    """

    def __init__(
        self,
        host: str,
        user: str | None = None,
        port: int | None = None,
        key: str | None = None,
        host_key: str | None = None,
        config: str | None = None,
        python: str | None = None,
        wheels: str | None = None,
        wait_s: float = 600.0,
    ) -> None:
        self._destination = Destination(host, user, port, _path(key), host_key, _path(config))
        self._python = python
        self._wheels = _path(wheels)
        self._wait_s = wait_s
        # What this session ships goes by its name, and with it.
        self._token = secrets.token_hex(8)
        self._connection: Connection | None = None
        self._provisioned: Provisioned | None = None
        self._shipped: list[str] = []
        self._was_reached = False

    def start(self) -> SshChannel:
        """Start an agent; one of this session that a lost connection left behind is ended first."""
        connection, provisioned = self._reach()
        command = [
            "env",
            f"PYTHONPATH={':'.join(provisioned.packages)}",
            provisioned.python,
            *("-m", "joulefront_agent", "--runtime", provisioned.runtime),
            *("--lock", f"{provisioned.folder}/lock", "--session", self._token),
        ]
        # From a folder without modules in it: Python would take the user's own for the standard library's.
        return SshChannel(connection, command, provisioned.folder)

    def put(self, source: Path, sha256: str) -> str:
        """Ship a file; see protocols.Transport."""
        connection, provisioned = self._reach()
        final = f"{self._files}/{sha256}{source.suffix}"
        if final in self._shipped:
            self._shipped.remove(final)
        else:
            if not source.is_file():
                raise TransportError(f"{source} cannot be shipped: no such file")
            partial = f"{final}.{secrets.token_hex(4)}"
            try:
                connection.upload(source, partial)
            except ConnectionLost:
                raise
            except TransportError as error:
                free = free_b(connection, provisioned.python)
                with contextlib.suppress(TransportError):
                    connection.remove(partial)
                if free is not None and free < 2 * source.stat().st_size:
                    raise TransportError(f"no room on the device, {free / 1e6:.1f} MB free: {error}") from error
                raise
            connection.rename(partial, final)
        self._shipped.append(final)
        while len(self._shipped) > _KEPT:
            connection.remove(self._shipped.pop(0))
        return final

    def close(self) -> None:
        """Remove what this session shipped and let go of the device; see protocols.Transport."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.is_alive():
            with contextlib.suppress(TransportError):
                connection.execute(["rm", "-rf", self._files], timeout_s=_END_S)
        connection.close()

    @property
    def _files(self) -> str:
        assert self._provisioned is not None
        return str(PurePosixPath(self._provisioned.folder) / f"files-{self._token}")

    def _reach(self) -> tuple[Connection, Provisioned]:
        """A connection that is alive, to a device that has all it needs. Tries again, with longer and longer waits, when
        it has been there before."""
        if self._connection is not None and self._provisioned is not None:
            with contextlib.suppress(ConnectionLost):
                self._connection.require()
                return self._connection, self._provisioned
            self._connection.close()
            self._connection = None
        deadline_s = monotonic() + (self._wait_s if self._was_reached else 0.0)
        attempt = 0
        while True:
            try:
                return self._connect()
            except TransportError as error:
                # While it boots, a device may also take connections and no logins.
                pause_s = _BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)]
                if monotonic() + pause_s > deadline_s:
                    if self._was_reached and not isinstance(error, LoginRefused):
                        raise TransportError(f"{error} (tried for {self._wait_s:g} s)") from error
                    raise
                if not attempt:
                    _log.warning("%s; trying again for up to %g s", error, self._wait_s)
                sleep(pause_s)
                attempt += 1

    def _connect(self) -> tuple[Connection, Provisioned]:
        connection = Connection.open(self._destination)
        try:
            provisioned = provision(
                connection, python=self._python, wheels=self._wheels, cache=Cache(), say=_log.info, session=self._token
            )
            self._provisioned = provisioned
            # A device that lost power may have lost what was written last: all of it is shipped anew. What was left by
            # sessions that were killed goes as well; one that is alive ships something every week.
            connection.execute(["rm", "-rf", self._files])
            old = ["-maxdepth", "1", "-name", "files-*", "-mtime", "+7", "-exec", "rm", "-rf", "{}", "+"]
            connection.execute(["find", provisioned.folder, *old])
            connection.make_folder(self._files)
        except BaseException:
            connection.close()
            raise
        self._shipped.clear()
        self._connection, self._was_reached = connection, True
        return connection, provisioned


class SshChannel:
    """An agent started over a connection; a protocols.Channel."""

    def __init__(self, connection: Connection, command: Sequence[str], folder: str) -> None:
        self._connection = connection
        self._channel = connection.start(command, folder)
        self._lines = Lines()
        self._tail = bytearray()
        self._drain = threading.Thread(
            target=drain, args=(self._channel, self._tail, _TAIL_B), name="joulefront-agent-stderr", daemon=True
        )
        self._drain.start()
        self._closed = False

    def send(self, line: bytes) -> None:
        """Send one line. Raises AgentDied when nobody reads it, AgentTimeout when nobody does for 30 s, ConnectionLost."""
        data, sent_b, read_s = line + b"\n", 0, monotonic()
        while sent_b < len(data):
            if self._closed:
                raise AgentDied("the channel to the agent is closed")
            if self._channel.eof_received:  # what is sent after that would go into a window that nobody empties
                raise self._death()
            try:
                taken_b = self._channel.send(data[sent_b : sent_b + _CHUNK_B])
            except TimeoutError:
                self._connection.require()
                if monotonic() - read_s > _SEND_S:
                    raise AgentTimeout(f"the agent read nothing for {_SEND_S:g} s{self._last_words()}") from None
                continue
            except (OSError, EOFError, paramiko.SSHException):
                raise self._death() from None
            if not taken_b:
                raise self._death()
            sent_b, read_s = sent_b + taken_b, monotonic()
            self._connection.heard()

    def receive(self, timeout_s: float) -> bytes:
        """The next line. Raises AgentTimeout and AgentDied, both with the tail of the agent's stderr, and ConnectionLost.

        What had come of a line when the time was up is kept for the next call.
        """
        deadline_s = monotonic() + timeout_s
        while (line := self._lines.take()) is None:
            if self._closed:
                raise AgentDied("the channel to the agent is closed")
            try:
                chunk = self._connection.receive(self._channel, deadline_s)
            except TimeoutError:
                raise AgentTimeout(f"the agent did not answer within {timeout_s:g} s{self._last_words()}") from None
            if not chunk:
                raise self._death()
            self._lines.add(chunk)
            if monotonic() > deadline_s + _SEND_S:  # it writes and writes, and no line ends
                raise AgentTimeout(f"the agent did not answer within {timeout_s:g} s{self._last_words()}")
        return line

    def close(self) -> None:
        """End the agent, by the end of its input; it ends its child."""
        if self._closed:
            return
        self._closed = True
        if self._connection.is_alive():
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                self._channel.shutdown_write()
                self._channel.status_event.wait(_END_S)
            self._channel.close()
        self._drain.join(_END_S)

    def _death(self) -> AgentDied | ConnectionLost:
        """What to raise when the agent has closed its side."""
        try:
            self._connection.require()
            if not self._channel.status_event.wait(_END_S):
                return AgentDied(f"the agent closed its output{self._last_words()}")
            self._drain.join(_END_S)
            code = self._channel.exit_status
            if code < 0:
                self._connection.require_still(_STILL_S)
        except ConnectionLost as lost:
            return lost
        end = "was ended by a signal" if code < 0 else f"ended with exit status {code}"
        return AgentDied(f"the agent {end}{self._last_words()}")

    def _last_words(self) -> str:
        text = bytes(self._tail).decode("utf-8", errors="replace").strip()
        return f"; the end of its stderr: {text}" if text else "; it wrote nothing to stderr"


def _path(file: str | None) -> Path | None:
    return Path(file).expanduser() if file is not None else None
