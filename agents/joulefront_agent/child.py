"""One process for one repeat of one network: it loads, warms up, samples, reads the sensors, answers and ends.

Started by the agent as ``python -m joulefront_agent.child PARENT RUNTIME ROOT`` with one request line on stdin; it
writes one answer line to stdout. A crash, a leak or a hang of the network ends with it. Where the request is to time
functions, it writes a line for each step before, so that it is known what was at work when it ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from joulefront_agent import blame, conditions, cores, mark, sensors, spin, timing, turns, window, wire
from joulefront_agent.load import Load
from joulefront_agent.memory import Peak
from joulefront_agent.sensors.reading import STUCK_S, Sensor, within
from joulefront_agent.wire import Failure
from joulefront_agent.wire_energy import Watch, Watched, Window
from joulefront_agent.wire_time import Step, Timing

if TYPE_CHECKING:
    from joulefront_agent.network import Network

CALM_S = 0.5
"""So long, in s, nothing changes before sensors are read without a network."""

_PR_SET_PDEATHSIG = 1
_LEAST_S = 1e-9
_LEAST_INFERENCES = 10  # in an energy window, as MLPerf Tiny has it


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
            elif request.op == "watch":
                answer = wire.Answer(request.id, watch(Watch.from_wire(request.params), Path(root)).to_wire())
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
    began_s, load = window.raw_s(), Load(root)
    from joulefront_agent.network import Network
    from joulefront_agent.runtime import Runtime

    used = cores.fastest(root, run.threads)
    # Sampling is to take nothing from the network, where there is another core for it.
    spare = cores.spare(used)
    meters = _sensors(root, run.meters, spare) if run.energy_s else []
    pinned = used if run.pin_threads else None
    before = {**conditions.read(root, pinned), **_read_on(spare, used, meters)}
    Runtime(runtime)  # so that it is there, and its memory counts as none of the network's
    memory = Peak(root)
    network = Network(runtime, run.library, run.inputs)
    network.use(used, run.pin_threads)
    network.run(1)  # what it needs it has by then; samples, outputs and a sensor's readings take memory of their own
    memory_b, memory_reason = memory.added_b()
    outputs = network.outputs() if run.outputs else ()
    warm_up_s, steady = timing.warm_up(network.time, run.warm_up_s)
    samples_s, steps = timing.sample(network.time, run.sample_s, run.samples, run.sample_limit_s)
    others_cores = load.others_cores()
    taken = _window(network, max(statistics.median(samples_s), _LEAST_S), run, meters, root) if run.energy_s else None
    return wire.Ran(
        outputs,
        tuple(samples_s),
        steps,
        warm_up_s,
        steady,
        others_cores,
        taken,
        window.raw_s() - began_s,
        memory_b,
        memory_reason,
        before,
        conditions.read(root, pinned),
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


def watch(asked: Watch, root: Path) -> Watched:
    """Do what ``asked`` asks for. Raises Failure."""
    used = cores.fastest(root, asked.busy) if asked.busy else []
    spare = cores.spare(used)
    meters = _sensors(root, asked.meters, spare)
    before = {**conditions.read(root), **_read_on(spare, used, meters)}
    with spin.spinning(used), mark.pin(root, asked.mark) as pin:
        # What a sensor tells first is still of the time before, when this process began.
        sleep(CALM_S if meters else 0.0)
        taken = window.take(
            _idle, meters, root, least_s=asked.least_s, periods=asked.periods, most_s=asked.most_s, mark=pin
        )
    return Watched(taken, before, conditions.read(root))


def _idle(left_s: float) -> int:
    sleep(left_s)
    return 0


def _window(network: Network, inference_s: float, run: wire.Run, meters: list[Sensor], root: Path) -> Window:
    """The energy window. Raises Failure (MeterError)."""

    def work(left_s: float) -> int:
        return network.run(max(1, math.ceil(left_s / inference_s)))

    least_s = max(run.energy_s, _LEAST_INFERENCES * inference_s)
    most_s = max(run.energy_limit_s, least_s)
    with mark.pin(root, run.mark) as pin:
        return window.take(
            work,
            meters,
            root,
            least_s=least_s,
            periods=run.periods,
            most_s=most_s,
            least=_LEAST_INFERENCES,
            mark=pin,
        )


def _read_on(spare: set[int], used: Sequence[int], meters: Sequence[Sensor]) -> dict[str, str]:
    """The condition that tells which cores ``meters`` are read on, where there are some, and whether others use them too."""
    if not meters:
        return {}
    none = "" if spare.isdisjoint(used) else " (none is spare)"
    return {"meter_cores": ",".join(map(str, sorted(spare))) + none}


def _sensors(root: Path, meters: Sequence[str], spare: set[int]) -> list[Sensor]:
    """The sensors that were asked for. Raises Failure (MeterError) where there is none: no energy is not no answer."""
    found = []
    for meter in meters:
        sensor, reason = within(STUCK_S, partial(sensors.find, root, meter, spare))
        if sensor is None:
            raise Failure("MeterError", str(reason))
        found.append(sensor)
    return found


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
