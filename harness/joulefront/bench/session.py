"""A session with an agent: requests and answers, each with a timeout; an agent that died is started anew."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import CLOCK_MONOTONIC_RAW, clock_gettime, monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from joulefront.errors import AgentDied, AgentTimeout, BenchError, DeviceBusy, WireMismatch
from joulefront.protocols import Channel, Transport
from joulefront_agent import wire
from joulefront_agent.checking import take
from joulefront_agent.wire_energy import Found, Watch, Watched, meters_from_wire
from joulefront_agent.wire_time import Timed, Timing

Answer = TypeVar("Answer")

_HELLO_S = 60.0
_SHORT_S = 20.0
_METERS_S = 60.0
_LASTING = ("machine", "cpu", "cores", "sensor")
# Drivers of sensors may come up a good while after sshd.
_SENSOR_S = 60.0
_SENSOR_LOOK_S = 2.0


class Session:
    """Talks to one agent at a time over ``transport``; one request at a time, each by the thread that calls.

    Opening it starts an agent and greets it; when that is lost, the next request starts another, on the same machine or
    not at all. ``facts`` are what the first one said. ``restarts`` says of each of the others why the one before was lost,
    and ``boot`` changes when the machine boots. A thread keeps an idle agent alive.
    """

    def __init__(self, transport: Transport, meter: str, governor: str = "keep") -> None:
        self._transport = transport
        self._hello = wire.Hello(wire.SILENCE_S, meter, governor)
        self._channel: Channel | None = None
        self._lock = threading.Lock()
        self._last_id = 0
        self._ended = threading.Event()
        self._pinger = threading.Thread(target=self._keep_alive, name="joulefront-ping", daemon=True)
        self._loss = "it did not start"
        self.facts: Mapping[str, Any] = {}
        self.boot: str | None = None
        self.restarts: list[str] = []

    def __enter__(self) -> Self:
        with self._lock:
            self._open()
        self._pinger.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._pinger.join()
        with self._lock:
            self._drop()

    def conditions(self) -> dict[str, Any]:
        """How the device is now, asked of a second agent when the first is lost meanwhile. Raises BenchError."""
        try:
            answer = self._request("conditions", {}, _SHORT_S)
        except (AgentDied, AgentTimeout):
            answer = self._request("conditions", {}, _SHORT_S)
        return self._plain(answer)

    def clock(self) -> tuple[float, float, float]:
        """The device's CLOCK_MONOTONIC_RAW, and this host's right before it was asked and right after, in s. Raises
        BenchError."""
        asked_s = clock_gettime(CLOCK_MONOTONIC_RAW)
        answer = self._plain(self._request("clock", {}, _SHORT_S))
        heard_s = clock_gettime(CLOCK_MONOTONIC_RAW)
        try:
            return take(answer.get("raw_s"), "raw_s", float, least=0), asked_s, heard_s
        except wire.WireError as error:
            raise WireMismatch(f"the agent's answer to clock: {error}") from error

    def meters(self) -> tuple[Found, ...]:
        """What the device has that could measure its energy. Raises BenchError."""
        return self._understood("meters", self._request("meters", {}, _METERS_S), meters_from_wire)

    def watch(self, watch: Watch) -> Watched:
        """A window without a network. Raises BenchError, and wire.Failure for what the agent says about its child."""
        return self._understood(
            "watch", self._request("watch", watch.to_wire(), watch.timeout_s + _SHORT_S), Watched.from_wire
        )

    def run(self, run: wire.Run, library: Path) -> wire.Ran:
        """One child process's work with ``library``, which is shipped first where it is not there (any more).

        Raises BenchError, and wire.Failure for what the agent says about the child.

        AgentDied, AgentTimeout and ConnectionLost (of a machine that it brought down) may be the network's fault: it is not
        run again here.
        """
        answer = self._with_library("run", run, library, run.timeout_s)
        return self._understood("run", answer, wire.Ran.from_wire)

    def time(self, timing: Timing, library: Path) -> Timed:
        """What single functions of ``library`` took, or how they failed; otherwise as ``run``."""
        answer = self._with_library("time", timing, library, timing.end_s)
        return self._understood("time", answer, lambda told: Timed.from_wire(told, len(timing.functions)))

    def _with_library(self, op: str, asked: wire.Run | Timing, library: Path, timeout_s: float) -> dict[str, Any]:
        with self._lock:
            channel = self._channel or self._open()
            # With an agent there: one that is started anew may be on a connection that has nothing of ours yet.
            shipped = replace(asked, library=self._transport.put(library, asked.sha256))
            # The agent kills the child at its time-out; the rest is for the way there and back.
            return self._exchange(channel, op, shipped.to_wire(), timeout_s + _SHORT_S)

    def renew(self) -> None:
        """Start another agent now, whatever became of the one before: after a lost connection. Raises BenchError."""
        with self._lock:
            self._drop()
            self._open()

    def _plain(self, answer: dict[str, Any]) -> dict[str, Any]:
        return self._understood("a question", answer, lambda told: wire.plain(told, "answer"))

    def _understood(self, op: str, answer: dict[str, Any], read: Callable[[dict[str, Any]], Answer]) -> Answer:
        try:
            return read(answer)
        except wire.WireError as error:
            raise WireMismatch(f"the agent's answer to {op}: {error}") from error

    def _request(self, op: str, params: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        with self._lock:
            return self._exchange(self._channel or self._open(), op, params, timeout_s)

    def _open(self) -> Channel:
        """Start an agent and check that it is one of ours, and on the machine that the first one was on."""
        deadline_s = monotonic() + _SENSOR_S
        while True:
            channel, facts = self._greeted()
            awaited = self.facts.get("sensor") and not facts.get("sensor") and monotonic() < deadline_s
            if not awaited:
                break
            self._drop()
            self._ended.wait(_SENSOR_LOOK_S)
        changed = [key for key in _LASTING if self.facts and facts.get(key) != self.facts.get(key)]
        if changed:
            self._drop()
            was, now = ([table.get(key) for key in changed] for table in (self.facts, facts))
            raise BenchError(
                f"the agent was lost ({self._loss}), and the device is another one since: "
                f"{', '.join(changed)} was {was}, is {now}. Run the same command again where nothing changes meanwhile"
            )
        boot = facts.get("boot")
        if self.facts:
            self.restarts.append(self._loss + (", and the device has booted since" if boot != self.boot else ""))
        else:
            self.facts = facts
        self.boot = boot
        return channel

    def _greeted(self) -> tuple[Channel, dict[str, Any]]:
        """A new agent that speaks our protocol, and what it says about its machine."""
        self._channel = channel = self._transport.start()
        try:
            facts = self._plain(self._exchange(channel, "hello", self._hello.to_wire(), _HELLO_S))
            if facts.get("protocol") != wire.VERSION:
                raise WireMismatch(
                    f"the agent speaks version {facts.get('protocol')!r} of the protocol, this harness {wire.VERSION}"
                )
            ours = importlib.metadata.version("apache-tvm-ffi")
            if facts.get("tvm_ffi") != ours:
                raise WireMismatch(
                    f"the device has apache-tvm-ffi {facts.get('tvm_ffi')}, this harness {ours}; both must be the same"
                )
        except wire.Failure as failure:
            self._drop()
            if failure.kind == "Busy":
                raise DeviceBusy(f"{failure}: wait for it, or end it") from failure
            raise WireMismatch(f"the agent refused the handshake: {failure}") from failure
        except BenchError:
            self._drop()
            raise
        return channel, facts

    def _exchange(self, channel: Channel, op: str, params: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a request and wait for its answer, pinging meanwhile. The lock is held."""
        try:
            number = self._send(channel, op, params)
            deadline_s = monotonic() + timeout_s
            heard_s = monotonic()
            while True:
                try:
                    answer = self._decode(channel.receive(min(wire.PING_S, max(0.0, deadline_s - monotonic()))))
                except AgentTimeout as error:
                    if monotonic() >= deadline_s:
                        raise AgentTimeout(f"{op} took more than {timeout_s:g} s: {error}") from error
                    if monotonic() - heard_s >= wire.SILENCE_S:
                        raise AgentTimeout(f"the agent answered no ping for {wire.SILENCE_S:g} s: {error}") from error
                    self._send(channel, "ping", {})
                    continue
                heard_s = monotonic()
                if answer.id is None:
                    raise WireMismatch(f"the agent could not read a request: {answer.error}")
                if answer.id == number:
                    break
        except BaseException as error:
            self._loss = str(error)
            # Whatever else comes over this channel would be the answer to another question.
            self._drop()
            raise
        if answer.error is not None:
            raise answer.error
        assert answer.ok is not None
        return answer.ok

    def _send(self, channel: Channel, op: str, params: dict[str, Any]) -> int:
        self._last_id += 1
        channel.send(wire.encode_request(wire.Request(self._last_id, op, params)))
        return self._last_id

    def _decode(self, line: bytes) -> wire.Answer:
        try:
            return wire.decode_answer(line)
        except wire.WireError as error:
            raise WireMismatch(f"what the agent wrote is not of the protocol: {error}") from error

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _keep_alive(self) -> None:
        """Ping an agent that nobody talks to; whoever does talk pings it themselves."""
        while not self._ended.wait(wire.PING_S):
            if not self._lock.acquire(blocking=False):
                continue
            try:
                if self._channel is not None:
                    self._exchange(self._channel, "ping", {}, _SHORT_S)
            except (BenchError, wire.Failure):
                pass  # it was dropped: the next request starts another, or says why it cannot
            finally:
                self._lock.release()
