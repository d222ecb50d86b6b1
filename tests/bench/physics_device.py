"""A simulated device behind the wire: a Transport whose agent answers out of what is true of a ``physics.World``."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from physics import Network, Process, World
from physics_sensors import SensorKind, by_name
from scripted import FACTS

from joulefront.errors import AgentDied, AgentTimeout
from joulefront.records import Array, Job
from joulefront_agent import timing, window, wire, wire_energy, wire_time
from joulefront_agent.child import CALM_S
from joulefront_agent.sensors.reading import Sensor
from joulefront_agent.wire import Failure

NOWHERE = Path("/nowhere")
_LOADING_S = 0.05
_LEAST_INFERENCES = 10
_TOLD_S = 0.4


class PhysicalDevice:
    """A Transport to it. ``networks`` holds what is true of each network, by its label; ``of`` makes one of any other.

    Its first sensor is the one that "auto" means. ``delays_s`` is how long a message takes at least on its way there and on
    its way back, and ``jitter_s`` how much longer on average. ``ran`` lists what was run, by label, ``answers`` what it came
    to, and ``windows`` when all windows truly began and ended, by the host's clock.
    """

    def __init__(
        self,
        world: World,
        networks: Mapping[str, Network],
        *sensors: SensorKind,
        seed: int = 0,
        delays_s: tuple[float, float] = (1e-4, 1e-4),
        jitter_s: float = 1e-4,
        of: Callable[[Path], Network] | None = None,
    ) -> None:
        self.world = world
        self._networks = {_hash(label): (label, network) for label, network in networks.items()}
        self._sensors = by_name(*sensors)
        self._rng = np.random.default_rng(seed)
        self._delays_s, self._jitter_s = delays_s, jitter_s
        self._of = of
        self._fates = {key: deque(network.fates) for key, (_, network) in self._networks.items()}
        self.ran: list[str] = []
        self.answers: list[wire.Ran] = []
        self.windows: list[tuple[float, float]] = []

    def start(self) -> PhysicalChannel:
        """See Transport."""
        return PhysicalChannel(self)

    def put(self, source: Path, sha256: str) -> str:
        """See Transport."""
        if self._of is not None and sha256 not in self._networks:
            self._networks[sha256] = (source.stem, self._of(source))
        return f"/device/{sha256}.so"

    def close(self) -> None:
        """See Transport."""

    def travel(self, *, back: bool) -> None:
        """A message is on its way."""
        self.world.spend(self._delays_s[back] + self._rng.exponential(self._jitter_s))

    def answer(self, op: str, params: dict[str, Any]) -> dict[str, Any]:
        """What the agent answers. Raises Failure, AgentDied for its own end and AgentTimeout for its silence."""
        if op == "ping":
            return {}
        if op == "hello":
            hello = wire.Hello.from_wire(params)
            return self._facts(hello.meter)
        if op == "conditions":
            return self.world.conditions()
        if op == "clock":
            return {"raw_s": self.world.device_s()}
        if op == "meters":
            return wire_energy.meters_to_wire(tuple(self._found()))
        if op == "watch":
            return self._watch(wire_energy.Watch.from_wire(params)).to_wire()
        if op == "time":
            return self._time(wire_time.Timing.from_wire(params)).to_wire()
        ran = self._run(wire.Run.from_wire(params))
        self.answers.append(ran)
        return ran.to_wire()

    def _facts(self, meter: str) -> dict[str, Any]:
        kind = next((kind for name, kind in self._sensors.items() if meter in ("auto", name)), None)
        return {
            **FACTS,
            "cores": self.world.cores,
            "sensor": kind.name if kind else None,
            "sensor_covers": kind.covers if kind else None,
            "sensor_reason": None if kind else "no energy sensor: simulated",
            "governor": self.world.governor,
            "governor_reason": None,
        }

    def _found(self) -> list[wire_energy.Found]:
        return [
            wire_energy.Found(
                name, kind.covers, "power" if hasattr(kind, "step_w") else "counter", not index, kind.period_s,
                getattr(kind, "step_w", 1e-6), 1e-4, None, None,
            )
            for index, (name, kind) in enumerate(self._sensors.items())
        ]  # fmt: skip

    def _run(self, run: wire.Run) -> wire.Ran:
        """As joulefront_agent.child does it."""
        world = self.world
        label, network = self._networks[run.sha256]
        self.ran.append(label)
        self._meet_fate(run)
        began_s, load, before = world.device_s(), Load(world), {**world.conditions(), "cores": "0"}
        sensors = self._meters(run.meters) if run.energy_s else []
        world.spend(_LOADING_S)
        process = Process(world, network, self._rng)
        process.run(1)
        warm_up_s, steady = timing.warm_up(process.time, run.warm_up_s, world.device_s)
        samples_s, steps = timing.sample(process.time, run.sample_s, run.samples, run.sample_limit_s, world.device_s)
        others_cores = load.others_cores()
        taken = self._window(process, statistics.median(samples_s), run, sensors) if run.energy_s else None
        return wire.Ran(
            run.inputs if run.outputs else (),
            tuple(samples_s),
            steps,
            warm_up_s,
            steady,
            others_cores,
            taken,
            world.device_s() - began_s,
            1 << 20,
            None,
            before,
            world.conditions(),
        )

    def _meet_fate(self, run: wire.Run) -> None:
        fates = self._fates.get(run.sha256)
        fate = fates.popleft() if fates else None
        if fate == "crash":
            self.world.spend(_LOADING_S)
            raise Failure("Crashed", "simulated: SIGSEGV")
        if fate == "hang":
            self.world.spend(run.timeout_s)
            raise Failure("Hung", f"it had not answered after {run.timeout_s:g} s")
        if fate == "die":
            raise AgentDied("simulated: the agent's end")
        if fate == "silence":
            raise AgentTimeout("simulated: silence")

    def _window(
        self, process: Process, inference_s: float, run: wire.Run, sensors: Sequence[Sensor]
    ) -> wire_energy.Window:
        least_s = max(run.energy_s, _LEAST_INFERENCES * inference_s)

        def work(left_s: float) -> int:
            return process.run(max(1, math.ceil(left_s / inference_s)))

        return self._taken(work, sensors, least_s, run.periods, max(run.energy_limit_s, least_s))

    def _watch(self, watch: wire_energy.Watch) -> wire_energy.Watched:
        world = self.world
        before = world.conditions()
        sensors = self._meters(watch.meters)
        with world.loaded(watch.busy, watch.busy * world.other_w):

            def work(left_s: float) -> int:
                world.spend_device(left_s)
                return 0

            world.spend(CALM_S if sensors else 0.0)
            taken = self._taken(work, sensors, watch.least_s, watch.periods, watch.most_s)
        return wire_energy.Watched(taken, before, world.conditions())

    def _taken(
        self,
        work: Callable[[float], int],
        sensors: Sequence[Sensor],
        least_s: float,
        periods: int,
        most_s: float,
    ) -> wire_energy.Window:
        """The agent's own window, in virtual time; the load is the world's, since NOWHERE has no /proc."""
        world = self.world
        load = Load(world)
        taken = window.take(
            work, sensors, NOWHERE, least_s=least_s, periods=periods, most_s=most_s, clock=world.device_s
        )
        self.windows.append(
            ((taken.begin_s - world.offset_s) / (1 + world.skew), (taken.end_s - world.offset_s) / (1 + world.skew))
        )
        busy_cores, own_cores = load.cores()
        return replace(taken, busy_cores=busy_cores, own_cores=own_cores)

    def _meters(self, names: Sequence[str]) -> list[Sensor]:
        missing = [name for name in names if name not in self._sensors]
        if missing:
            raise Failure("MeterError", f"simulated: there is no sensor {missing[0]}")
        return [self._sensors[name].on(self.world, self._rng) for name in names]

    def _time(self, asked: wire_time.Timing) -> wire_time.Timed:
        before = self.world.conditions()
        self.world.spend(asked.rounds * asked.slice_s * len(asked.functions))
        seconds = [
            tuple(1e-5 * self.world.slowness() * math.exp(self._rng.normal(0, 0.01)) for _ in range(asked.rounds))
            for _ in asked.functions
        ]
        return wire_time.Timed(tuple(seconds), before, self.world.conditions())


class Load:
    """As the agent's own, of the world."""

    def __init__(self, world: World) -> None:
        self._world, self._began_s, self._loads_s = world, world.now_s, world.loads_s()

    def cores(self) -> tuple[float, float]:
        """How many were busy since then on average, and how many with the process."""
        span_s = max(self._world.now_s - self._began_s, 1e-9)
        busy, own = ((now - was) / span_s for now, was in zip(self._world.loads_s(), self._loads_s, strict=True))
        return busy, own

    def others_cores(self) -> float | None:
        """How many others took; None after too short a time to tell."""
        busy, own = self.cores()
        return None if self._world.now_s - self._began_s < _TOLD_S else max(0.0, busy - own)


class PhysicalChannel:
    """A Channel to the device's agent: a request is answered at once, by virtual time when it had to be."""

    def __init__(self, device: PhysicalDevice) -> None:
        self._device = device
        self._lines: deque[bytes] = deque()
        self._end: str | None = None

    def send(self, line: bytes) -> None:
        """See Channel."""
        if self._end is not None:
            raise AgentDied(self._end)
        request = wire.decode_request(line)
        if request.op != "ping":  # a ping comes by the real time, and is to change nothing
            self._device.travel(back=False)
        try:
            answer = wire.Answer(request.id, self._device.answer(request.op, request.params))
        except Failure as failure:
            answer = wire.Answer(request.id, None, failure)
        except AgentDied as death:
            self._end = str(death)
            return
        except AgentTimeout:
            return
        if request.op != "ping":
            self._device.travel(back=True)
        self._lines.append(wire.encode_answer(answer))

    def receive(self, timeout_s: float) -> bytes:
        """See Channel."""
        if self._lines:
            return self._lines.popleft()
        if self._end is not None:
            raise AgentDied(self._end)
        self._device.world.spend(timeout_s)
        raise AgentTimeout("simulated: silence")

    def close(self) -> None:
        """See Channel."""
        self._end = self._end or "simulated: closed"


def job(label: str, folder: Path) -> Job:
    """The network of that label, which returns what it is given."""
    ones = Array((2,), "float32", np.array([1.0, -2.0], dtype="<f4").tobytes())
    return Job(label, folder / f"{label}.so", _hash(label), (ones,), (ones,))


def _hash(label: str) -> str:
    return hashlib.sha256(label.encode()).hexdigest()
