"""Each study's front measured on the devices of the others, beside those studies' own networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from joulefront import kept
from joulefront.cache import Cache
from joulefront.comparison import labels_of, why_not_judged
from joulefront.comparison.drift import canary_of
from joulefront.comparison.networks import Identities, Identity, as_trial, model_of, seen_by
from joulefront.compiled import Compiled, compiled_model, compiler_fact, load_compiler
from joulefront.errors import BenchError, CandidateError, ConfigError
from joulefront.loaded import load_searched
from joulefront.protocols import Bench, Compiler, Listener, Task
from joulefront.prune.weights import load
from joulefront.records import Candidate, Failure, Measurement, Trial, Visit
from joulefront.results import Results, of_store, read
from joulefront.store import Store
from joulefront.study import BenchOf
from joulefront.study_facts import device_facts
from joulefront.trials import BLOCK
from joulefront.tuning.database import Snapshot


@dataclass(frozen=True, slots=True)
class Visitor:
    """A network of the settled front of the study ``home``, which is to be measured elsewhere."""

    home: str
    trial: Trial
    candidate: Candidate

    @property
    def label(self) -> str:
        """As messages name it."""
        return f"trial {self.trial.number} of {self.home}"


def remeasure(folders: Sequence[Path], listener: Listener, bench_of: BenchOf, *, moved: Path | None = None) -> None:
    """Measure the settled front of each study in ``folders`` on the devices of the others, at full grade.

    What a device has measured already, in its study or on a visit, is not measured again, so the same call goes on after
    any interruption. What came of each block is written through to the store of the device's study, failures as well.
    ``moved`` is where the studies' files lie now, if not where they lay.

    Raises ConfigError for studies that are not settled or have no network in common, a model or a device that is another
    one than was searched; BenchError when a device or the host fails.
    """
    studies = labels_of([read(folder) for folder in folders])
    _check(studies)
    tasks: dict[str, Task] = {}
    for label, study in studies.items():
        with Store.open(study.folder, writable=True) as store:
            host = of_store(store)  # by now, when nobody else writes there
            visitors = _missing(label, {**studies, label: host})
            if not visitors:
                continue
            for home in {visitor.home for visitor in visitors} - set(tasks):
                listener.stage(f"loading the model of {home}")
                tasks[home] = load_searched(studies[home], moved)
            listener.stage(f"opening {host.study.device}")
            folder = moved or host.origin or Path()
            with bench_of(host.study, folder) as bench:
                compiler = _checked_compiler(store, host, bench, folder)
                listener.stage(f"compiling for {host.study.device}", None)
                made = [
                    (visitor, _compiled(visitor, studies[visitor.home], tasks[visitor.home], compiler, bench))
                    for visitor in visitors
                ]
                _Visits(label, host, store, bench, listener).run(made)


class _Visits:
    """Visits to one device, in blocks: the networks of each take turns with the study's own, which shows a drift."""

    def __init__(self, label: str, host: Results, store: Store, bench: Bench, listener: Listener) -> None:
        trial = canary_of(host)
        assert trial is not None  # there is a front
        assert trial.candidate is not None
        self._host = host
        self._store = store
        self._bench = bench
        self._listener = listener
        self._job = kept.job(host.folder, trial, f"trial {trial.number} of {label}")
        self._canary = Visit("", host.name, trial.number, trial.candidate, trial.artifact)

    def run(self, made: Sequence[tuple[Visitor, Compiled | CandidateError]]) -> None:
        """Measure everything that was ``made``. A block is recorded as a whole: one that was interrupted is measured anew."""
        # It ran there in its study: whose fault a visitor's failure is, it settles from the first one on.
        self._bench.reference = self._job
        # Shuffled, so that a drift of the device falls on no part of a front.
        order = np.random.default_rng(self._host.study.search.seed).permutation(len(made))
        blocks = [[made[index] for index in order[start : start + BLOCK]] for start in range(0, len(order), BLOCK)]
        self._listener.stage(f"measuring visitors on {self._host.study.device}", len(made) + len(blocks))
        for count, block in enumerate(blocks, start=1):
            for visit in self._measured(block, f"block {count} of {len(blocks)}"):
                self._listener.step(as_trial(visit, self._host), None)

    def _measured(self, block: Sequence[tuple[Visitor, Compiled | CandidateError]], title: str) -> Sequence[Visit]:
        """The study's own network and those of a block; what failed is an outcome as well. Raises BenchError."""
        session = _now()
        jobs = [compiled.job for _, compiled in block if not isinstance(compiled, CandidateError)]
        own, *rest = self._bench.measure_all(
            [self._job, *jobs], "full", lambda round_: self._listener.doing(f"{title}, {round_}")
        )
        if isinstance(own, CandidateError):
            raise BenchError(
                f"{own}: on {self._host.study.device}, where it ran in its study. Look at the device, then run the same "
                "command again"
            ) from own
        outcomes = iter(rest)
        visits = [replace(self._canary, session=session, measurement=own)]
        for visitor, compiled in block:
            visit = Visit(session, visitor.home, visitor.trial.number, visitor.candidate)
            if isinstance(compiled, CandidateError):
                visits.append(_with_outcome(visit, compiled))
            else:
                visits.append(_with_outcome(replace(visit, artifact=compiled.artifact), next(outcomes)))
        return self._store.add_visits(visits)


def _with_outcome(visit: Visit, outcome: Measurement | CandidateError) -> Visit:
    if isinstance(outcome, Measurement):
        return replace(visit, measurement=outcome)
    return replace(visit, failure=Failure(type(outcome).__name__, str(outcome)))


def _check(studies: Mapping[str, Results]) -> None:
    """Raises ConfigError where there is nothing to measure, or nothing to judge it by."""
    for label, study in studies.items():
        if not study.settled:
            raise ConfigError(f"{label} has no settled front yet: its search command goes on with it; remeasure then")
        if not study.front:
            raise ConfigError(
                f"{label} has no front that could be measured elsewhere, or that visitors could be set beside"
            )
    pairs = [(one, other) for one in studies for other in studies if one != other]
    reasons = [why_not_judged(one, other, studies) for one, other in pairs]
    if all(reasons):
        raise ConfigError(f"nothing can be measured again: {reasons[0]}")


def _missing(label: str, studies: Mapping[str, Results]) -> list[Visitor]:
    """The networks of the others' fronts that this study's device has not measured."""
    identities = Identities(list(studies.values()))
    known: set[Identity] = set(seen_by(studies[label], identities))
    visitors = []
    for home, study in studies.items():
        if home == label or why_not_judged(home, label, studies):
            continue
        for trial in study.front:
            assert trial.candidate is not None
            network = identities.of(model_of(study), trial.candidate.pruning)
            if network not in known:
                known.add(network)
                visitors.append(Visitor(home, trial, trial.candidate))
    return visitors


def _checked_compiler(store: Store, host: Results, bench: Bench, folder: Path) -> Compiler:
    """The compiler for the study's device. Raises ConfigError when it or the device is not what the study was made with."""
    for name, fact in device_facts(bench).items():
        store.freeze(name, fact)
    if "energy_j" in host.objectives and bench.energy_reason:
        raise ConfigError(
            f"{host.folder} has energy among its objectives, and there is none now: {bench.energy_reason}"
        )
    compiler = load_compiler(host.study.compile, folder, bench.target, Snapshot.of(host.facts.get("tuned", {})))
    if compiler_fact(compiler) != host.facts["task"]["compiler"]:
        raise ConfigError(
            f"{host.folder} was begun with another compiler, and what this one makes cannot be set beside its networks: "
            "give the study another name to start afresh"
        )
    return compiler


def _compiled(
    visitor: Visitor, study: Results, task: Task, compiler: Compiler, bench: Bench
) -> Compiled | CandidateError:
    """The visitor's library for the bench's device, to be checked there by what torch made of it at home."""
    weights = kept.weights(study.folder, visitor.trial)
    check = kept.job(study.folder, visitor.trial, visitor.label)
    try:
        compiled = compiled_model(
            lambda: load(task.model, task.example, visitor.candidate.pruning, weights),
            task.example,
            compiler,
            bench.target,
            Cache(),
            key=visitor.candidate.key,  # as in prepare.Maker, which may have compiled the same network for this device
            label=visitor.label,
        )
    except CandidateError as error:
        return error
    library, sha256, fallbacks = compiled.job.library, compiled.job.sha256, compiled.job.fallbacks
    return replace(compiled, job=replace(check, library=library, sha256=sha256, fallbacks=fallbacks))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
