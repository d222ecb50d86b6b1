"""The JSON document of a comparison. Stable, as those in ``documents``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from joulefront.comparison.agreement import Correlation, Disagreement
from joulefront.comparison.compared import Comparison, Point
from joulefront.comparison.networks import Seen
from joulefront.comparison.verdicts import Survival
from joulefront.report import documents
from joulefront.report.pruned import pruned
from joulefront.results import Results

Value = TypeVar("Value")
# What a measurement shares with a point of a front.
_SHARED = ("objectives", "intervals", "metrics", "fidelity", "grade", "provenance", "warnings")


def document(compared: Comparison) -> dict[str, Any]:
    """The document of ``joulefront compare --json``: all of a comparison, by the studies' labels, as plain values."""
    studies = compared.studies
    return {
        "studies": list(studies),
        "devices": {label: study.study.device for label, study in studies.items()},
        "state": {label: "settled" if study.settled else "searching" for label, study in studies.items()},
        "objectives": {label: list(study.objectives) for label, study in studies.items()},
        "fronts": {label: [trial.number for trial in study.front] for label, study in studies.items()},
        "survival": _pairs(compared.survival, lambda one: one.share),
        "survival_reason": _pairs(compared.survival, lambda one: one.reason),
        "survival_counts": _pairs(compared.survival, _counts),
        "latency_rank_correlation": _pairs(compared.latency, _correlation),
        "energy_rank_correlation": _pairs(compared.energy, _correlation),
        "hypervolume": {label: _hypervolume(study) for label, study in studies.items()},
        "points": [_point(point, studies) for point in compared.points],
        "disagreement": _pairs(compared.disagreement, _disagreement),
        "best_single": _best(compared),
        "best_single_reason": compared.best_reason,
        "drift": {
            label: [
                {"session": one.session, "ratio": one.ratio, "interval": _ends(one.interval), "apart": one.apart}
                for one in sessions
            ]
            for label, sessions in compared.drift.items()
        },
        "warnings": list(compared.warnings),
    }


def _pairs(pairs: Mapping[str, Mapping[str, Value]], shown: Callable[[Value], Any]) -> dict[str, dict[str, Any]]:
    return {one: {other: shown(value) for other, value in others.items()} for one, others in pairs.items()}


def _counts(survival: Survival) -> dict[str, int]:
    return {name: value for name, value in asdict(survival).items() if name not in ("share", "reason")}


def _ends(interval: tuple[float, float]) -> list[float | None]:
    """Of what has no end there, such as the ratio of single repeats, null."""
    return [end if math.isfinite(end) else None for end in interval]


def _correlation(correlation: Correlation) -> dict[str, Any]:
    return {**asdict(correlation), "interval": list(correlation.interval) if correlation.interval else None}


def _disagreement(found: Disagreement) -> dict[str, Any]:
    return {
        "layers": {
            name: {"factor": effect.factor, "interval": list(effect.interval)} for name, effect in found.layers.items()
        },
        "networks": found.networks,
        "reason": found.reason,
    }


def _hypervolume(study: Results) -> dict[str, Any]:
    volume = study.hypervolume
    return {
        "value": volume.value if volume else None,
        "reference_point": dict(volume.reference_point) if volume else None,
    }


def _best(compared: Comparison) -> dict[str, Any] | None:
    best = compared.best
    if best is None:
        return None
    return {
        "point": best.point,
        "regret": dict(best.regret),
        "worst_regret": best.worst_regret,
        "slower": dict(best.slower),
    }


def _point(point: Point, studies: Mapping[str, Results]) -> dict[str, Any]:
    return {
        **pruned(point.pruning),
        "on_front": list(point.on_front),
        "measured": {label: _measured(label, seen, studies) for label, seen in point.seen.items()},
        "verdict": {
            label: {"state": verdict.state, "by": list(verdict.by), "reason": verdict.reason} if verdict else None
            for label, verdict in point.verdict.items()
        },
        "regret": dict(point.regret),
    }


def _measured(label: str, seen: Seen | None, studies: Mapping[str, Results]) -> dict[str, Any] | None:
    if seen is None or seen.trial.failure:
        return None
    whole = documents.point(seen.trial)
    return {
        "trial": seen.trial.number,
        "home": _home(seen, studies) if seen.visit else label,
        "visit": seen.visit is not None,
        **{name: whole[name] for name in _SHARED},
    }


def _home(seen: Seen, studies: Mapping[str, Results]) -> str:
    """Which of the studies found a visitor; the name that was written down where none of these did."""
    visit = seen.visit
    if visit is None:
        raise ValueError("no visitor")
    for label, study in studies.items():
        if visit.home in (label, study.name, str(study.folder.resolve())) and any(
            trial.number == visit.number and trial.candidate and trial.candidate.sha256 == visit.candidate.sha256
            for trial in study.trials
        ):
            return label
    return visit.home
