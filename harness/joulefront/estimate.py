"""What a study will take: one network is made and measured, and the rest is reckoned from it."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from joulefront.bench.plan import Plan
from joulefront.config import StudyConfig, parse, study_text
from joulefront.errors import CandidateError
from joulefront.prepare import Recipe
from joulefront.protocols import Listener
from joulefront.records import Fidelity, Measurement
from joulefront.study import BenchOf, search_for, usable_objectives, worker_count
from joulefront.trials import BLOCK
from joulefront.workers import Workers

# How many networks a front is taken to have: nobody knows before the search.
_ASSUMED_FRONT = 10


def estimate(file: Path, listener: Listener, bench_of: BenchOf, *, device: str | None = None) -> dict[str, Any]:
    """The document of ``joulefront validate``: what the study in ``file`` is, and its estimated duration in s.

    ``device`` goes before the one that the file names.

    Raises what a search would raise before its first trial, but for a folder of results that it could not use.
    """
    config = parse(study_text(file, device), StudyConfig, source=str(file))
    listener.stage(f"opening {config.device}")
    with bench_of(config, file.parent) as bench:
        recipe = Recipe(config.model_dump_json(), file.parent.resolve(), bench.target)
        # Without fine-tuning in the search, what it costs on the final front has to be tried by itself.
        fidelity: Fidelity = "screen" if config.recover.screen_epochs else "full"
        with Workers(recipe, 1) as workers:
            listener.stage("loading the task (a ready-made model is trained once)")
            space = workers.load().space
            objectives = usable_objectives(config, bench, listener)
            search_for(config, space, objectives, file)
            listener.stage("making and measuring one network of half the width")
            made = next(iter(workers.prepare_all([space.uniform(0.5)], fidelity)))
        if isinstance(made, CandidateError):
            raise made
        begin_s = time.monotonic()
        measured = bench.measure(made.job, "screening")
        measuring_s = time.monotonic() - begin_s
    count = min(config.search.evaluations, space.size)
    making_s = made.making_s / worker_count(config)
    epochs = config.recover.full_epochs / config.recover.screen_epochs if config.recover.screen_epochs else 1.0
    finalists = min(_ASSUMED_FRONT, count) + 1  # and the unpruned network
    again = math.ceil(max(0, finalists - BLOCK - 1) / BLOCK)  # which is measured again in each further block
    full_s = Plan.of("full", config.measure).expected_s(_period_s(measured))
    settling_s = finalists * making_s * max(epochs, 1.0) + (finalists + again) * full_s
    canaries = (count - 1) // config.measure.canary if config.measure.canary else 0
    search_s = count * (making_s + measuring_s) + canaries * measuring_s
    return {
        "study": config.name,
        "device": config.device,
        "objectives": list(objectives),
        "space": {"genes": {gene.name: list(gene.options) for gene in space.genes}, "networks": space.size},
        "evaluations": count,
        "seconds": {
            "making_a_network": making_s,
            "measuring_a_network": measuring_s,
            "trial": making_s + measuring_s,
            "search": search_s,
            "settling": settling_s,
            "total": search_s + settling_s,
        },
        "assumed_front": min(_ASSUMED_FRONT, count),
        "provenance": "estimated",
    }


def _period_s(measured: Measurement) -> float | None:
    """The time between two updates of the meter, in s; None without a meter."""
    if measured.energy_j is None:
        return None
    return max((window.period_s for window in measured.energy.windows), default=0.0) if measured.energy else 0.0
