"""Networks that are measured together, in rounds: each has a repeat in each round, so that a drift falls on all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from joulefront.bench import energy, outputs, settle, validity
from joulefront.bench.baselines import Baselines
from joulefront.bench.blame import Blame, bench_error
from joulefront.bench.functions import Functions, restarted
from joulefront.bench.losses import Booted, undisturbed
from joulefront.bench.metering import Metering
from joulefront.bench.orders import Orders
from joulefront.bench.plan import Plan
from joulefront.bench.repeats import Repeat, Repeats, Wanted
from joulefront.bench.session import Session
from joulefront.errors import AgentDied, AgentTimeout, CandidateError, Crashed, MeterError
from joulefront.records import Energy, EnergyWindow, Estimate, Job, Measurement, Provenance
from joulefront_agent import wire
from joulefront_devices.device import Device

_SEED = 0  # of the orders within rounds: any will do, as long as it is no order of the jobs'
_MOST_REST_S = 30.0
_IDLING = "the idle device"

Tell = Callable[[str], None]
Outcome = Measurement | CandidateError
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Place:
    """An open device, and what a block needs to measure there."""

    device: Device
    session: Session
    metering: Metering
    orders: Orders
    blame: Blame
    baselines: Baselines
    functions: Functions
    provenance: Provenance


class Block:
    """Some jobs at one place, measured once."""

    def __init__(self, place: Place, jobs: Sequence[Job], plan: Plan, tell: Tell) -> None:
        """``tell`` hears of each round."""
        self._place = place
        self._session = place.session
        self._jobs = jobs
        self._plan = plan
        self._tell = tell
        self._random = np.random.default_rng(_SEED)
        self._has_baselines = place.metering.reason is None and plan.energy_interval is not None
        self._failed: dict[int, CandidateError] = {}
        self._boots: Counter[str] = Counter()
        self._at: int | None = None  # which job the device is at
        self._title = ""  # of the round
        self._boot = place.session.boot
        self._unrest: list[str] = []
        self._lost: list[str] = []
        self._busy: float | None = None

    def measured(self) -> list[Outcome]:
        """Each job's measurement, or why it has none, in the order of the jobs.

        A round that was under way when the connection was lost is made anew; when the device booted, all of them are.
        Raises BenchError.
        """
        while True:
            try:
                series = self._rounds()
                found = {number: self._measurement(number, one) for number, one in series.items()}
                return [found.get(number) or self._failed[number] for number in range(len(self._jobs))]
            except Booted:
                self._judge_boot()

    def _judge_boot(self) -> None:
        """Who is to blame for a boot. Raises BenchError."""
        label = _IDLING if self._at is None else self._jobs[self._at].label
        try:
            self._place.blame.judge_boot(label, self._boots)
        except Crashed as error:
            if self._at is None:
                raise bench_error(wire.Failure("Crashed", str(error))) from error
            self._failed[self._at] = error
        self._boot = self._session.boot

    def _rounds(self) -> dict[int, Repeats]:
        """All rounds: the repeats of what ran, by the job's place. Raises Booted and BenchError."""
        joules = None if self._place.metering.reason else self._joules
        jobs = enumerate(self._jobs)
        series = {number: Repeats(job, self._plan, joules) for number, job in jobs if number not in self._failed}
        self._unrest, self._busy = [], None
        self._lost = []
        self._undisturbed(self._begin)
        count = 0
        while wide := {number: next_ for number, one in series.items() if (next_ := one.wanted())}:
            count += 1
            self._title = (
                f"round {count} of {self._plan.repeats}"
                if count <= self._plan.repeats
                else f"round {count}, since the intervals of {len(wide)} are still too wide"
            )
            beside = {number: next_ for number, one in series.items() if number not in wide and (next_ := one.beside())}
            wanted = wide | beside
            self._tell(self._title)
            order = [list(wanted)[place] for place in self._random.permutation(len(wanted))]
            made = self._undisturbed(partial(self._round, order, wanted, series))
            for number, repeat in made.items():
                if isinstance(repeat, CandidateError):
                    self._failed[number] = repeat
                    del series[number]
                else:
                    series[number].add(repeat)
        if self._has_baselines and series:
            self._undisturbed(self._end)
        return series

    def _undisturbed(self, work: Callable[[], Done]) -> Done:
        return undisturbed(self._session, work, since=self._boot)

    def _begin(self) -> None:
        self._at = None
        known = len(self._session.restarts)
        self._settle()
        if self._has_baselines:
            self._place.baselines.begin()
        self._lost = self._session.restarts[known:]

    def _end(self) -> None:
        self._at = None
        self._place.baselines.take(self._plan)

    def _round(
        self, order: Sequence[int], wanted: dict[int, Wanted], series: dict[int, Repeats]
    ) -> dict[int, Repeat | CandidateError]:
        """One repeat of each job in that order. Raises BenchError."""
        self._at = None
        if self._plan.grade == "full":  # a round of it takes long enough for other work to begin
            self._settle()
        if self._has_baselines:
            self._place.baselines.before(self._plan)
        made = {}
        for number in order:
            self._at = number
            made[number] = self._repeat(series[number], wanted[number])
        return made

    def _repeat(self, of: Repeats, wanted: Wanted) -> Repeat | CandidateError:
        """One repeat that counts, or the network's failure; what is no measurement is put aside. Raises BenchError."""
        job, place = of.job, self._place
        asked = place.orders.run(job, self._plan, outputs=wanted.outputs, window=wanted.window)
        while True:
            known = len(self._session.restarts)
            try:
                ran, window = place.blame.attempt(
                    job.label,
                    lambda: place.metering.run(self._session, asked, job.library),
                    window=wanted.window,
                )
                if wanted.outputs:
                    outputs.check(job.label, job.expected, ran.outputs, job.reference)
            except CandidateError as error:
                return error
            except MeterError as error:
                of.put_aside([str(error)], meter=True)
                self._rest(self._plan.energy_s, job.label, str(error))
                continue
            first = of.first.ran if of.first else None
            verdict = validity.verdict(ran, first, place.orders.threads, at_rest=not self._unrest)
            if not verdict.invalid:
                doubts = (*verdict.doubts, *(window.doubts if window else ()))
                return Repeat(ran, window, doubts, tuple(self._session.restarts[known:]))
            of.put_aside(verdict.invalid, hidden=validity.hides_throttling(ran.before, ran.after))
            self._rest(ran.took_s, job.label, verdict.invalid[0])

    def _rest(self, took_s: float, label: str, reason: str) -> None:
        """Leave the device alone for as long as it worked in vain, by its own clock. Raises BenchError."""
        self._tell(f"{self._title}: {label} once more, since {reason}")
        rest_s = min(took_s, _MOST_REST_S)
        try:
            self._session.watch(self._place.orders.watch(rest_s, 0, rest_s, read=False))
        except wire.Failure as failure:
            raise bench_error(failure) from failure
        except (AgentDied, AgentTimeout):
            pass  # whoever runs next starts another, or says why it cannot
        self._settle()

    def _settle(self) -> None:
        busy, unrest = settle.settle(self._session.conditions, self._place.device.settle)
        self._busy = busy if self._busy is None else self._busy
        if unrest:
            self._unrest.append(unrest)

    def _joules(self, windows: Sequence[EnergyWindow], latency_s: Estimate) -> tuple[Estimate, Energy]:
        metering = self._place.metering
        baselines = self._place.baselines.windows if self._has_baselines else ()
        calibration = self._place.device.calibration
        return energy.per_inference(metering.name, metering.covers, windows, baselines, latency_s, calibration)

    def _measurement(self, number: int, repeats: Repeats) -> Measurement:
        """What a job's repeats come to, with what it spends in TVM's own loops. Raises Booted and BenchError."""
        self._at = number
        latency_s = repeats.latency_s.value
        loops = self._undisturbed(lambda: self._place.functions.own_loops(repeats.job, latency_s))
        metering = self._place.metering
        idling = self._place.baselines.doubts() if self._has_baselines else []
        measurement = repeats.measurement(
            self._place.provenance,
            metering.provenance,
            metering.reason,
            self._busy,
            [*self._unrest[:1], *restarted(self._lost), *idling],
        )
        return replace(measurement, warnings=(*measurement.warnings, *loops))
