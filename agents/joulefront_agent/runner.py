"""Runs the child processes, and says how one that did not answer ended."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from joulefront_agent import blame, conditions, cores, window, wire
from joulefront_agent.stream import Late, Stream
from joulefront_agent.tally import Tally
from joulefront_agent.wire import Failure
from joulefront_agent.wire_energy import Watch, Watched
from joulefront_agent.wire_time import Step, Timed, Timing

Identity = tuple[str, int, int, int]
"""A file's path, size in bytes, time of the last change in ns, and inode."""

_END_S = 5.0


class Runner:
    """Runs one child at a time. ``runtime`` is the path of libtvm_runtime.so, ``root`` where /sys and /proc are."""

    def __init__(self, runtime: str, root: str) -> None:
        self._runtime = runtime
        self._root = root
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._verified: dict[Identity, str] = {}

    def run(self, number: int, run: wire.Run) -> wire.Ran:
        """One child's work. Raises Failure: the kinds of CANDIDATE_KINDS, BadFile, NoRuntime, NoThreads or MeterError.

        It has to be called on a thread that stays: the kernel ends the child with the thread that started it.
        """
        verify(run.library, run.sha256, self._verified)
        request = wire.encode_request(wire.Request(number, "run", run.to_wire())) + b"\n"
        began_s = window.raw_s()
        with self._started() as child:
            try:
                output, errors = child.communicate(request, timeout=run.timeout_s)
            except subprocess.TimeoutExpired as expired:
                _kill(child)
                return wire.Ran.from_wire(_late(run.timeout_s, expired.output or b"", _last(child)))
        ran = wire.Ran.from_wire(_outcome(child.returncode, output, errors))
        return replace(ran, took_s=window.raw_s() - began_s)  # with Python's start, which a child does not see

    def watch(self, number: int, watch: Watch) -> Watched:
        """One child's work without a network. Raises Failure: MeterError, or how the child failed; as ``run`` otherwise."""
        request = wire.encode_request(wire.Request(number, "watch", watch.to_wire())) + b"\n"
        with self._started() as child:
            try:
                output, errors = child.communicate(request, timeout=watch.timeout_s)
            except subprocess.TimeoutExpired as expired:
                _kill(child)
                return Watched.from_wire(_late(watch.timeout_s, expired.output or b"", _last(child)))
        return Watched.from_wire(_outcome(child.returncode, output, errors))

    def time(self, number: int, timing: Timing) -> Timed:
        """What one child, or several one after another, took for each function: one that ends a child fails alone.

        Raises Failure as ``run`` does for what is no single function's fault, such as a library that cannot be loaded.
        """
        verify(timing.library, timing.sha256, self._verified)
        root, tally = Path(self._root), Tally(timing)
        used = cores.fastest(root, timing.threads)
        pinned = used if timing.pin_threads else None
        before = conditions.read(root, pinned)
        while (rest := tally.rest()) is not None:
            request = wire.encode_request(wire.Request(number, "time", rest.to_wire())) + b"\n"
            with self._started() as child:
                if _followed(Stream(child, request), child, rest, tally):
                    break
        return tally.timed(before, conditions.read(root, pinned))

    @contextlib.contextmanager
    def _started(self) -> Iterator[subprocess.Popen[bytes]]:
        """A child, until it has ended or is given up."""
        command = [sys.executable, "-m", "joulefront_agent.child", str(os.getpid()), self._runtime, self._root]
        pipe = subprocess.PIPE
        with self._lock:
            if self._stopped:
                raise Failure("Stopped", "the agent is ending")
            # A session of its own makes it one process group, so that what it starts is killed with it.
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
            self._child = child
        try:
            yield child
        finally:
            with self._lock:
                self._child = None

    def stop(self) -> None:
        """Kill the child, if there is one, and start no more."""
        with self._lock:
            self._stopped = True
            if self._child is not None:
                _kill(self._child)


def verify(path: str, sha256: str, known: dict[Identity, str]) -> None:
    """Check that the file at ``path`` is the one that was meant. Raises Failure (BadFile).

    ``known`` remembers the hashes of files that were not written since: a board takes its time over one.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- the path is the harness's word, checked by its hash
            status = os.fstat(file.fileno())
            identity = (path, status.st_size, status.st_mtime_ns, status.st_ino)
            if known.get(identity) == sha256:
                return
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise Failure("BadFile", f"{path} cannot be read: {error}") from error
    if digest.hexdigest() != sha256:
        raise Failure("BadFile", f"{path} has the sha256 {digest.hexdigest()}, not {sha256}: it was damaged on its way")
    known[identity] = sha256


def _followed(stream: Stream, child: subprocess.Popen[bytes], timing: Timing, tally: Tally) -> bool:
    """Whether a child timed what it was given; if not, the function to blame is noted. Raises Failure where none is."""
    failure: Failure | None = None
    try:
        for line in stream.lines(timing.timeout_s, tally.end_s):
            answer = wire.decode_answer(line)
            if answer.error is not None:
                raise answer.error
            if not answer.ok:
                return True
            tally.note(Step.from_wire(answer.ok, len(timing.functions)))
        code = stream.end(_END_S)
        if code:
            failure = blame.of_end(code, bytes(stream.errors))
        elif code == 0:
            failure = Failure("Crashed", f"its process ended without a word{blame.last_words(bytes(stream.errors))}")
    except Late:
        failure = Failure("Hung", f"it had not answered after {timing.timeout_s:g} s, or when the time was up")
    except wire.WireError as error:
        failure = blame.nonsense(error, bytes(stream.errors))
    finally:
        if child.poll() is None:
            _kill(child)
        stream.end(_END_S)
    tally.blame(failure or Failure("Hung", "it closed its output and did not end"))
    return False


def _last(child: subprocess.Popen[bytes]) -> bytes:
    """What a child that was killed wrote to stderr, unless it does not end: whom a driver blocks, nothing ends."""
    try:
        return child.communicate(timeout=_END_S)[1]
    except subprocess.TimeoutExpired as expired:
        return expired.stderr or b""


def _late(timeout_s: float, output: bytes, errors: bytes) -> dict[str, Any]:
    """The answer of a child that had not ended in its time; one that had answered was kept by a driver."""
    if output.endswith(b"\n"):
        return _outcome(0, output, errors)
    raise Failure("Hung", f"it had not answered after {timeout_s:g} s{blame.last_words(errors)}")


def _outcome(code: int, output: bytes, errors: bytes) -> dict[str, Any]:
    """What a child that ended says, by its answer or by how it ended."""
    if code:
        raise blame.of_end(code, errors)
    try:
        answer = wire.decode_answer(output.rstrip(b"\n"))
        if answer.ok is not None:
            return answer.ok
    except wire.WireError as error:
        raise blame.nonsense(error, errors) from None
    assert answer.error is not None
    raise answer.error


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
