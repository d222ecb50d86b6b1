"""One process for one repeat of one network: it loads, warms up, samples, reads the sensor, answers and ends.

Started by the agent as ``python -m joulefront_agent.child PARENT RUNTIME ROOT`` with one request line on stdin; it
writes one answer line to stdout. A crash, a leak or a hang of the network ends with it. Where the request is to time
functions, it writes a line for each step before, so that it is known what was at work when it ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joulefront_agent import blame, conditions, cores, sensors, timing, turns, wire
from joulefront_agent.memory import Peak
from joulefront_agent.sensors.reading import STUCK_S, Sensor, within
from joulefront_agent.wire import Failure
from joulefront_agent.wire_time import Step, Timing

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Answer the one request."""
    parent, runtime, root = sys.argv[1:]
    _die_with(int(parent))
    _offer_to_the_oom_killer()
    # tvm_ffi imports torch where there is one, which takes a second that no measurement needs.
    sys.modules["torch"] = None  # type: ignore[assignment]
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints is no answer
        request = wire.decode_request(sys.stdin.buffer.readline())

        def say(ok: dict[str, Any]) -> None:
            answers.write(wire.encode_answer(wire.Answer(request.id, ok)) + b"\n")
            answers.flush()

        try:
            if request.op == "time":
                time(Timing.from_wire(request.params), runtime, Path(root), lambda step: say(step.to_wire()))
                answer = wire.Answer(request.id, {})
            else:
                ran = measure(wire.Run.from_wire(request.params), runtime, Path(root))
                answer = wire.Answer(request.id, ran.to_wire())
        except Exception as error:  # noqa: BLE001 -- the runtime raises anything; it is this network that failed
            answer = wire.Answer(request.id, None, blame.of_error(error))
        answers.write(wire.encode_answer(answer) + b"\n")
        answers.flush()
    # The runtime's own tear-down has nothing left to do, and a crash in it would be no fault of the network.
    os._exit(0)


def measure(run: wire.Run, runtime: str, root: Path) -> wire.Ran:
    """Do what ``run`` asks for. Raises Failure, and whatever the runtime raises."""
    from joulefront_agent.network import Network
    from joulefront_agent.runtime import Runtime

    allowed = os.sched_getaffinity(0)
    used = cores.fastest(root, run.threads)
    # Sampling is to take nothing from the network, where there is another core for it.
    sensor = _sensor(root, run.meter, allowed.difference(used) or allowed) if run.energy_s else None
    before = {**conditions.read(root), "cores": ",".join(map(str, used)) if run.pin_threads else None}
    Runtime(runtime)  # so that it is there, and its memory counts as none of the network's
    memory = Peak(root)
    network = Network(runtime, run.library, run.inputs)
    network.use(used, run.pin_threads)
    network.run(1)  # what it needs it has by then; samples, outputs and a sensor's readings take memory of their own
    memory_b, memory_reason = memory.added_b()
    outputs = network.outputs() if run.outputs else ()
    warm_up_s, steady = timing.warm_up(network.time, run.warm_up_s)
    samples_s, steps = timing.sample(network.time, run.sample_s, run.samples, run.sample_limit_s)
    energy = timing.energy(network.run, statistics.median(samples_s), sensor, run.energy_s) if sensor else None
    return wire.Ran(
        outputs,
        tuple(samples_s),
        steps,
        warm_up_s,
        steady,
        energy,
        memory_b,
        memory_reason,
        before,
        conditions.read(root),
    )


def time(timing: Timing, runtime: str, root: Path, report: Callable[[Step], None]) -> None:
    """Time functions as ``timing`` asks, and report step by step. Raises Failure, and whatever the runtime raises."""
    from joulefront_agent.functions import Functions
    from joulefront_agent.runtime import Runtime

    used = cores.fastest(root, timing.threads)
    loaded = Runtime(runtime)
    functions = Functions(loaded, timing.library, timing.flush_b)
    loaded.use(used, timing.pin_threads)
    ready = {}
    for number, function in enumerate(timing.functions):
        report(Step(number))
        try:
            ready[number] = turns.Turn(functions.calls(function), timing.slice_s, alone=timing.flush_b > 0)
        except Exception as error:  # noqa: BLE001 -- as in main
            report(Step(number, error=blame.of_error(error)))
    turns.take(ready, timing.rounds, timing.limit_s, report)


def _sensor(root: Path, meter: str, spare: set[int]) -> Sensor:
    """The sensor that was asked for. Raises Failure (MeterError) where there is none: no energy is not no answer."""
    sensor, reason = within(STUCK_S, lambda: sensors.find(root, meter, spare))
    if sensor is None:
        raise Failure("MeterError", str(reason))
    return sensor


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies: nothing else survives a kill -9 of the agent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _offer_to_the_oom_killer() -> None:
    """When memory runs out it is to take this process, not the agent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
