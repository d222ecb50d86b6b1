"""The comparison as a whole: every network of any front, and what the studies say of it and of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from joulefront.comparison.agreement import Correlation, Disagreement, disagreement, rank_correlation
from joulefront.comparison.choice import Best, best_single, regret
from joulefront.comparison.drift import Drift, drift_of
from joulefront.comparison.networks import (
    Identities,
    Identity,
    Seen,
    best_measured,
    labels_of,
    model_of,
    seen_by,
    why_not_joined,
    why_not_judged,
)
from joulefront.comparison.remarks import remarks
from joulefront.comparison.verdicts import Survival, Verdict, survival, verdicts_of
from joulefront.records import Measurement
from joulefront.results import Results
from joulefront.space_records import Pruning

Value = TypeVar("Value")
Pairs = Mapping[str, Mapping[str, Value]]
"""Something of each ordered pair of two different studies, by their labels."""


@dataclass(frozen=True, slots=True)
class Point:
    """A network of some front: on whose, what each study saw of it, says of it and loses by it; None where that is unknown."""

    pruning: Pruning
    on_front: tuple[str, ...]
    seen: Mapping[str, Seen | None]
    verdict: Mapping[str, Verdict | None]
    regret: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several studies set side by side. ``studies`` holds them by their labels, in the order given."""

    studies: Mapping[str, Results]
    points: tuple[Point, ...]
    survival: Pairs[Survival]
    latency: Pairs[Correlation]
    energy: Pairs[Correlation]
    disagreement: Pairs[Disagreement]
    best: Best | None
    best_reason: str | None
    drift: Mapping[str, Sequence[Drift]]
    warnings: tuple[str, ...]


def compare(results: Sequence[Results]) -> Comparison:
    """Compare studies. Raises ConfigError for fewer than two, or one that is given twice."""
    studies = labels_of(results)
    identities = Identities(results)
    seen = {label: seen_by(study, identities) for label, study in studies.items()}
    verdicts = {label: verdicts_of(study, seen[label]) for label, study in studies.items()}
    points = _points(studies, identities, seen, verdicts)
    measured = {label: best_measured(study, identities) for label, study in studies.items()}
    best, best_reason = _best(studies, points)
    drift = {label: drift_of(study) for label, study in studies.items()}
    survivals = _pairs(studies, lambda one, other: survival(one, other, studies, identities, verdicts[other]))
    return Comparison(
        studies=studies,
        points=points,
        survival=survivals,
        latency=_pairs(studies, lambda one, other: _correlation(one, other, studies, measured, _latency_s)),
        energy=_pairs(studies, lambda one, other: _correlation(one, other, studies, measured, _energy_j)),
        disagreement=_pairs(studies, lambda one, other: _disagreement(one, other, studies, measured, identities)),
        best=best,
        best_reason=best_reason,
        drift=drift,
        warnings=tuple(remarks(studies, identities, seen, survivals, drift)),
    )


def _pairs(studies: Mapping[str, Results], of: Callable[[str, str], Value]) -> dict[str, dict[str, Value]]:
    return {one: {other: of(one, other) for other in studies if other != one} for one in studies}


def _points(
    studies: Mapping[str, Results],
    identities: Identities,
    seen: Mapping[str, Mapping[Identity, Seen]],
    verdicts: Mapping[str, Mapping[Identity, Verdict]],
) -> tuple[Point, ...]:
    """Every network of any front, once, by its error upwards, then its widths downwards."""
    fronts: dict[Identity, list[str]] = {}
    errors: dict[Identity, float] = {}
    for label, study in studies.items():
        for trial in study.front:
            if trial.candidate:
                network = identities.of(model_of(study), trial.candidate.pruning)
                fronts.setdefault(network, []).append(label)
                errors.setdefault(network, trial.candidate.score.error.value)
    points = []
    for network in sorted(
        fronts, key=lambda one: (errors[one], [-width for width in identities.pruning(one).widths.values()])
    ):
        on_front = fronts[network]
        shown = {label: seen[label].get(network) for label in studies}
        judged = {
            label: verdicts[label].get(network)
            if any(why_not_judged(home, label, studies) is None for home in on_front)
            else None
            for label in studies
        }
        lost = {
            label: regret(one.trial, studies[label]) if one and judged[label] else None for label, one in shown.items()
        }
        points.append(Point(identities.pruning(network), tuple(on_front), shown, judged, lost))
    return tuple(points)


def _best(studies: Mapping[str, Results], points: Sequence[Point]) -> tuple[Best | None, str | None]:
    first, *others = studies
    for other in others:
        if reason := why_not_judged(first, other, studies):
            return None, reason
    trials = [{label: one.trial for label, one in point.seen.items() if one} for point in points]
    best = best_single([point.regret for point in points], trials, studies)
    if best:
        return best, None
    if any(set(row) == set(studies) for row in trials):
        return None, "no network that was measured on all devices is a choice on each of them"
    folders = " ".join(str(study.folder) for study in studies.values())
    settled = all(study.settled for study in studies.values())
    remedy = f"'joulefront compare {folders} --remeasure' does that" if settled else "the searches have not ended"
    return None, f"no network of a front was measured on all devices; {remedy}"


def _correlation(
    one: str,
    other: str,
    studies: Mapping[str, Results],
    measured: Mapping[str, Mapping[Identity, Measurement]],
    of: Callable[[Measurement], float | None],
) -> Correlation:
    """Over the networks that both measured, whatever their weights: what a network takes hangs on its widths alone."""
    if reason := why_not_joined(one, other, studies):
        return Correlation(None, None, 0, reason)
    figures = {label: {network: of(found) for network, found in measured[label].items()} for label in (one, other)}
    for label in (one, other):
        if figures[label] and all(value is None for value in figures[label].values()):
            why = next(found.energy_reason for found in measured[label].values())
            return Correlation(None, None, 0, f"{label} has no energy: {why}")
    pairs = [(figures[one][network], figures[other][network]) for network in _both(one, other, measured)]
    known = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    return rank_correlation([ours for ours, _ in known], [theirs for _, theirs in known])


def _disagreement(
    one: str,
    other: str,
    studies: Mapping[str, Results],
    measured: Mapping[str, Mapping[Identity, Measurement]],
    identities: Identities,
) -> Disagreement:
    if reason := why_not_joined(one, other, studies):
        return Disagreement(reason=reason)
    # What a block or a zero is worth is another question than what a width is.
    networks = [network for network in _both(one, other, measured) if network[2:] == (frozenset(), frozenset())]
    figures = [[measured[label][network].latency_s.value for network in networks] for label in (one, other)]
    return disagreement([identities.pruning(network).widths for network in networks], *figures)


def _both(one: str, other: str, measured: Mapping[str, Mapping[Identity, Measurement]]) -> list[Identity]:
    return [network for network in measured[one] if network in measured[other]]


def _latency_s(measurement: Measurement) -> float:
    return measurement.latency_s.value


def _energy_j(measurement: Measurement) -> float | None:
    return measurement.energy_j.value if measurement.energy_j else None
