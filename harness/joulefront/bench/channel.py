"""Lines to and from a process: the channel to an agent that is, or is reached through, a process on this machine."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import IO

from joulefront.bench.lines import Lines
from joulefront.errors import AgentDied, AgentTimeout, TransportError

_SEND_S = 30.0
_END_S = 5.0
_TAIL_B = 4000


class ProcessChannel:
    """An agent started as ``command`` in ``folder``, in a process group of its own.

    Raises TransportError when the command cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        pipe = subprocess.PIPE
        try:
            # A group of its own, so that Ctrl-C reaches the harness alone, which then ends the agent in order.
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise TransportError(f"the agent cannot be started ({command[0]}): {error}") from error
        requests, answers, errors = self._process.stdin, self._process.stdout, self._process.stderr
        assert requests is not None
        assert answers is not None
        assert errors is not None
        self._requests, self._answers, self._errors = requests, answers, errors
        os.set_blocking(self._requests.fileno(), False)
        self._lines = Lines()
        self._tail = bytearray()
        self._drain = threading.Thread(target=self._keep_tail, name="joulefront-agent-stderr", daemon=True)
        self._drain.start()
        self._closed = False

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Send one line. Raises AgentDied when nobody reads it, AgentTimeout when nobody does for 30 s."""
        rest = memoryview(line + b"\n")
        while rest and not self._closed:
            if not _is_ready(self._requests, selectors.EVENT_WRITE, _SEND_S):
                raise AgentTimeout(f"the agent read nothing for {_SEND_S:g} s{self._last_words()}")
            try:
                rest = rest[os.write(self._requests.fileno(), rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._death() from None
        if self._closed:
            raise AgentDied("the channel to the agent is closed")

    def receive(self, timeout_s: float) -> bytes:
        """The next line. Raises AgentTimeout and AgentDied, both with the tail of the agent's stderr.

        What had come of a line when the time was up is kept for the next call.
        """
        deadline_s = monotonic() + timeout_s
        while (line := self._lines.take()) is None:
            if self._closed:
                raise AgentDied("the channel to the agent is closed")
            if not _is_ready(self._answers, selectors.EVENT_READ, max(0.0, deadline_s - monotonic())):
                raise AgentTimeout(f"the agent did not answer within {timeout_s:g} s{self._last_words()}")
            chunk = os.read(self._answers.fileno(), 1 << 20)
            if not chunk:
                raise self._death()
            self._lines.add(chunk)
            if monotonic() > deadline_s + _SEND_S:  # it writes and writes, and no line ends
                raise AgentTimeout(f"the agent did not answer within {timeout_s:g} s{self._last_words()}")
        return line

    def close(self) -> None:
        """End the agent: by the end of its input, and by force when it does not go; its child goes with it."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._requests.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._answers.close()
        self._drain.join(_END_S)
        if not self._drain.is_alive():  # whoever still holds the other end must not hold us
            self._errors.close()

    def _death(self) -> AgentDied:
        """What to raise when the agent has closed its side."""
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return AgentDied(f"the agent closed its output{self._last_words()}")
        self._drain.join(_END_S)
        end = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit status {code}"
        return AgentDied(f"the agent {end}{self._last_words()}")

    def _last_words(self) -> str:
        text = bytes(self._tail).decode("utf-8", errors="replace").strip()
        return f"; the end of its stderr: {text}" if text else "; it wrote nothing to stderr"

    def _keep_tail(self) -> None:
        while chunk := os.read(self._errors.fileno(), 1 << 16):
            self._tail += chunk
            del self._tail[:-_TAIL_B]


def _is_ready(file: IO[bytes], event: int, timeout_s: float) -> bool:
    with selectors.DefaultSelector() as selector:  # select() knows no descriptor from 1024 on
        selector.register(file, event)
        return bool(selector.select(timeout_s))


def _signal(number: int) -> str:
    """A signal's name; most real-time signals have none."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
