"""What each part of a model is worth, and what it costs on a device: one part cut at a time, without a search."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from torch import nn

from joulefront import plugins, prune
from joulefront.bench.statistics import median_latency
from joulefront.cache import Cache
from joulefront.compiled import compiled_model, load_compiler, tuned_for
from joulefront.config import CompileConfig, MeasureConfig, Plugin
from joulefront.errors import CandidateError, ConfigError
from joulefront.loaded import load_task, model_key
from joulefront.protocols import Bench, Compiler, Criterion, Listener, Task
from joulefront.prune.alone import Alone
from joulefront.records import Failure, Job, Measurement
from joulefront.report.sensitivity_table import points
from joulefront.sensitivity_records import Cut, Measured, Part, Sensitivity

_SEED = 0
_MULTIPLE = 8  # where no device says how long its vectors are


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be looked at: the model's name, what judges its channels, how many widths of each group, and how many
    examples of the validation split judge a network (None: all)."""

    model: str
    criterion: Plugin = field(default_factory=lambda: Plugin(kind="l2"))
    widths: int = 4
    examples: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where networks are measured: the device's name, its open bench, and what compiles for it."""

    device: str
    bench: Bench
    compiler: Compiler


def sensitivity(wanted: Wanted, device: str | None, threads: int, listener: Listener) -> Sensitivity:
    """What each group of channels and each residual block is worth, and takes on ``device`` where one is given.

    Raises ConfigError for a model, criterion or device that is none, CandidateError for a model that cannot be cut, compiled
    or run as it is, and BenchError when the device fails.
    """
    listener.stage(f"reading {wanted.model}")
    if wanted.model.lower().endswith(".onnx"):
        raise ConfigError(
            f"{wanted.model}: only the model of a task can be cut and judged: name one as file.py:object, module:object or "
            "by a ready-made name; 'joulefront measure' times an ONNX file as it is"
        )
    task = load_task(Plugin(kind=wanted.model), Path.cwd(), needs_data=True)
    criterion: Criterion = plugins.build(wanted.criterion, prune.READY, folder=Path.cwd(), where="--criterion")
    if device is None:
        return Survey(wanted, task, criterion, listener).run(None)
    from joulefront.bench.bench import Bench as RealBench
    from joulefront_devices.device import load

    listener.stage(f"opening {device}")
    with RealBench(load(device), MeasureConfig(), threads) as bench:
        tuned = tuned_for(device, Path(), bench.target)
        compiler = load_compiler(CompileConfig(), Path.cwd(), bench.target, tuned)
        return Survey(wanted, task, criterion, listener).run(Place(device, bench, compiler))


class Survey:
    """One model, looked at part by part."""

    def __init__(self, wanted: Wanted, task: Task, criterion: Criterion, listener: Listener) -> None:
        self._wanted, self._task, self._criterion, self._listener = wanted, task, criterion, listener

    def run(self, place: Place | None) -> Sensitivity:
        """See sensitivity."""
        wanted = self._wanted
        self._listener.stage(f"looking for what can be cut of {wanted.model}")
        alone = Alone(self._task, self._criterion, examples=wanted.examples)
        cuts = alone.cuts(wanted.widths, place.bench.target.vector_floats if place else _MULTIPLE)
        if not cuts:
            reasons = "; ".join(f"{name!r}: {reason}" for name, reason in alone.left_alone.items())
            raise ConfigError(f"nothing in {wanted.model} can be cut: {reasons or 'no layer has a second width'}")
        # All are made before the first is measured: the device may be this very machine.
        whole = _compiled(self._task.model, self._task, place, wanted.model) if place else None
        parts, made = self._made(alone, cuts, place)
        measured, done = None, [cut for cut, _ in made]
        if place and whole:
            measured, done = self._measured(place, whole, made)
        return Sensitivity(
            model=wanted.model,
            criterion=" ".join([wanted.criterion.kind, *(f"{k}={v}" for k, v in wanted.criterion.arguments.items())]),
            score=alone.score,
            params=alone.cost.params,
            macs=alone.cost.macs,
            parts=tuple(parts),
            cuts=tuple(done),
            interval_reason=alone.interval_reason,
            left_alone=alone.left_alone,
            measured=measured,
        )

    def _made(
        self, alone: Alone, cuts: list[Cut], place: Place | None
    ) -> tuple[list[Part], list[tuple[Cut, Job | None]]]:
        """Each part, and each cut with what can be told without a device, and what is to be measured of it."""
        self._listener.stage(f"cutting{', judging and compiling' if place else ' and judging'} {len(cuts)} networks")
        parts: list[Part] = []
        made: list[tuple[Cut, Job | None]] = []
        for name, group in groupby(cuts, key=lambda cut: cut.part):
            parts.append(alone.part(name))
            some: list[tuple[Cut, Job | None]] = []
            for wanted in group:
                self._listener.doing(f"{wanted.pruning.text} ({len(made) + len(some) + 1} of {len(cuts)})")
                cut, model = alone.made(wanted)
                job = None
                if place and model is not None:
                    try:
                        job = _compiled(model, self._task, place, wanted.pruning.text)
                    except CandidateError as error:
                        cut = replace(cut, failure=Failure(type(error).__name__, str(error)))
                some.append((cut, job))
            made += some
            self._listener.say(f"{len(made)}/{len(cuts)}: {'; '.join(_outcome(cut) for cut, _ in some)}")
        if all(cut.score is None for cut, _ in made):
            failure = made[0][0].failure
            raise ConfigError(f"none of the {len(made)} networks can be made: {failure.message if failure else ''}")
        return parts, made

    def _measured(self, place: Place, whole: Job, made: list[tuple[Cut, Job | None]]) -> tuple[Measured, list[Cut]]:
        """Measure in shuffled order, so that drift falls on no part alone; the unpruned network first, halfway and last."""
        done = [cut for cut, _ in made]
        shuffled = np.random.default_rng(_SEED).permutation(len(made)).tolist()
        order = [at for at in shuffled if made[at][1] is not None]
        half = (len(order) + 1) // 2
        turns: list[int | None] = [None, *order[:half], None, *order[half:], None]
        self._listener.stage(f"measuring on {place.device}: {len(turns)} times")
        unpruned: list[Measurement] = []
        for turn, at in enumerate(turns, start=1):
            job = whole if at is None else made[at][1]
            assert job is not None
            self._listener.doing(f"{job.label} ({turn} of {len(turns)})")
            if at is None:
                unpruned.append(place.bench.measure(whole, "screening"))
                place.bench.reference = whole
                continue
            try:
                done[at] = replace(done[at], measurement=place.bench.measure(job, "screening"))
            except CandidateError as error:
                done[at] = replace(done[at], failure=Failure(type(error).__name__, str(error)))
                self._listener.say(f"{job.label} failed: {type(error).__name__}: {error}")
        together = median_latency([repeat for one in unpruned for repeat in one.repeats_s])
        return Measured(place.device, tuple(unpruned), together), done


def _compiled(model: nn.Module, task: Task, place: Place, label: str) -> Job:
    """The model's library for the device, as a job; from the cache where it is there. Raises CompileError, StoreError."""
    key = model_key(model, task.example)
    return compiled_model(
        lambda: model, task.example, place.compiler, place.bench.target, Cache(), key=key, label=label
    ).job


def _outcome(cut: Cut) -> str:
    """What became of a cut, in a few words."""
    if cut.failure:
        return f"{cut.pruning.text}: {cut.failure.kind}: {cut.failure.message}"
    return f"{cut.pruning.text}: {points(cut.change)} points"
