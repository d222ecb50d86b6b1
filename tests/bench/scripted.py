"""A device that does what the test says: a transport whose agent is a function in this process."""

import importlib.metadata
from collections import deque
from dataclasses import replace

from joulefront.errors import AgentDied, AgentTimeout
from joulefront_agent import wire
from joulefront_agent.wire_energy import Reading, Watched, Window
from joulefront_agent.wire_time import Timed

FACTS = {
    "protocol": wire.VERSION,
    "tvm_ffi": importlib.metadata.version("apache-tvm-ffi"),
    "architecture": "x86_64",
    "features": "cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe",
    "cores": 4,
    "machine": "0123456789abcdef",
    "sensor": None,
    "sensor_reason": "no energy sensor: scripted",
}
CONDITIONS = {"cpu_busy_s": 0.0, "cpu_total_s": 1.0, "cpu_cores": 4, "throttles": None, "frequency_hz": None}
RAN = wire.Ran((), (1e-3,) * 5, 0, 0.05, True, 0.0, None, 0.06, 1 << 20, None, CONDITIONS, CONDITIONS)


class Die(Exception):
    """What an op's function raises to end the agent."""


class Silence(Exception):
    """What an op's function raises to give no answer."""


class ScriptedTransport:
    """``ops`` maps an op to a function of its params that returns the answer, or raises wire.Failure, Die or Silence."""

    def __init__(self, **ops):
        self.ops = {
            "hello": lambda params: FACTS,
            "ping": lambda params: {},
            "conditions": lambda params: CONDITIONS,
            "run": lambda params: RAN.to_wire(),
            "clock": lambda params: {"raw_s": 10.0},
            "watch": lambda params: watched(params).to_wire(),
            "time": lambda params: timed([1e-3] * 3 for _ in params["functions"]),
            **ops,
        }
        self.asked, self.started, self.closed = [], 0, False

    def start(self):
        self.started += 1
        return ScriptedChannel(self)

    def put(self, source, sha256):
        return f"/device/{sha256}{source.suffix}"

    def close(self):
        self.closed = True


class ScriptedChannel:
    def __init__(self, transport):
        self.transport, self.lines, self.dead = transport, deque(), False

    def send(self, line):
        if self.dead:
            raise AgentDied("scripted: nobody there")
        request = wire.decode_request(line)
        self.transport.asked.append(request.op)
        try:
            answer = self.transport.ops[request.op](request.params)
        except wire.Failure as failure:
            self.lines.append(wire.encode_answer(wire.Answer(request.id, None, failure)))
        except Die:
            self.dead = True
        except Silence:
            return
        else:
            self.lines.append(
                answer if isinstance(answer, bytes) else wire.encode_answer(wire.Answer(request.id, answer))
            )

    def receive(self, timeout_s):
        if self.lines:
            return self.lines.popleft()
        if self.dead:
            raise AgentDied("scripted: the end")
        raise AgentTimeout("scripted: silence")

    def close(self):
        self.dead = True


def ran(latency_s, count=5, **changes):
    """An answer to run, with ``count`` samples of ``latency_s``."""
    return replace(RAN, **{"samples_s": (latency_s,) * count, **changes})


def watched(params, power_w=2.0):
    """An answer to watch: each meter that was asked for read this power."""
    least_s = max(params["least_s"], 1e-3)
    readings = tuple(
        Reading(name, "package-0", power_w * least_s, least_s, 1e-6, 1e-3, None, 0.0) for name in params["meters"]
    )
    return Watched(Window(7.0, 7.0 + least_s, 0, 0.0, 0.0, readings), CONDITIONS, CONDITIONS)


def timed(functions, **changes):
    """An answer to time: of each function its seconds per round, or the kind of its failure."""
    answers = (wire.Failure(one, "told to") if isinstance(one, str) else tuple(one) for one in functions)
    return replace(Timed(tuple(answers), CONDITIONS, CONDITIONS), **changes).to_wire()
