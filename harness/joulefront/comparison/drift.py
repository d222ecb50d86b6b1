"""Whether a device still is what it was when its study was made: its own network, measured again beside visitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from joulefront import estimates
from joulefront.records import Trial, Visit
from joulefront.results import Results


@dataclass(frozen=True, slots=True)
class Drift:
    """The latency of the study's canary in one ``session`` of visits, by what it was in the study.

    ``interval`` is the ratio's 95 % interval (``estimates.ratio``); the two latencies are ``apart`` where it does not hold 1.
    """

    session: str
    ratio: float
    interval: tuple[float, float]

    @property
    def apart(self) -> bool:
        """Whether the device is not as it was."""
        low, high = self.interval
        return not low <= 1.0 <= high


def beside(visit: Visit, drift: Sequence[Drift]) -> float | None:
    """The ratio by which the canary of a visit's session is apart from the study; None where it is not."""
    return next((one.ratio for one in drift if one.session == visit.session and one.apart), None)


def undrifted(trial: Trial, ratio: float) -> Trial:
    """A trial as it would be if drift had made its latency, of whatever percentile, ``ratio`` times what it was."""
    drifted = [name for name in ("latency_s", "latency_p99_s") if name in trial.objectives]
    ends = {name: trial.intervals[name] for name in drifted}
    return replace(
        trial,
        objectives={**trial.objectives, **{name: trial.objectives[name] / ratio for name in drifted}},
        intervals={**trial.intervals, **{name: (low / ratio, high / ratio) for name, (low, high) in ends.items()}},
    )


def canary_of(study: Results) -> Trial | None:
    """What is measured again to tell drift: the unpruned network, or the largest of the front where that did not run."""
    return study.unpruned or max(
        study.front, key=lambda trial: trial.candidate.macs if trial.candidate else 0, default=None
    )


def is_canary(visit: Visit, study: Results) -> bool:
    """Whether a visit is the study's own network, measured again."""
    return visit.home == study.name


def drift_of(study: Results) -> list[Drift]:
    """The study's drift, session by session."""
    own = {trial.number: trial.measurement for trial in study.trials}
    found = []
    for visit in study.visits:
        before, now = own.get(visit.number), visit.measurement
        if is_canary(visit, study) and before and now:
            ratio = estimates.ratio(now.latency_s, before.latency_s)
            found.append(Drift(visit.session, ratio.value, (ratio.low, ratio.high)))
    return sorted(found, key=lambda one: one.session)
