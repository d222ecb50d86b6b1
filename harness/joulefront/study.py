"""The whole story of a study: search, then the final front.

``run`` asks a search for genomes, has them prepared and measured, records each trial and tells the search. What the
search leaves on the front is then recovered in full, measured again in shuffled order, and tested once.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from joulefront import plugins
from joulefront.compiled import tuned_for
from joulefront.config import StudyConfig, parse, study_text
from joulefront.errors import CandidateError, ConfigError, StoreError
from joulefront.front import front_of, hypervolume, judged, reference_point, unpruned_of
from joulefront.kept import is_kept, keep
from joulefront.prepare import Recipe
from joulefront.protocols import Search
from joulefront.records import Failure, Fidelity, Genome, Grade, Job, Measurement, Prepared, Space, Target, Trial
from joulefront.search import READY as SEARCHES
from joulefront.store import Store, check_folder, frozen
from joulefront.tuning.database import NOTHING, Snapshot
from joulefront.workers import Loaded, Workers

# What a device says about itself that another boot may change.
_PASSING = frozenset({"boot", "memory_b"})
_GRADE: Mapping[Fidelity, Grade] = {"screen": "screening", "full": "full"}


class Bench(Protocol):
    """What measures: the bench room's, or a test's."""

    reference: Job | None
    """A network that is known to run: it settles whose fault another's failure is."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the device says about itself."""
        ...

    @property
    def target(self) -> Target:
        """What to compile for."""
        ...

    @property
    def energy_reason(self) -> str | None:
        """Why there will be no energy; None when there will."""
        ...

    @property
    def shares_host(self) -> bool:
        """Whether it measures on this very machine, where preparing networks meanwhile would disturb it."""
        ...

    def measure(self, job: Job, grade: Grade) -> Measurement:
        """Measure one compiled model. Raises CandidateError or BenchError."""
        ...


BenchOf = Callable[[StudyConfig, Path], AbstractContextManager[Bench]]
"""Opens a study's bench; the path is the folder that the study's files are named from."""


class Listener(Protocol):
    """Who follows a study's progress."""

    def stage(self, what: str, total: int | None = None) -> None:
        """A new stage begins, with so many steps where that is known."""
        ...

    def doing(self, what: str) -> None:
        """What the stage is at."""
        ...

    def step(self, trial: Trial, hypervolume: float | None) -> None:
        """A trial of the stage is done; with the search's hypervolume so far where the unpruned network ran."""
        ...

    def say(self, message: str) -> None:
        """Something that the user should know, once."""
        ...


def run(file: Path, results: Path, listener: Listener, bench_of: BenchOf, *, device: str | None = None) -> Path:
    """Run the study in ``file``, or go on with it, and return the folder of its results, in ``results``.

    ``device`` is searched on instead of the one that the file names; the results have its name behind the study's.

    Raises ConfigError for whatever the user's files have wrong and for limits that nothing keeps, BenchError when the
    device or the host fails: what was recorded stays, and the same call goes on from there.
    """
    with open_study(file, results, listener, bench_of, device=device) as study:
        study.explore()
        study.settle()
        return study.store.folder


@contextmanager
def open_study(
    file: Path, results: Path, listener: Listener, bench_of: BenchOf, *, device: str | None = None
) -> Iterator[Study]:
    """The study in ``file`` with its device, its workers and its store, ready to go on from wherever it was.

    Raises as ``run``; a mistake that is found before the study can begin leaves nothing behind.
    """
    text = study_text(file, device)
    config = parse(text, StudyConfig, source=str(file))
    folder = results / config.name
    check_folder(folder, config, str(file))
    with ExitStack() as stack:
        listener.stage(f"opening {config.device}")
        bench = stack.enter_context(bench_of(config, file.parent))
        listener.stage("loading the task (a ready-made model is trained once)")
        tuned = tuned_of(config, folder, file.parent, bench.target)
        recipe = Recipe(config.model_dump_json(), file.parent.resolve(), bench.target, tuned)
        workers = stack.enter_context(Workers(recipe, worker_count(config)))
        loaded = workers.load()
        objectives = usable_objectives(config, bench, listener)
        search = search_for(config, loaded.space, objectives, file)
        store = stack.enter_context(Store.create_or_resume(folder, text, str(file)))
        for name, fact in frozen_facts(bench, loaded, objectives, tuned).items():
            store.freeze(name, fact)
        store.decide("origin", str(file.parent.resolve()))  # what is shipped later is rebuilt from the user's own model
        yield Study(store, bench, workers, listener, search, loaded.space, objectives)


class Study:
    """One study under way: its question, its store, its bench and its workers."""

    def __init__(
        self,
        store: Store,
        bench: Bench,
        workers: Workers,
        listener: Listener,
        search: Search,
        space: Space,
        objectives: tuple[str, ...],
    ) -> None:
        self.config = store.study
        self.store = store
        self.bench = bench
        self.workers = workers
        self.listener = listener
        self.search = search
        self.space = space
        self.objectives = objectives
        self._known = {trial.number: trial for trial in store.trials()}
        self._next = 0
        self._reference_macs = 0

    def explore(self) -> None:
        """Search: ask, prepare, measure, record and tell, until the search is over."""
        self.listener.stage("searching", min(self.config.search.evaluations, self.space.size))
        while asked := self.search.ask():
            self.search.tell(self._trials(asked, "screen"))

    def settle(self) -> list[Trial]:
        """Recover, measure and test what the search leaves on its front, and the unpruned network beside it.

        Returns the final front. Raises ConfigError when nothing keeps the limits.
        """
        screened = self.store.trials("screen")
        front = front_of(screened, self.objectives)
        if not front:
            raise self._no_front(screened)
        genomes = list(dict.fromkeys([self.space.full, *(trial.genome for trial in front)]))
        # Shuffled, so that a drift of the device falls on no part of the front.
        order = np.random.default_rng(self.config.search.seed).permutation(len(genomes))
        finalists = self.store.decide("finalists", [genomes[index] for index in order])
        self.listener.stage("settling the front", len(finalists))
        trials = self._trials([tuple(genome) for genome in finalists], "full")
        final = front_of(trials, self.objectives)
        if not final:  # what screening saw within the limits is not, when measured in full: nor will it be tomorrow
            self.store.decide("settled", [])
            raise self._no_front(trials)
        unpruned = unpruned_of(trials, self.space)
        tested = list({trial.number: trial for trial in [*final, *([unpruned] if unpruned else [])]}.values())
        self.listener.stage("testing the front")
        self._keep(tested)
        untested = [trial for trial in tested if trial.test is None]
        scores = self.workers.test([(trial.genome, trial.candidate.sha256) for trial in untested if trial.candidate])
        done = {trial.number: self.store.add_test(trial, score) for trial, score in zip(untested, scores, strict=True)}
        self.store.decide("settled", [trial.number for trial in final])
        return [done.get(trial.number, trial) for trial in final]

    def _trials(self, genomes: Sequence[Genome], fidelity: Fidelity) -> list[Trial]:
        """The trial of each genome: as recorded, or prepared, measured and recorded now; in the order asked."""
        numbered = list(enumerate(genomes, start=self._next))
        self._next += len(genomes)
        recalled = {number: self._recall(number, genome, fidelity) for number, genome in numbered}
        new = [(number, genome) for number, genome in numbered if recalled[number] is None]
        self.listener.doing(f"preparing {len(new)} networks on this host")
        if new:
            self._recall_reference()
        before = self._inheritable(numbered[0][0]) if fidelity == "screen" else []
        prepared = self.workers.prepare_all([genome for _, genome in new], fidelity, before)
        if self.bench.shares_host:
            # All of them before the first is measured; for another machine, the host goes on preparing meanwhile.
            prepared = iter(list(prepared))
        trials = []
        for number, genome in numbered:
            trial = recalled[number]
            if trial is None:
                made = next(prepared)
                self.listener.doing(f"measuring on {self.config.device}")
                trial = self.store.record(self._measured(number, genome, fidelity, made))
            trials.append(trial)
            self._known[number] = trial
            self.listener.step(trial, self._hypervolume(fidelity))
        return trials

    def _inheritable(self, number: int) -> list[Genome]:
        """What a candidate of the batch that begins with trial ``number`` may begin with: those of earlier batches, which a
        replay knows as well, that ran and began with the unpruned network themselves."""
        if not self.config.recover.inherit:
            return []
        return [
            trial.genome
            for trial in sorted(self._known.values(), key=lambda trial: trial.number)
            if trial.number < number and trial.failure is None and trial.candidate and trial.candidate.parent is None
        ]

    def _recall(self, number: int, genome: Genome, fidelity: Fidelity) -> Trial | None:
        """What the store knows of this trial. Raises StoreError when it knows another one by that number."""
        trial = self._known.get(number)
        if trial and (trial.genome, trial.fidelity) != (genome, fidelity):
            raise StoreError(
                f"{self.store.folder}: the replay parts from what was recorded at trial {number}: it asks for {genome} "
                f"({fidelity}) where {trial.genome} ({trial.fidelity}) stands. Start the study afresh under another name"
            )
        return trial

    def _measured(self, number: int, genome: Genome, fidelity: Fidelity, made: Prepared | CandidateError) -> Trial:
        """Measure what was prepared; a candidate's failure is an outcome as well."""
        trial = Trial(number, genome, fidelity)
        try:
            if isinstance(made, CandidateError):
                raise made
            trial = replace(trial, candidate=made.candidate, artifact=made.artifact)
            measurement = self.bench.measure(made.job, _GRADE[fidelity])
            ran = judged(replace(trial, measurement=measurement), self.objectives, self.config.limits.given)
        except CandidateError as error:
            return replace(trial, failure=Failure(type(error).__name__, str(error)))
        if made.candidate.macs > self._reference_macs:
            self.bench.reference, self._reference_macs = made.job, made.candidate.macs
        return ran

    def _recall_reference(self) -> None:
        """After a restart, the largest network that ran is again what tells a candidate's failure from the device's."""
        ran = [trial for trial in self._known.values() if trial.candidate and trial.failure is None]
        if ran and self.bench.reference is None:
            largest = max(ran, key=_macs)
            parent = largest.candidate.parent if largest.candidate else None
            (made,) = self.workers.prepare_all([largest.genome], largest.fidelity, [parent] if parent else [])
            if isinstance(made, Prepared):
                self.bench.reference, self._reference_macs = made.job, _macs(largest)

    def _no_front(self, trials: Sequence[Trial]) -> ConfigError:
        """Why there is no front: nothing ran, or nothing keeps the limits."""
        ran = [trial for trial in trials if trial.failure is None]
        if not ran:
            reasons = dict.fromkeys(
                f"{trial.failure.kind}: {trial.failure.message}" for trial in trials if trial.failure
            )
            return ConfigError(
                f"no network of the study could be measured; the first of {len(reasons)} reasons: {next(iter(reasons))}"
            )
        nearest = min(ran, key=lambda trial: trial.violation)
        limits = ", ".join(f"{name} <= {limit:g}" for name, limit in self.config.limits.given.items())
        reached = ", ".join(f"{name} {value:.4g}" for name, value in {**nearest.objectives, **nearest.limited}.items())
        return ConfigError(
            f"[limits] nothing keeps them all ({limits}): of {len(ran)} measured networks, the nearest is trial "
            f"{nearest.number} with {reached}. Loosen the limits or search longer, under another name"
        )

    def _hypervolume(self, fidelity: Fidelity) -> float | None:
        trials = [trial for trial in self._known.values() if trial.fidelity == fidelity]
        unpruned = unpruned_of(trials, self.space)
        if unpruned is None:
            return None
        kept = [trial for trial in trials if trial.failure is None and trial.violation == 0]
        return hypervolume(kept, reference_point(unpruned, self.objectives)).value

    def _keep(self, trials: Sequence[Trial]) -> None:
        """Copy what the front is made of out of the cache, which may drop it one day."""
        folder = self.store.folder
        missing = [trial for trial in trials if not is_kept(folder, trial)]
        for trial, made in zip(
            missing, self.workers.prepare_all([trial.genome for trial in missing], "full"), strict=True
        ):
            measured = [part.sha256 for part in (trial.candidate, trial.artifact) if part]
            if isinstance(made, CandidateError) or [made.candidate.sha256, made.artifact.sha256] != measured:
                raise StoreError(
                    f"{folder}: the network of trial {trial.number} is gone from the cache and, made again, comes "
                    "out differently: start the study afresh under another name"
                )
            keep(folder, trial, made)


def open_bench(config: StudyConfig, folder: Path) -> AbstractContextManager[Bench]:
    """The bench of the study's device. Raises ConfigError for a device that is not known, BenchError when it fails."""
    from joulefront.bench.bench import Bench as RealBench
    from joulefront_devices.device import load

    tail = "latency_p99_s" in config.wanted
    return RealBench(load(config.device, folder=folder), config.measure, config.compile.threads, tail=tail)


def search_for(config: StudyConfig, space: Space, objectives: Sequence[str], file: Path) -> Search:
    """The study's search. Raises ConfigError."""
    search: Search = plugins.build(
        config.search,
        SEARCHES,
        folder=file.parent,
        where=f"{file}: [search]",
        space=space,
        objectives=objectives,
        evaluations=config.search.evaluations,
        seed=config.search.seed,
    )
    return search


def usable_objectives(config: StudyConfig, bench: Bench, listener: Listener) -> tuple[str, ...]:
    """The study's objectives, less energy where the device cannot tell it, which is said once."""
    reason = bench.energy_reason
    if reason is None:
        return config.objectives
    if "energy_j" in config.limits.given:
        raise ConfigError(f"[limits] energy_j cannot be checked: {reason}")
    left = tuple(name for name in config.objectives if name != "energy_j")
    if not left:
        raise ConfigError(f"objectives: there is nothing to search for without energy_j: {reason}")
    if left != config.objectives:
        listener.say(f"Energy is no objective of this study: {reason}")
    return left


def _macs(trial: Trial) -> int:
    return trial.candidate.macs if trial.candidate else 0


def tuned_of(config: StudyConfig, results: Path, folder: Path, target: Target) -> Snapshot:
    """What tuning had found when the study was begun: what it finds later is for other studies."""
    known = frozen(results, "tuned")
    if known is not None:
        return Snapshot.of(known)
    return tuned_for(config.device, folder, target) if config.compile.tuning else NOTHING


def frozen_facts(bench: Bench, loaded: Loaded, objectives: Sequence[str], tuned: Snapshot) -> dict[str, dict[str, Any]]:
    """What must not change while a study goes on: two halves that differ in one of these cannot stand in one front."""
    return {
        **device_facts(bench),
        "task": dict(loaded.identity),
        "space": asdict(loaded.space),
        "objectives": {"names": list(objectives)},
        "tuned": tuned.plain,
    }


def device_facts(bench: Bench) -> dict[str, dict[str, Any]]:
    """Of these, what any measurement on the study's device hangs on, of whatever network."""
    return {
        "device": {name: fact for name, fact in bench.facts.items() if name not in _PASSING},
        "target": asdict(bench.target),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of what searches, and of what makes a candidate and its code."""
    names = ("joulefront", "torch", "torch-pruning", "apache-tvm", "apache-tvm-ffi", "pymoo")
    return {name: importlib.metadata.version(name) for name in names}


def worker_count(config: StudyConfig) -> int:
    """How many workers the study wants here."""
    workers = config.prepare.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers
