"""One process for one repeat of one network: it loads, warms up, samples, reads the sensor, answers and ends.

Started by the agent as ``python -m joulefront_agent.child PARENT RUNTIME ROOT`` with one request line on stdin; it
writes one answer line to stdout. A crash, a leak or a hang of the network ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import statistics
import sys
from pathlib import Path

from joulefront_agent import conditions, cores, sensors, timing, wire
from joulefront_agent.reading import STUCK_S, Sensor, within
from joulefront_agent.wire import Failure

_PR_SET_PDEATHSIG = 1
_SHORT_OF_MEMORY = ("bad_alloc", "cannot allocate memory", "out of memory", "failed to allocate")


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
        try:
            answer = wire.Answer(request.id, measure(wire.Run.from_wire(request.params), runtime, Path(root)).to_wire())
        except Failure as failure:
            answer = wire.Answer(request.id, None, failure)
        except MemoryError:
            answer = wire.Answer(request.id, None, Failure("OutOfMemory", "out of memory"))
        except Exception as error:  # noqa: BLE001 -- the runtime raises anything; it is this network that failed
            message = f"{type(error).__name__}: {error}"
            kind = "OutOfMemory" if short_of_memory(message) else "Crashed"
            answer = wire.Answer(request.id, None, Failure(kind, message[-2000:]))
        answers.write(wire.encode_answer(answer) + b"\n")
        answers.flush()
    # The runtime's own tear-down has nothing left to do, and a crash in it would be no fault of the network.
    os._exit(0)


def measure(run: wire.Run, runtime: str, root: Path) -> wire.Ran:
    """Do what ``run`` asks for. Raises Failure, and whatever the runtime raises."""
    from joulefront_agent.network import Network

    allowed = os.sched_getaffinity(0)
    used = cores.fastest(root, run.threads)
    # Sampling is to take nothing from the network, where there is another core for it.
    sensor = _sensor(root, run.meter, allowed.difference(used) or allowed) if run.energy_s else None
    before = {**conditions.read(root), "cores": ",".join(map(str, used)) if run.pin_threads else None}
    network = Network(runtime, run.library, run.inputs)
    network.use(used, run.pin_threads)
    outputs = network.outputs() if run.outputs else ()
    warm_up_s, steady = timing.warm_up(network.time, run.warm_up_s)
    samples_s, steps = timing.sample(network.time, run.sample_s, run.samples, run.sample_limit_s)
    energy = timing.energy(network.run, statistics.median(samples_s), sensor, run.energy_s) if sensor else None
    return wire.Ran(outputs, tuple(samples_s), steps, warm_up_s, steady, energy, before, conditions.read(root))


def _sensor(root: Path, meter: str, spare: set[int]) -> Sensor:
    """The sensor that was asked for. Raises Failure (MeterError) where there is none: no energy is not no answer."""
    sensor, reason = within(STUCK_S, lambda: sensors.find(root, meter, spare))
    if sensor is None:
        raise Failure("MeterError", str(reason))
    return sensor


def short_of_memory(text: str) -> bool:
    """Whether an error's text says that memory ran out."""
    return any(phrase in text.lower() for phrase in _SHORT_OF_MEMORY)


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
