"""Who is who: the networks of several studies, known by their model and their widths, and what each study saw of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from joulefront.comparison.drift import beside, drift_of
from joulefront.errors import ConfigError, TrainError
from joulefront.front import judged
from joulefront.records import Failure, Measurement, Trial, Visit
from joulefront.results import Results
from joulefront.space_records import Pruning

Identity = tuple[str, frozenset[tuple[str, int]], frozenset[str], frozenset[tuple[str, float]]]
"""The model's hash; the width of each group that is cut, the blocks taken out, and the share of zeros of each layer that has
some: a study that leaves a layer alone names it nowhere. Which criterion judged is no part of what a network costs."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A network as one study's device showed it: that study's own trial, or a visit, as a trial of that study.

    ``drift`` is the ratio by which a visit's latency may be off, if the device is not as it was in its study.
    """

    trial: Trial
    visit: Visit | None = None
    drift: float | None = None


class Identities:
    """Tells which networks of several studies are the same one."""

    def __init__(self, studies: Sequence[Results]) -> None:
        self._unpruned: dict[str, dict[str, int]] = {}
        for study in studies:
            widths = self._unpruned.setdefault(model_of(study), {})
            widths.update(study.space.pruning(study.space.full).widths)

    def of(self, model: str, pruning: Pruning) -> Identity:
        """The network that is pruned so."""
        unpruned = self._unpruned[model]
        return (
            model,
            frozenset((name, width) for name, width in pruning.widths.items() if width != unpruned.get(name)),
            frozenset(pruning.dropped),
            frozenset((layer, share) for layer, share in pruning.sparsity.items() if share),
        )

    def pruning(self, identity: Identity) -> Pruning:
        """What is pruned, with the width of every group that any of the studies has a choice of."""
        model, cut, dropped, zeros = identity
        return Pruning({**self._unpruned[model], **dict(cut)}, tuple(sorted(dropped)), dict(sorted(zeros)))


def labels_of(studies: Sequence[Results]) -> dict[str, Results]:
    """Each study by what it is called beside the others: its name, or its folder where two have the same.

    Raises ConfigError for fewer than two studies, or one that is given twice.
    """
    folders = [str(study.folder.resolve()) for study in studies]
    for folder, times in Counter(folders).items():
        if times > 1:
            raise ConfigError(f"{folder} is given {times} times: a study is compared with others")
    if len(studies) < 2:
        raise ConfigError("compare needs the folders of two studies or more; 'joulefront front FOLDER' shows one")
    names = Counter(study.name for study in studies)
    labels = [study.name if names[study.name] == 1 else folder for study, folder in zip(studies, folders, strict=True)]
    return dict(zip(labels, studies, strict=True))


def model_of(study: Results) -> str:
    """The hash of what the study's model computes; empty before it began."""
    return str(study.facts.get("task", {}).get("model", ""))


def why_not_joined(one: str, other: str, studies: Mapping[str, Results]) -> str | None:
    """Why no network can be in both studies; None where it can."""
    for label in (one, other):
        if not model_of(studies[label]):
            return f"{label} has not begun to search"
    if model_of(studies[one]) != model_of(studies[other]):
        return f"the models of {one} and {other} differ, so no network is in both"
    return None


def why_not_judged(one: str, other: str, studies: Mapping[str, Results]) -> str | None:
    """Why no network of one of these studies can be judged among those of the other; None where it can."""
    if reason := why_not_joined(one, other, studies):
        return reason
    if _fact(studies[one], "data") != _fact(studies[other], "data"):
        return f"{one} and {other} have other data, so their errors cannot be compared"
    if studies[one].settled != studies[other].settled:
        ahead, behind = (one, other) if studies[one].settled else (other, one)
        return (
            f"{behind} still searches and {ahead} is settled, and screening figures are not set against final ones; "
            f"the search command of {behind} goes on with it"
        )
    return None


def seen_by(study: Results, identities: Identities) -> dict[Identity, Seen]:
    """Every network that the study's device showed at the fidelity of the study's front: its own trials, then visits.

    The study's own trials come first, since they were measured beside its front, in one go; of several visits the last
    counts. A visit that failed is among them, a failed trial of the study's own is not:
    visitors show what it would do.
    """
    model = model_of(study)
    visits = study.visits if study.settled else ()
    drift = drift_of(study)
    seen = {
        identities.of(model, visit.candidate.pruning): Seen(as_trial(visit, study), visit, beside(visit, drift))
        for visit in sorted(visits, key=lambda visit: visit.session)
    }
    own = {
        identities.of(model, trial.candidate.pruning): Seen(trial)
        for trial in study.comparable
        if trial.candidate and trial.failure is None
    }
    return {**seen, **own}


def best_measured(study: Results, identities: Identities) -> dict[Identity, Measurement]:
    """Of every network that ran on the study's device, the measurement of the highest grade; the study's own before a visit."""
    model = model_of(study)
    screened = [trial for trial in study.trials if trial.fidelity == "screen"]
    settled = [trial for trial in study.trials if trial.fidelity == "full"]
    ran: list[Trial | Visit] = [*screened, *study.visits, *settled]
    return {
        identities.of(model, one.candidate.pruning): one.measurement for one in ran if one.candidate and one.measurement
    }


def as_trial(visit: Visit, study: Results) -> Trial:
    """A visit as if it were a trial of the ``study`` that it came to: in that study's objectives and within its limits.

    The error is the candidate's own: the same weights were judged at home. A visit that failed, or that lacks one of the
    study's objectives, has none.
    """
    trial = Trial(
        number=visit.number,
        genome=(),  # its widths are of its own study's space; this one need not have them
        fidelity="full",
        candidate=visit.candidate,
        artifact=visit.artifact,
        measurement=visit.measurement,
        failure=visit.failure,
    )
    if visit.artifact is None or visit.measurement is None:
        return trial
    try:
        return judged(trial, study.objectives, study.study.limits.given)
    except (ConfigError, TrainError) as missing:  # an older version judged it at home, or compiled it
        return replace(trial, failure=Failure("Unknown", str(missing)))


def _fact(study: Results, name: str) -> Any:
    return study.facts.get("task", {}).get(name)
