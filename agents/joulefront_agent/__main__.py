"""The agent: one process a session, JSON lines on stdin and stdout, everything else to stderr.

Started as ``python -m joulefront_agent --runtime /path/to/libtvm_runtime.so``. It ends at the end of its input, or when
it has heard nothing for a while; its child ends with it, and the cores' governor is what it was before. With
``--lock FILE --session TOKEN`` it is the only one that measures: where another session has the lock, it answers nothing
but that.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from joulefront_agent import conditions, governor, install, lock, machine, sensors, window, wire
from joulefront_agent.runner import Runner
from joulefront_agent.wire_energy import Watch, meters_to_wire
from joulefront_agent.wire_time import Timing

_log = logging.getLogger("joulefront_agent")


class Agent:
    """Serves one session. ``answers`` is where its lines go; ``refusal`` is why nothing may be measured, if so.

    ``used`` are the folders that it was shipped in: each run marks them as used now, so that no other version's
    provisioning sweeps them (see install.py). ``work`` is the folder for what has to survive it.
    """

    def __init__(
        self,
        runner: Runner,
        root: Path,
        answers: BinaryIO,
        refusal: wire.Failure | None = None,
        used: Sequence[Path] = (),
        *,
        work: Path,
    ) -> None:
        self._runner = runner
        self._root = root
        self._answers = answers
        self._refusal = refusal
        self._used = used
        self._work = work
        self._held = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._silence_s = wire.SILENCE_S
        self._running: threading.Thread | None = None
        self._busy = False

    def serve(self, requests: int) -> None:
        """Answer the lines from the file descriptor ``requests`` until it ends or falls silent."""
        line = bytearray()
        try:
            while True:
                if not select.select([requests], [], [], self._silence_s)[0]:
                    _log.error("nothing heard for %g s: ending", self._silence_s)
                    return
                chunk = os.read(requests, 1 << 20)
                if not chunk:
                    return
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    self._handle(bytes(line + end))
                    line.clear()
                line += rest
                if len(line) > wire.LINE_LIMIT_B:
                    _log.error("a line of more than %d bytes: ending", wire.LINE_LIMIT_B)
                    return
        except BrokenPipeError:
            return
        finally:
            self._runner.stop()
            if self._running is not None:
                self._running.join()
            self._held.close()

    def _handle(self, line: bytes) -> None:
        """Answer one line, or start what will."""
        try:
            request = wire.decode_request(line)
        except wire.WireError as error:
            self._fail(None, "WireError", str(error))
            return
        if self._refusal is not None:
            self._fail(request.id, self._refusal.kind, self._refusal.message)
            return
        try:
            if request.op in ("run", "time", "watch", "meters"):
                self._start(request)
            else:
                self._send(wire.Answer(request.id, self._answer(request)))
        except wire.WireError as error:
            self._fail(request.id, "WireError", str(error))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, the harness waits for an answer
            self._fail(request.id, "AgentError", f"{type(error).__name__}: {error}"[-2000:])

    def _answer(self, request: wire.Request) -> dict[str, Any]:
        if request.op == "hello":
            hello = wire.Hello.from_wire(request.params)
            self._silence_s = hello.silence_s
            facts = machine.facts(self._root, hello.meter)
            self._held.close()
            return {**facts, **self._held.enter_context(governor.hold(self._root, self._work, hello.governor))}
        if request.op == "clock":
            return {"raw_s": window.raw_s()}
        return conditions.read(self._root) if request.op == "conditions" else {}

    def _start(self, request: wire.Request) -> None:
        """Run in the background, so that pings are still answered."""
        work: Callable[[], dict[str, Any]]
        if request.op == "run":
            run = wire.Run.from_wire(request.params)
            work = lambda: self._runner.run(request.id, run).to_wire()  # noqa: E731 -- one of four
        elif request.op == "time":
            timing = Timing.from_wire(request.params)
            work = lambda: self._runner.time(request.id, timing).to_wire()  # noqa: E731
        elif request.op == "watch":
            watch = Watch.from_wire(request.params)
            work = lambda: self._runner.watch(request.id, watch).to_wire()  # noqa: E731
        else:
            work = lambda: meters_to_wire(sensors.survey(self._root))  # noqa: E731
        if self._busy:
            self._fail(request.id, "AgentError", "a run is still on its way; one at a time")
            return
        for folder in self._used:
            with contextlib.suppress(OSError):
                os.utime(folder)
        self._busy = True
        running = threading.Thread(target=self._run, args=(request.id, work))
        try:
            running.start()
        except RuntimeError:  # no thread is to be had
            self._busy = False
            raise
        self._running = running

    def _run(self, number: int, work: Callable[[], dict[str, Any]]) -> None:
        try:
            answer = wire.Answer(number, work())
        except wire.Failure as failure:
            answer = wire.Answer(number, None, failure)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the harness waits for an answer
            answer = wire.Answer(number, None, wire.Failure("AgentError", f"{type(error).__name__}: {error}"))
        # Free before it says so: the next request may follow the answer at once.
        self._busy = False
        with contextlib.suppress(BrokenPipeError):
            self._send(answer)

    def _fail(self, number: int | None, kind: str, message: str) -> None:
        self._send(wire.Answer(number, None, wire.Failure(kind, message)))

    def _send(self, answer: wire.Answer) -> None:
        line = wire.encode_answer(answer) + b"\n"
        with self._lock:
            self._answers.write(line)
            self._answers.flush()


def main() -> int:
    """The program. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="joulefront_agent", description=__doc__)
    parser.add_argument("--runtime", required=True, help="the path of libtvm_runtime.so")
    parser.add_argument("--root", default="/", help="where /sys and /proc are found, such as /host in a container")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="a file that one agent at a time holds")
    parser.add_argument("--session", default="", metavar="TOKEN", help="whose agent this is: it replaces its own")
    given = parser.parse_args()
    if given.lock is not None and not given.session:
        parser.error("--lock needs --session")
    logging.basicConfig(stream=sys.stderr, format="joulefront_agent: %(message)s")
    signal.signal(signal.SIGTERM, _end)
    root = Path(given.root)
    work = given.lock.parent if given.lock is not None else _work_folder()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints is no answer
        refusal = None
        try:
            if given.lock is not None:
                lock.take(given.lock, given.session)  # held until this process ends
            governor.restore(root, work)
        except wire.Failure as failure:
            refusal = failure
        # Where there is a lock, what was shipped lies beside it.
        used = [path for path in map(Path, sys.path) if given.lock is not None and path.parent == given.lock.parent]
        Agent(Runner(given.runtime, given.root), root, answers, refusal, used, work=work).serve(0)
    return 0


def _work_folder() -> Path:
    try:
        return install.work_folder()
    except RuntimeError:  # a user without a home: what is there goes with the session
        return Path.cwd()


def _end(number: int, _: FrameType | None) -> None:
    """End in order: what was set is set back."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
