"""An SSH connection to a device: logged in with a checked host key, watched for signs of life, good for commands and files."""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import paramiko

from joulefront.bench.login import logged_in, onward, said
from joulefront.bench.ssh_config import Destination, Login, resolve, route
from joulefront.errors import ConnectionLost, HostKeyError, LoginRefused, TransportError
from joulefront.records import Executed

_CONNECT_S = 15.0
_BEAT_S = 5.0
SILENCE_S = 20.0
"""A connection over which nothing came for so long is lost, in s: an answer to a keepalive is due every 5 s."""

_LOOK_S = 0.5
_CHUNK_B = 1 << 15
_BEGIN = b"joulefront:begin\n"
# What a device's .bashrc prints comes before our own output; more than this is no greeting.
_MOST_NOISE_B = 1 << 16
_MOST_OUTPUT_B = 1 << 20


class Connection:
    """One SSH connection; a protocols.Remote and a context manager.

    A thread asks for a sign of life every 5 s, as OpenSSH's ServerAliveInterval does: TCP alone notices a pulled cable
    only after a quarter of an hour, and a device that is cut off has to be told from an agent that is silent. Another one,
    which never writes and so is never kept waiting, closes the connection when there is none.
    """

    def __init__(self, transports: Sequence[paramiko.Transport], name: str) -> None:
        """For ``open``: the last of ``transports`` is the device's, the others lead there; ``name`` is for messages."""
        self._transports = transports
        self._name = name
        self._heard_s = monotonic()
        self._given_up_s: float | None = None  # after how long a silence it was closed
        self._ended = threading.Event()
        for watch in (self._keep_alive, self._watch):
            threading.Thread(target=watch, name=f"joulefront-ssh{watch.__name__}", daemon=True).start()

    @classmethod
    def open(cls, destination: Destination, *, password: str | None = None) -> Self:
        """Log in: with the destination's key, the SSH agent's keys and the usual ones, or with a ``password``.

        Raises HostKeyError, LoginRefused, TransportError when nobody is there, and ConfigError for settings or a key
        file that cannot be used.
        """
        way = route(destination)
        logins = [resolve(hop) for hop in way]
        transports: list[paramiko.Transport] = []
        try:
            channel = None
            for index, (hop, login) in enumerate(zip(way, logins, strict=True)):
                if transports:
                    channel = onward(transports[-1], logins[index - 1], login)
                if hop is destination:
                    transports.append(logged_in(login, hop, password, channel))
                else:
                    transports.append(_at_a_jump(login, hop, channel))
        except BaseException:
            _close(transports)
            raise
        return cls(transports, f"{logins[-1].user}@{logins[-1].hostname}")

    def is_alive(self) -> bool:
        """Whether it is open and gave a sign of life within two beats: else nothing is worth waiting for."""
        return self._transport.is_active() and monotonic() - self._heard_s < 2 * _BEAT_S + 1.0

    def heard(self) -> None:
        """A sign of life, by whoever saw one."""
        self._heard_s = monotonic()

    def require(self) -> None:
        """Raises ConnectionLost unless the connection is alive."""
        silent_s = self._given_up_s or monotonic() - self._heard_s
        if silent_s > SILENCE_S:
            self.close()
            raise ConnectionLost(f"the connection to {self._name} is lost: no sign of life for {silent_s:.0f} s")
        if self._ended.is_set() or not self._transport.is_active():
            raise ConnectionLost(f"the connection to {self._name} is lost: it was closed")

    def require_still(self, moment_s: float) -> None:
        """As ``require``, after a moment: a connection that ends lets go of its channels before it says so."""
        self._transport.join(moment_s)
        self.require()

    def start(self, command: Sequence[str], folder: str | None = None) -> paramiko.Channel:
        """Run an argument list, in ``folder`` or at home; returns the channel to its stdin, stdout and stderr, past
        whatever the shell printed. Raises TransportError."""
        self.require()
        # By sh, whatever the user's shell is, and after a mark, whatever their .bashrc prints.
        entering = f"cd {shlex.quote(folder)} && " if folder else ""
        script = f"printf '{_BEGIN.decode().strip()}\\n'; {entering}exec {shlex.join(command)}"
        with self._lost_when_it_fails():
            channel = self._transport.open_session(timeout=_CONNECT_S)
            channel.exec_command(f"exec /bin/sh -c {shlex.quote(script)}")
            channel.settimeout(_LOOK_S)
        noise = bytearray()
        deadline_s = monotonic() + _CONNECT_S + SILENCE_S
        while not noise.endswith(_BEGIN):
            try:
                byte = self.receive(channel, deadline_s, 1)
            except TimeoutError:
                byte = b""
            noise += byte
            if not byte or len(noise) > _MOST_NOISE_B or monotonic() > deadline_s:
                channel.close()
                said = bytes(noise[-200:]).decode("utf-8", errors="replace").strip()
                raise TransportError(
                    f"{self._name} does not run commands over SSH{f'; it says: {said}' if said else ''}: "
                    f"try 'ssh {self._name} true'"
                )
        return channel

    def receive(self, channel: paramiko.Channel, deadline_s: float, most_b: int = _CHUNK_B) -> bytes:
        """What comes next on a channel's stdout, at most so many bytes, b"" at its end.

        Raises TimeoutError at ``deadline_s`` on the monotonic clock, and ConnectionLost.
        """
        while True:
            try:
                chunk = channel.recv(most_b)
            except TimeoutError:
                self.require()
                if monotonic() >= deadline_s:
                    raise
                continue
            if not chunk:
                self._require_an_end(channel)
            self.heard()
            return chunk

    def _require_an_end(self, channel: paramiko.Channel) -> None:
        """Raises ConnectionLost when a channel ended because its connection did."""
        channel.status_event.wait(_BEAT_S)
        if channel.exit_status == -1:  # none came: its process died of a signal, or the connection just did
            self._transport.join(_BEAT_S / 5)
            self.require()

    def execute(self, command: Sequence[str], *, given: bytes = b"", timeout_s: float = 60.0) -> Executed:
        """See protocols.Remote."""
        channel = self.start(command)
        deadline_s = monotonic() + timeout_s
        output, errors = bytearray(), bytearray()
        draining = threading.Thread(target=drain, args=(channel, errors, _MOST_OUTPUT_B), daemon=True)
        feed = threading.Thread(target=self._feed, args=(channel, given), daemon=True)
        try:
            draining.start()
            feed.start()
            while chunk := self.receive(channel, deadline_s):
                output += chunk
                if len(output) > _MOST_OUTPUT_B:
                    raise TransportError(f"{self._name}: {command[0]} writes without an end")
                if monotonic() > deadline_s:
                    raise TimeoutError
            if not channel.status_event.wait(max(0.0, deadline_s - monotonic())):
                self.require()
                raise TimeoutError
            draining.join(_LOOK_S)
            return Executed(channel.exit_status, bytes(output), bytes(errors))
        except TimeoutError:
            raise TransportError(f"{self._name}: {command[0]} took more than {timeout_s:g} s") from None
        finally:
            channel.close()

    def upload(self, source: Path, path: str) -> int:
        """See protocols.Remote."""
        size_b = source.stat().st_size
        with self._files(path) as files, source.open("rb") as data:
            try:
                there_b = files.stat(path).st_size or 0
            except FileNotFoundError:
                there_b = 0
            if there_b > size_b:
                there_b = 0
            data.seek(there_b)
            with files.open(path, "ab" if there_b else "wb") as remote:
                while chunk := data.read(_CHUNK_B):
                    remote.write(chunk)
                    self.heard()
            if files.stat(path).st_size != size_b:
                raise TransportError(f"{self._name}: {path} was not written whole: is its disk full?")
        return size_b - there_b

    def rename(self, path: str, final: str) -> None:
        """Give the file at ``path`` the name ``final``, replacing what has it. Raises TransportError."""
        with self._files(path) as files:
            files.posix_rename(path, final)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there. Raises TransportError."""
        with self._files(path) as files, contextlib.suppress(FileNotFoundError):
            files.remove(path)

    def make_folder(self, path: str) -> None:
        """Make a private folder (0700); its parent is there. Raises TransportError."""
        with self._files(path) as files:
            files.mkdir(path, 0o700)

    def close(self) -> None:
        """Let go of the device; never raises, and may be called again."""
        self._ended.set()
        _close(self._transports)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _transport(self) -> paramiko.Transport:
        return self._transports[-1]

    @contextlib.contextmanager
    def _files(self, path: str) -> Iterator[paramiko.SFTPClient]:
        """SFTP, for what is done with ``path``."""
        self.require()
        with self._lost_when_it_fails(f"{path}: "):
            files = paramiko.SFTPClient.from_transport(self._transport)
            if files is None:
                raise TransportError(f"{self._name} has no SFTP: enable 'Subsystem sftp' in its sshd_config")
            with files:
                channel = files.get_channel()
                if channel is not None:
                    channel.settimeout(SILENCE_S)
                yield files

    @contextlib.contextmanager
    def _lost_when_it_fails(self, where: str = "") -> Iterator[None]:
        """Turns what paramiko raises into a TransportError, which is a ConnectionLost when the connection is."""
        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            if isinstance(error, TimeoutError):
                self._wait_for_life()
            elif isinstance(error, EOFError | paramiko.SSHException | ConnectionError):
                self._transport.join(_LOOK_S)  # what ended may be the connection, whose thread says so a moment later
            self.require()
            raise TransportError(f"{self._name}: {where}{said(error)}") from error

    def _feed(self, channel: paramiko.Channel, given: bytes) -> None:
        with contextlib.suppress(OSError, EOFError):  # a command may end without having read it all
            sent_b = 0
            while sent_b < len(given):
                try:
                    sent_b += channel.send(given[sent_b : sent_b + _CHUNK_B])
                    self.heard()
                except TimeoutError:
                    if channel.closed:
                        return
            channel.shutdown_write()

    def _wait_for_life(self) -> None:
        """After a time-out: until the next sign of life, or until there has been none for too long."""
        since_s = monotonic()
        while self._heard_s < since_s and monotonic() - self._heard_s <= SILENCE_S and self._transport.is_active():
            self._ended.wait(_LOOK_S)

    def _keep_alive(self) -> None:
        while not self._ended.wait(_BEAT_S):
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                self._transport.global_request("keepalive@joulefront", wait=True)
            if not self._transport.is_active():
                return
            self.heard()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_S):
            silent_s = monotonic() - self._heard_s
            if silent_s > SILENCE_S:
                self._given_up_s = silent_s
                # By the sockets: whoever writes into one that nobody empties holds what a proper close would wait for.
                for transport in self._transports:
                    transport.packetizer.close()
                return


def install_key(connection: Connection, public_key: str) -> None:
    """Let the owner of ``public_key`` (a line of authorized_keys) log in as the user of ``connection``.

    Raises TransportError.
    """
    # A newline first, since the last line there may lack its own; an empty line says nothing.
    script = "umask 077; mkdir -p ~/.ssh && cat >> ~/.ssh/authorized_keys"
    done = connection.execute(["/bin/sh", "-c", script], given=f"\n{public_key.strip()}\n".encode())
    if done.status:
        raise TransportError(
            f"the key cannot be written to ~/.ssh/authorized_keys: {done.stderr.decode(errors='replace')[-300:]}"
        )


def _at_a_jump(login: Login, hop: Destination, channel: paramiko.Channel | None) -> paramiko.Transport:
    """Logged in at a host on the way. Its key is none that may be accepted as the device's, and the device's password is
    nothing for it: whatever is wrong there is a plain TransportError."""
    try:
        return logged_in(login, hop, None, channel)
    except (HostKeyError, LoginRefused) as error:
        raise TransportError(f"the jump host {hop.host}: {error}. To settle it: ssh {hop.host}") from error


def drain(channel: paramiko.Channel, into: bytearray, most_b: int) -> None:
    """Read a channel's stderr to its end, so that nobody waits to write there; the last ``most_b`` bytes are kept."""
    while True:
        try:
            chunk = channel.recv_stderr(_CHUNK_B)
        except TimeoutError:
            if channel.closed:
                return
            continue
        if not chunk:
            return
        into += chunk
        del into[:-most_b]


def _close(transports: Sequence[paramiko.Transport]) -> None:
    for transport in reversed(transports):
        with contextlib.suppress(Exception):
            transport.close()
