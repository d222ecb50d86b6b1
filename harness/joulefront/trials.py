"""A study's trials: recalled from its store, or prepared, measured and recorded now.

Screened one by one, as the search asks for them; settled in blocks, whose networks are measured together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from joulefront import canary
from joulefront.canary import Canary
from joulefront.errors import BenchError, CandidateError, StoreError
from joulefront.front import judged
from joulefront.protocols import Bench, Listener
from joulefront.records import Failure, Fidelity, Grade, Job, Measurement, Prepared, Trial
from joulefront.space_records import Genome
from joulefront.store import Store
from joulefront.workers import Workers

BLOCK = 5
"""So many networks are measured together, beside the reference."""

_GRADE: Mapping[Fidelity, Grade] = {"screen": "screening", "full": "full"}

Made = Prepared | CandidateError


@dataclass(frozen=True, slots=True)
class _Reference:
    """A network that ran: its first measurement, and what it takes to measure it again."""

    trial: Trial
    job: Job


class Trials:
    """The trials of one study under way, numbered as they are asked for."""

    def __init__(
        self, store: Store, bench: Bench, workers: Workers, listener: Listener, objectives: Sequence[str]
    ) -> None:
        self._store = store
        self._bench = bench
        self._workers = workers
        self._listener = listener
        self._objectives = objectives
        self._known = {trial.number: trial for trial in store.trials()}
        self._next = 0
        self._references: dict[Fidelity, _Reference] = {}
        self._largest = 0
        self._drift: tuple[str, ...] = ()

    @property
    def known(self) -> list[Trial]:
        """All that were measured by now, also those that a replay has not come to."""
        return list(self._known.values())

    def screened(self, genomes: Sequence[Genome], follow: Callable[[Trial], None]) -> list[Trial]:
        """The trial of each genome, measured one by one; the reference again every so often. ``follow`` hears of each."""
        numbered, new, prepared = self._prepared(genomes, "screen")
        trials = []
        for number, genome in numbered:
            self._watch_drift(number, measured=number in new)
            trial = self._known.get(number)
            if trial is None:
                made = next(prepared)
                self._listener.doing(f"measuring on {self._store.study.device}")
                outcome = made if isinstance(made, CandidateError) else self._measured(made.job)
                trial = self._store.record(self._trial(number, genome, "screen", made, outcome, self._drift))
            trials.append(self._followed(trial, follow))
        return trials

    def settled(self, genomes: Sequence[Genome], follow: Callable[[Trial], None]) -> list[Trial]:
        """The trial of each genome at full fidelity, measured in blocks; ``follow`` hears of each.

        The first block has one network more, in whose place the later ones have the reference. A block is recorded as a
        whole: one that was interrupted is measured anew.
        """
        numbered, new, prepared = self._prepared(genomes, "full")
        blocks = [numbered[: BLOCK + 1]]
        blocks += [numbered[start : start + BLOCK] for start in range(BLOCK + 1, len(numbered), BLOCK)]
        trials = []
        for count, block in enumerate(blocks, start=1):
            missing = [(number, genome, next(prepared)) for number, genome in block if number in new]
            if missing:
                self._settle(missing, f"block {count} of {len(blocks)}")
            trials += [self._followed(self._known[number], follow) for number, _ in block]
        return trials

    def _followed(self, trial: Trial, follow: Callable[[Trial], None]) -> Trial:
        self._known[trial.number] = trial
        follow(trial)
        return trial

    def _prepared(
        self, genomes: Sequence[Genome], fidelity: Fidelity
    ) -> tuple[list[tuple[int, Genome]], set[int], Iterator[Made]]:
        """The genomes with their trials' numbers, which of them are new, and those in the making."""
        numbered = list(enumerate(genomes, start=self._next))
        self._next += len(genomes)
        new = [(number, genome) for number, genome in numbered if not self._is_known(number, genome, fidelity)]
        self._listener.doing(f"preparing {len(new)} networks on this host")
        if new:
            self._recall_references()
        before = self._inheritable(numbered[0][0]) if fidelity == "screen" else []
        prepared = self._workers.prepare_all([genome for _, genome in new], fidelity, before)
        if self._bench.shares_host:
            # All of them before the first is measured; for another machine, the host goes on preparing meanwhile.
            prepared = iter(list(prepared))
        return numbered, {number for number, _ in new}, prepared

    def _inheritable(self, number: int) -> list[Genome]:
        """What a candidate of the batch that begins with trial ``number`` may begin with: those of earlier batches, which a
        replay knows as well, that ran and began with the unpruned network themselves."""
        if not self._store.study.recover.inherit:
            return []
        return [
            trial.genome
            for trial in sorted(self.known, key=lambda trial: trial.number)
            if trial.number < number and trial.failure is None and trial.candidate and trial.candidate.parent is None
        ]

    def _is_known(self, number: int, genome: Genome, fidelity: Fidelity) -> bool:
        """Whether the store has this trial. Raises StoreError when it has another one by that number."""
        trial = self._known.get(number)
        if trial and (trial.genome, trial.fidelity) != (genome, fidelity):
            raise StoreError(
                f"{self._store.folder}: the replay parts from what was recorded at trial {number}: it asks for {genome} "
                f"({fidelity}) where {trial.genome} ({trial.fidelity}) stands. Start the study afresh under another name"
            )
        return trial is not None

    def _measured(self, job: Job) -> Measurement | CandidateError:
        try:
            return self._bench.measure(job, _GRADE["screen"])
        except CandidateError as error:
            return error

    def _settle(self, block: Sequence[tuple[int, Genome, Made]], title: str) -> None:
        """Measure a block beside the reference, if one was settled before it, and record all of it."""
        jobs = [made.job for _, _, made in block if isinstance(made, Prepared)]
        reference = self._references.get("full")
        beside = [reference.job] if reference else []
        self._listener.doing(f"{title}: measuring on {self._store.study.device}")
        outcomes = self._bench.measure_all(
            [*jobs, *beside], _GRADE["full"], lambda round_: self._listener.doing(f"{title}, {round_}")
        )
        first = block[0][0]
        again = self._again("full", first, reference, outcomes.pop()) if reference else None
        drift, left = again.warnings if again else (), iter(outcomes)
        trials = [
            self._trial(number, genome, "full", made, made if isinstance(made, CandidateError) else next(left), drift)
            for number, genome, made in block
        ]
        self._known |= {trial.number: trial for trial in self._store.record_all(trials)}
        if again:
            self._store.decide(canary.name_of("full", first), again.plain)

    def _trial(
        self,
        number: int,
        genome: Genome,
        fidelity: Fidelity,
        made: Made,
        outcome: Measurement | CandidateError,
        drift: tuple[str, ...],
    ) -> Trial:
        """What became of a network; a candidate's failure is an outcome as well."""
        trial = Trial(number, genome, fidelity)
        if isinstance(made, Prepared):
            trial = replace(trial, candidate=made.candidate, artifact=made.artifact)
        try:
            if isinstance(outcome, CandidateError):
                raise outcome
            measurement = replace(outcome, warnings=(*outcome.warnings, *drift))
            ran = judged(replace(trial, measurement=measurement), self._objectives, self._store.study.limits.given)
        except CandidateError as error:
            return replace(trial, failure=Failure(type(error).__name__, str(error)))
        if isinstance(made, Prepared):
            self._offer(_Reference(ran, made.job))
        return ran

    def _offer(self, ran: _Reference) -> None:
        """The largest network that ran is what tells a candidate's failure from the device's, and shows a drift."""
        known = self._references.get(ran.trial.fidelity)
        if known is None or macs(ran.trial) > macs(known.trial):
            self._references[ran.trial.fidelity] = ran
        if macs(ran.trial) > self._largest:
            self._bench.reference, self._largest = ran.job, macs(ran.trial)

    def _recall_references(self) -> None:
        """After a restart, the largest network of each fidelity that ran is again the reference."""
        for fidelity in _GRADE:
            ran = [one for one in self.known if one.fidelity == fidelity and one.candidate and one.failure is None]
            if not ran or fidelity in self._references:
                continue
            largest = max(ran, key=macs)
            parent = largest.candidate.parent if largest.candidate else None
            (made,) = self._workers.prepare_all([largest.genome], fidelity, [parent] if parent else [])
            if isinstance(made, Prepared):
                self._offer(_Reference(largest, made.job))

    def _watch_drift(self, number: int, *, measured: bool) -> None:
        """Measure the reference again where it is time for it; a replay knows what came of it. Raises BenchError."""
        every = self._store.study.measure.canary
        if not every or not number or number % every:
            return
        told = self._store.decided(canary.name_of("screen", number))
        if told is not None:
            self._drift = canary.of_plain(told).warnings
        elif measured and (reference := self._references.get("screen")):
            self._listener.doing("measuring the reference again, against drift")
            again = self._again("screen", number, reference, self._measured(reference.job))
            self._store.decide(canary.name_of("screen", number), again.plain)
            self._drift = again.warnings

    @staticmethod
    def _again(fidelity: Fidelity, before: int, reference: _Reference, outcome: Measurement | CandidateError) -> Canary:
        """What the reference's new measurement says. Raises BenchError when it does not run any more."""
        if isinstance(outcome, CandidateError):
            raise BenchError(
                f"the reference {reference.job.label} fails on the device, where it ran before: {outcome}. "
                "Look at the device, then run the same command again"
            ) from outcome
        first = reference.trial.measurement
        assert first is not None  # it ran
        return Canary.of(before, fidelity, reference.trial.number, first, outcome)


def macs(trial: Trial) -> int:
    """The multiply-accumulates of a trial's network; 0 of one that was never made."""
    return trial.candidate.macs if trial.candidate else 0
