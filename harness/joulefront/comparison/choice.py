"""The one network for all devices: what each of them loses by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joulefront.front import distances_to_ideal
from joulefront.records import Trial
from joulefront.results import Results


@dataclass(frozen=True, slots=True)
class Best:
    """The network with the least worst-case regret: its index among the points, and what it costs on each device.

    ``slower`` is its latency there by the least that the device's own front has at an error as low or lower: None where
    it has none. Below 1 the network beats that front.
    """

    point: int
    regret: Mapping[str, float]
    slower: Mapping[str, float | None]

    @property
    def worst_regret(self) -> float:
        """On the device that loses most."""
        return max(self.regret.values())


def regret(trial: Trial, study: Results) -> float | None:
    """By how much a network is a worse compromise on the study's device than that study's own knee.

    Its distance to the front's ideal less the knee's (``front.distances_to_ideal``): 0 for the knee, 1 for a loss as large
    as the whole range of one objective, below 0 for what is better. None where it is no choice there: it failed, breaks
    the limits, or lies beyond the reference point.
    """
    if study.knee is None or trial.failure or trial.violation:
        return None
    pair = (trial, study.knee)
    distance, least = distances_to_ideal(pair, study.front, study.objectives, study.reference_point)
    return distance - least if math.isfinite(distance) else None


def best_single(
    regrets: Sequence[Mapping[str, float | None]],
    trials: Sequence[Mapping[str, Trial]],
    studies: Mapping[str, Results],
) -> Best | None:
    """Of networks given by their regret and their trial on each device, the best for all; None when none is a choice on all.

    Savage's minimax regret (1951); of equal ones the first.
    """
    choices = []
    for index, row in enumerate(regrets):
        known = {label: value for label, value in row.items() if value is not None}
        if set(known) == set(studies):
            choices.append((max(known.values()), index, known))
    if not choices:
        return None
    _, index, known = min(choices, key=lambda choice: choice[:2])
    return Best(index, known, {label: _slower(trials[index][label], study) for label, study in studies.items()})


def _slower(trial: Trial, study: Results) -> float | None:
    error, latency_s = _error_and_latency(trial)
    as_good = [ours_s for wrong, ours_s in map(_error_and_latency, study.front) if wrong <= error]
    return latency_s / min(as_good) if as_good else None


def _error_and_latency(trial: Trial) -> tuple[float, float]:
    if trial.candidate is None or trial.measurement is None:
        raise ValueError(f"trial {trial.number} has no outcome")
    return trial.candidate.score.error.value, trial.measurement.latency_s.value
