"""Studies that a page must show sensibly, however odd: what a test takes one from, and what a browser looks at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from joulefront.records import Failure, Trial
from joulefront.results import Results, read
from joulefront.space_records import Gene, Pruning
from written import SPACE, genomes, measured_trial, write_study

HOSTILE = "</script><img src=x onerror=\"window.owned='yes'\"><a href='https://evil.example'>%{x} \x1b]0;t\x07"


def many(results: Results, count: int = 2000) -> Results:
    """The same search gone on for ``count`` networks: made in memory, since each one written waits for the disk."""
    trials = tuple(
        measured_trial(
            number,
            genome,
            "screen",
            energy="energy_j" in results.objectives,
            warnings=("throttled",) if number % 9 == 0 else (),
        )
        for number, genome in enumerate(genomes(count))
    )
    when = next(iter(results.recorded.values()))
    return replace(
        results,
        settled=False,
        trials=trials,
        recorded=dict.fromkeys(range(count), when),
        repeat_medians_s=dict.fromkeys(range(count), (1e-5, 1.01e-5, 1.02e-5)),
    )


def with_layers(results: Results, names: list[str]) -> Results:
    """The same study of a model with these layers: of the first three nothing changes but the name."""
    genes = [asdict(Gene(name, SPACE.genes[min(place, 2)].options)) for place, name in enumerate(names)]

    def renamed(trial: Trial) -> Trial:
        genome = (*trial.genome, *trial.genome[-1:] * len(names))[: len(names)]
        widths = {gene["name"]: gene["options"][index] for gene, index in zip(genes, genome, strict=True)}
        candidate = replace(trial.candidate, pruning=Pruning(widths)) if trial.candidate else None
        return replace(trial, genome=genome, candidate=candidate)

    facts = {**results.facts, "space": {"genes": genes}}
    return replace(results, facts=facts, trials=tuple(map(renamed, results.trials)))


def hostile(folder: Path) -> Results:
    """A study whose device, failures, warnings and layers all try to be read as HTML."""
    facts = {"cpu": HOSTILE, "sensor_reason": HOSTILE, "simulated": HOSTILE, "features": HOSTILE * 20}
    results = read(write_study(folder, device="hostile", count=12, facts=facts, fails=lambda number: number in (3, 5)))

    def spoilt(trial: Trial) -> Trial:
        if trial.failure:
            return replace(trial, failure=Failure(HOSTILE, HOSTILE))
        if trial.measurement is None:
            return trial
        after = {**trial.measurement.conditions["after"], HOSTILE: HOSTILE, "load_1min": math.nan}
        conditions = {**trial.measurement.conditions, "after": after}
        return replace(
            trial,
            measurement=replace(trial.measurement, warnings=(HOSTILE,), energy_reason=HOSTILE, conditions=conditions),
        )

    spoilt_trials = tuple(map(spoilt, results.trials))
    return with_layers(replace(results, trials=spoilt_trials), [f"{HOSTILE}{place}" for place in range(3)])


def _limited(folder: Path) -> Results:
    results = read(write_study(folder, settled=False, count=12))
    limits = results.study.limits.model_copy(update={"latency_s": 1e-9, "error": 0.001})
    broken = tuple(replace(trial, violation=2.0) for trial in results.trials)
    return replace(results, study=results.study.model_copy(update={"limits": limits}), trials=broken)


def _without_unpruned(folder: Path) -> Results:
    return read(write_study(folder, fails=lambda number: number == 0, settled=False, count=12))


def _wide(folder: Path) -> Results:
    names = [f"backbone.stages.{place}.blocks.0.conv_with_a_rather_long_name_{place}" for place in range(60)]
    return with_layers(read(write_study(folder, energy=True, count=12)), names)


ODD: dict[str, Callable[[Path], Results]] = {
    "nothing yet": lambda folder: read(write_study(folder, count=0)),
    "all failed": lambda folder: read(write_study(folder, count=12, fails=lambda number: True)),
    "one point": lambda folder: read(write_study(folder, count=1)),
    "searching": lambda folder: read(write_study(folder, settled=False, count=9)),
    "energy": lambda folder: read(write_study(folder, energy=True, count=12)),
    "no unpruned network": _without_unpruned,
    "limits that nothing keeps": _limited,
    "sixty layers": _wide,
    "hostile": hostile,
}
