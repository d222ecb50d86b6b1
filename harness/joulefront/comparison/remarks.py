"""What a reader of a comparison must know to judge it: whatever makes figures side by side less alike than they look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from joulefront.comparison.drift import Drift, is_canary
from joulefront.comparison.networks import Identities, Identity, Seen, model_of, why_not_judged
from joulefront.comparison.verdicts import Survival
from joulefront.results import Results


def remarks(
    studies: Mapping[str, Results],
    identities: Identities,
    seen: Mapping[str, Mapping[Identity, Seen]],
    survival: Mapping[str, Mapping[str, Survival]],
    drift: Mapping[str, Sequence[Drift]],
) -> list[str]:
    """One sentence for each thing to know, the gravest first."""
    return [
        *_apart(studies),
        *_mixed_provenance(studies, seen),
        *_partly_judged(survival),
        *_drifted(drift),
        *_other_objectives(studies),
        *_other_weights(studies, identities, seen),
        *_unsettled(studies),
        *_failed(studies),
        *_doubtful(studies, seen),
    ]


def _apart(studies: Mapping[str, Results]) -> Iterator[str]:
    """Pairs that cannot be judged by one another, each reason once."""
    labels = list(studies)
    pairs = [(one, other) for index, one in enumerate(labels) for other in labels[index + 1 :]]
    reasons = [reason for one, other in pairs if (reason := why_not_judged(one, other, studies))]
    yield from dict.fromkeys(reasons)


def _partly_judged(survival: Mapping[str, Mapping[str, Survival]]) -> Iterator[str]:
    """A search measures in full what looked good there: the networks that it shares with another front are no sample."""
    for home, others in survival.items():
        for away, one in others.items():
            if 0 < one.judged < one.front:
                yield (
                    f"of {home}'s front, {away} has measured {one.judged} of {one.front}: those that its own search found good "
                    "as well, so the share that survives there is flattered; --remeasure judges all of them"
                )


def _mixed_provenance(studies: Mapping[str, Results], seen: Mapping[str, Mapping[Identity, Seen]]) -> Iterator[str]:
    found = {
        label: {one.trial.measurement.provenance for one in seen[label].values() if one.trial.measurement}
        for label in studies
    }
    kinds = sorted(set().union(*found.values()))
    if len(kinds) > 1:
        parts = [f"{kind} on {', '.join(label for label in studies if kind in found[label])}" for kind in kinds]
        yield f"the figures are of different kinds: {'; '.join(parts)}"


def _drifted(drift: Mapping[str, Sequence[Drift]]) -> Iterator[str]:
    for label, sessions in drift.items():
        apart = [f"{one.ratio:.3f} times as long in the session of {one.session}" for one in sessions if one.apart]
        if apart:
            yield (
                f"the device of {label} is not as it was in its study, whose own network took {', '.join(apart)}: the "
                "networks that visited it then count as beaten only where that changes nothing"
            )


def _other_objectives(studies: Mapping[str, Results]) -> Iterator[str]:
    if len({study.objectives for study in studies.values() if study.objectives}) > 1:
        parts = [f"{label} by {', '.join(study.objectives)}" for label, study in studies.items() if study.objectives]
        yield f"the studies have other objectives, and each judges by its own: {'; '.join(parts)}"


def _other_weights(
    studies: Mapping[str, Results], identities: Identities, seen: Mapping[str, Mapping[Identity, Seen]]
) -> Iterator[str]:
    for home, study in studies.items():
        for away in studies:
            if away == home or why_not_judged(home, away, studies):
                continue
            others = [
                trial.number
                for trial in study.front
                if trial.candidate
                and (there := seen[away].get(identities.of(model_of(study), trial.candidate.pruning)))
                and there.trial.candidate
                and there.trial.candidate.sha256 != trial.candidate.sha256
            ]
            if others:
                yield (
                    f"{len(others)} networks of {home}'s front were measured on {away} with the same widths and other "
                    f"weights (trial {', '.join(map(str, others))}): there, the error is that of those weights"
                )


def _unsettled(studies: Mapping[str, Results]) -> Iterator[str]:
    for label, study in studies.items():
        if not study.front:
            yield f"{label} has no front"
        elif not study.settled:
            yield f"{label} still searches: its front is one of screening figures"


def _failed(studies: Mapping[str, Results]) -> Iterator[str]:
    for label, study in studies.items():
        for visit in study.visits:
            if visit.failure and not is_canary(visit, study):
                yield (
                    f"trial {visit.number} of {visit.home} failed on the device of {label}: "
                    f"{visit.failure.kind}: {visit.failure.message}"
                )


def _doubtful(studies: Mapping[str, Results], seen: Mapping[str, Mapping[Identity, Seen]]) -> Iterator[str]:
    """How many of each study's measurements carry warnings, and one of them."""
    for label in studies:
        measured = [one.trial.measurement for one in seen[label].values() if one.trial.measurement]
        warned = [one for one in measured if one.warnings]
        if warned:
            yield (
                f"{len(warned)} of {len(measured)} measurements of {label} carry warnings; one says: {warned[0].warnings[0]}"
            )
