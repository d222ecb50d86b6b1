"""The whole story of a study: search, then the final front.

``run`` asks a search for genomes, has them prepared and measured, records each trial and tells the search. What the
search leaves on the front is then recovered in full, measured again in interleaved blocks, and tested once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import numpy as np

from joulefront import plugins
from joulefront.config import StudyConfig, parse, study_text
from joulefront.errors import CandidateError, ConfigError, StoreError
from joulefront.front import front_of, hypervolume, reference_point, unpruned_of
from joulefront.kept import is_kept, keep
from joulefront.prepare import Recipe
from joulefront.protocols import Bench, Listener, Search
from joulefront.records import Trial
from joulefront.search import READY as SEARCHES
from joulefront.space_records import Space
from joulefront.store import Store, check_folder
from joulefront.study_facts import frozen_facts, tuned_of
from joulefront.trials import Trials
from joulefront.workers import Workers

BenchOf = Callable[[StudyConfig, Path], AbstractContextManager[Bench]]
"""Opens a study's bench; the path is the folder that the study's files are named from."""


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
        self._trials = Trials(store, bench, workers, listener, objectives)

    def explore(self) -> None:
        """Search: ask, prepare, measure, record and tell, until the search is over."""
        self.listener.stage("searching", min(self.config.search.evaluations, self.space.size))
        while asked := self.search.ask():
            self.search.tell(self._trials.screened(asked, self._step))

    def settle(self) -> list[Trial]:
        """Recover, measure and test what the search leaves on its front, and the unpruned network beside it.

        Returns the final front. Raises ConfigError when nothing keeps the limits.
        """
        screened = self.store.trials("screen")
        front = front_of(screened, self.objectives)
        if not front:
            raise self._no_front(screened)
        genomes = [trial.genome for trial in front if trial.genome != self.space.full]
        # Shuffled, so that no block is a part of the front; but the unpruned network comes first, as the others' reference.
        order = np.random.default_rng(self.config.search.seed).permutation(len(genomes))
        finalists = self.store.decide("finalists", [self.space.full, *(genomes[index] for index in order)])
        self.listener.stage("settling the front", len(finalists))
        trials = self._trials.settled([tuple(genome) for genome in finalists], self._step)
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

    def _step(self, trial: Trial) -> None:
        self.listener.step(trial, self._hypervolume(trial))

    def _hypervolume(self, latest: Trial) -> float | None:
        """Of all trials of the latest one's fidelity."""
        trials = [trial for trial in self._trials.known if trial.fidelity == latest.fidelity]
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


def worker_count(config: StudyConfig) -> int:
    """How many workers the study wants here."""
    workers = config.prepare.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers
