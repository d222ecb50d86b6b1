"""The bench: one device, held and open, and what can be measured there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from joulefront.bench.baselines import Baselines
from joulefront.bench.blame import Blame
from joulefront.bench.block import Block, Place
from joulefront.bench.functions import Functions
from joulefront.bench.losses import Booted, undisturbed
from joulefront.bench.metering import opened as metering_opened
from joulefront.bench.opening import opened
from joulefront.bench.orders import Orders
from joulefront.bench.plan import Plan
from joulefront.bench.target import target_of
from joulefront.config import MeasureConfig
from joulefront.errors import CandidateError
from joulefront.kernel_records import Function
from joulefront.records import Failure, FunctionTime, Grade, Job, Measurement, Provenance, Target
from joulefront_agent import identity
from joulefront_devices.device import Device


class Bench:
    """Measures compiled networks on one device; a context manager that holds the device while it is open.

    Once it is open, ``facts`` is what the device says about itself, as plain values; ``target`` what to compile for;
    ``energy_reason`` why measurements will have no energy, None when they will; and ``shares_host`` whether the device is
    this very machine, where other work would disturb a measurement.
    ``reference`` is a network that is known to run there: when another fails, it settles whose fault that was.
    Opening raises ConfigError for a device that is described wrongly, and BenchError when it cannot be used.
    """

    def __init__(self, device: Device, measure: MeasureConfig, threads: int, *, tail: bool = False) -> None:
        """With ``tail``, each repeat takes the samples that a 99th percentile needs, where it can."""
        self._device = device
        self._config = measure
        self._threads = threads
        self._tail = tail
        self._stack = ExitStack()
        self._place: Place
        self.facts: Mapping[str, Any]
        self.target: Target
        self.energy_reason: str | None
        self.shares_host: bool

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            session = stack.enter_context(opened(self._device))
            self.facts = session.facts
            self.shares_host = self.facts["machine"] == identity.machine(Path("/"))
            self.target = target_of(self._device, self.facts, self._threads)
            metering = stack.enter_context(metering_opened(self._device, self.facts, Path.cwd()))
            self.energy_reason = metering.reason
            orders = Orders(
                self._threads, self._device.pin_threads, metering.sensors, self._config.timeout_s, self._device.mark
            )
            blame = Blame(session, orders, Plan.of("screening", self._config))
            provenance: Provenance = "simulated" if self.facts.get("simulated") else "measured"
            self._place = Place(
                self._device,
                session,
                metering,
                orders,
                blame,
                Baselines(session, metering, orders),
                Functions(session, blame, orders, self._device.settle, provenance),
                provenance,
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def has_energy(self) -> bool:
        """Whether measurements will have an energy."""
        return self.energy_reason is None

    @property
    def reference(self) -> Job | None:
        """The network that is known to run."""
        return self._place.blame.reference

    @reference.setter
    def reference(self, job: Job | None) -> None:
        self._place.blame.reference = job

    def measure(self, job: Job, grade: Grade, tell: Callable[[str], None] = lambda _: None) -> Measurement:
        """Measure one network by itself, as ``measure_all`` measures several.

        Raises WrongOutput, OutOfMemory, Crashed or Hung when the network is at fault, and BenchError when it is not.
        """
        (outcome,) = self.measure_all([job], grade, tell)
        if isinstance(outcome, CandidateError):
            raise outcome
        return outcome

    def measure_all(
        self, jobs: Sequence[Job], grade: Grade, tell: Callable[[str], None] = lambda _: None
    ) -> list[Measurement | CandidateError]:
        """Measure networks together: settle, then repeat in rounds until the intervals of each are narrow enough.

        In each round each network that still needs it runs once, in a process of its own and in an order of its own, so
        that a drift of the device falls on all of them. ``tell`` hears of each round. A network that fails is out of the
        later ones, and its error stands where its measurement would.

        The first repeat's outputs are compared with torch's before its samples are used, and so are the last one's:
        what several threads spoil, they do not spoil every time. A repeat that was no measurement, since the processor was
        throttled or the meter failed meanwhile, is put aside with its reason and made again.

        At full grade each repeat has an energy window, and idle baselines lie before, between and after; screening has one
        window, and no baseline.

        A round that was under way when the device was lost is made anew once it is there again, and all of them when it
        booted: before and after a boot it is not the same. A network during which the device boots twice, while the
        reference runs, has crashed.

        What runs TVM's own loops is timed by itself in the end, and makes a warning with its share of the latency.

        Raises BenchError: Unsettled or MeterError when too many repeats of a network are put aside.
        """
        return Block(self._place, jobs, Plan.of(grade, self._config, tail=self._tail), tell).measured()

    def time_functions(
        self,
        library: Path,
        sha256: str,
        functions: Sequence[Function],
        *,
        rounds: int,
        slice_s: float,
        limit_s: float,
        flush_b: int,
    ) -> tuple[FunctionTime | Failure, ...]:
        """Time single functions of a library against each other; returns for each, in order, its time or why it has none.

        In each of ``rounds`` rounds each has its turn for about ``slice_s``; after ``limit_s`` no further round begins.
        With ``flush_b``, so many bytes of other data are read before each call, and then what is warm: as many as the
        network has weights, since those pass through the caches between two uses of one. Times are in s.

        A function that crashes or hangs is a Failure, and so is one for which there was no time. The device that is lost,
        or boots, is as in ``measure_all``. Raises OutOfMemory, Crashed or Hung when the library as a whole is at fault, and
        BenchError when it is not.
        """
        place, boots = self._place, Counter[str]()
        timing = place.orders.timing(
            sha256, functions, rounds=rounds, slice_s=slice_s, limit_s=limit_s, flush_b=flush_b
        )
        while True:
            try:
                return undisturbed(
                    place.session, lambda: place.functions.timed(library, timing), since=place.session.boot
                )
            except Booted:
                place.blame.judge_boot(library.name, boots)
