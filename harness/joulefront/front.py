"""Which trials nothing beats, given what the measurements can tell apart; and how good a front is as a whole.

All objectives are minimised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulefront import estimates
from joulefront import objectives as known
from joulefront.records import Energy, Estimate, Trial
from joulefront.space_records import Space

# The error that bounds the hypervolume lies this far above the unpruned network's, so does the loss, and the costs this
# factor above its.
_ERROR_MARGIN = 0.2
_LOSS_MARGIN = 1.0
_COST_FACTOR = 1.1


def judged(trial: Trial, objectives: Sequence[str], limits: Mapping[str, float]) -> Trial:
    """A trial that ran with what was found of it: its objectives, their 95 % intervals, and how it keeps the limits.

    Raises what ``objectives.missing`` returns where one of them is not known of it.
    """
    found = known.found(trial.candidate, trial.artifact, trial.measurement)
    values = {name: value for name, one in found.items() if (value := known.value(one)) is not None}
    intervals = {name: ends for name, one in found.items() if (ends := known.interval(one)) is not None}
    for name in (*objectives, *limits):
        if name not in values:
            raise known.missing(name, trial.measurement)
    return replace(
        trial,
        objectives={name: values[name] for name in objectives},
        intervals={name: intervals[name] for name in objectives if name in intervals},
        limited={name: values[name] for name in limits},
        violation=violation(values, limits),
    )


def beats(one: Trial, other: Trial, objectives: Sequence[str]) -> bool:
    """Whether ``one`` is at least as good in every objective and, beyond what the intervals leave open, better in one.

    Better beyond that is what ``estimates.is_below`` says, by the interval of the two trials' ratio; whatever is off in all
    joules of one meter alike does not enter. Two trials that are told apart by nothing but differences within it do not
    beat one another, so that noise alone never drops a network from a front. The *error* and its like are compared by
    their value: both were judged on the same examples, and the interval of each says how it would differ on others.

    Nothing beats itself, and trials never beat one another in a circle: that takes equal values in everything.
    """
    if any(one.objectives[name] > other.objectives[name] for name in objectives):
        return False
    return any(_is_below(one, other, name) for name in objectives)


def front_of(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """The trials that keep every limit and that none of the others beats, by the first objective upwards."""
    feasible = [trial for trial in trials if trial.failure is None and trial.violation == 0]
    front = [one for one in feasible if not any(beats(other, one, objectives) for other in feasible)]
    return sorted(front, key=lambda trial: (*(trial.objectives[name] for name in objectives), trial.number))


def violation(objectives: Mapping[str, float], limits: Mapping[str, float]) -> float:
    """By how much the limits are broken: the sum of each excess relative to its limit, 0 when all are kept."""
    return sum(max(0.0, objectives[name] / limit - 1.0) for name, limit in limits.items())


def knee_of(
    front: Sequence[Trial], objectives: Sequence[str], reference_point: Mapping[str, float] | None = None
) -> Trial | None:
    """The best compromise of a ``front``: the trial nearest to the ideal point that has the best value of each objective.

    The distance is Euclidean, each objective counted in the front's own range of it (compromise programming, Zeleny 1973).
    What lies beyond the ``reference_point`` is no choice where anything lies within, since one hopeless network would
    stretch the range. Intervals do not enter. None without a front.
    """
    if not front:
        return None
    distances = distances_to_ideal(front, front, objectives, reference_point)
    return min(zip(distances, front, strict=True), key=lambda pair: (pair[0], pair[1].number))[1]


def distances_to_ideal(
    trials: Sequence[Trial],
    front: Sequence[Trial],
    objectives: Sequence[str],
    reference_point: Mapping[str, float] | None = None,
) -> list[float]:
    """How far each trial is from the ``front``'s ideal point, as ``knee_of`` counts it; infinite beyond the reference point.

    0 is the ideal; 1 is the whole range of one objective. Where nothing of the front lies within the reference point, it
    is left out of account. For a trial that is none of the front's: to be better than the ideal in an objective adds no
    distance, and where all of the front have one value of it, that value is taken for the range.
    """
    if not front:
        raise ValueError("a front of nothing has no ideal point")
    within = [trial for trial in front if _is_within(trial, reference_point)]
    bound = reference_point if within else None
    spans = []
    for name in objectives:
        values = [trial.objectives[name] for trial in within or front]
        spans.append((name, min(values), max(values) - min(values) or min(values) or 1.0))
    return [
        math.hypot(*(max(0.0, trial.objectives[name] - best) / span for name, best, span in spans))
        if _is_within(trial, bound)
        else math.inf
        for trial in trials
    ]


def _is_within(trial: Trial, point: Mapping[str, float] | None) -> bool:
    return point is None or all(trial.objectives[name] < limit for name, limit in point.items())


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """``value`` is the share, 0 to 1, of the box between 0 and ``reference_point`` that a front dominates."""

    value: float
    reference_point: Mapping[str, float]


def reference_point(unpruned: Trial, objectives: Sequence[str]) -> dict[str, float]:
    """The point that a front's hypervolume is counted up to, in SI units: a little worse than the unpruned network.

    20 points of an error above the unpruned network's, 1 above its loss (the right class e times less likely) and 1.1
    times each of its costs: what lies beyond is of no use to anybody, and would outweigh the rest.
    """
    return {name: _worse(name, unpruned.objectives[name]) for name in objectives}


def hypervolume(trials: Sequence[Trial], point: Mapping[str, float]) -> Hypervolume:
    """The hypervolume of ``trials`` below the reference ``point``, each objective divided by its coordinate there.

    Zitzler and Thiele 1999. It is made of the estimates; their intervals do not enter.
    """
    from pymoo.indicators.hv import HV  # slow to import, and a front is drawn without it

    # Nothing is below a cost of 0, which a coarse clock may give; and a loss below 0 is no share of anything.
    values = [
        [max(0.0, trial.objectives[name] / limit) if limit > 0 else 1.0 for name, limit in point.items()]
        for trial in trials
    ]
    inside = np.array([row for row in values if all(value < 1.0 for value in row)])
    value = float(HV(ref_point=np.ones(len(point)))(inside)) if len(inside) else 0.0
    return Hypervolume(value, dict(point))


def unpruned_of(trials: Sequence[Trial], space: Space) -> Trial | None:
    """The unpruned network's trial, if it ran."""
    return next((trial for trial in trials if trial.genome == space.full and trial.failure is None), None)


def _worse(name: str, value: float) -> float:
    """A value that is a little worse; no error is worse than 1 where the metric is a share."""
    if name == "loss":
        return value + _LOSS_MARGIN
    if name in known.JUDGED:
        return min(value + _ERROR_MARGIN, 1.0) if value <= 1 else value + _ERROR_MARGIN
    return value * _COST_FACTOR


def _is_below(one: Trial, other: Trial, name: str) -> bool:
    if name in known.JUDGED:
        return one.objectives[name] < other.objectives[name]
    common = name == "energy_j" and estimates.have_one_meter(_energy(one), _energy(other))
    return estimates.is_below(_estimate(one, name, common), _estimate(other, name, common))


def _energy(trial: Trial) -> Energy | None:
    return trial.measurement.energy if trial.measurement else None


def _estimate(trial: Trial, name: str, common: bool) -> Estimate:
    """An objective as it was estimated; without the parts that are ``common`` to all joules by one meter, if they are."""
    value = trial.objectives[name]
    found = Estimate(value, *trial.intervals.get(name, (value, value)))
    energy = _energy(trial)
    return estimates.within_one_meter(found, energy) if common and energy else found
