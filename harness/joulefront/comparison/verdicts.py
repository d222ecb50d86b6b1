"""What becomes of a network among another study's: whether it would stand on that study's front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from joulefront.comparison.drift import undrifted
from joulefront.comparison.networks import Identities, Identity, Seen, model_of, why_not_judged
from joulefront.front import beats
from joulefront.records import Trial
from joulefront.results import Results

State = Literal["survives", "undecided", "beaten", "barred"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a study's front says of a network, by what its device showed.

    ``beaten``: something of the front beats it. ``undecided``: by value something would, but not beyond the intervals,
    or only with the device's drift.
    ``barred``: it does not run there, or breaks that study's limits, as ``reason`` says. ``by`` holds the numbers of the
    front's trials that beat it, or that it cannot be told apart from.
    """

    state: State
    by: tuple[int, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Survival:
    """How many of one study's ``front`` would stand on another's, of those that were ``judged`` there.

    Those that ``survive`` include the ``undecided`` ones; ``share`` is survive / judged, None with its ``reason``.
    """

    share: float | None
    reason: str | None
    front: int
    judged: int = 0
    survive: int = 0
    undecided: int = 0
    beaten: int = 0
    barred: int = 0


def verdict(seen: Seen, front: Sequence[Trial], objectives: Sequence[str]) -> Verdict:
    """What the ``front`` of a study with these ``objectives`` says of a network that its device showed, maybe its own.

    Where the device has drifted, a visitor is judged as it was measured and as it would be without the drift. It is not
    corrected, since nobody knows that a drift slows all networks alike; but a verdict that hangs on it is undecided.
    """
    trial = seen.trial
    if trial.failure:
        return Verdict("barred", reason=f"{trial.failure.kind}: {trial.failure.message}")
    if trial.violation:
        return Verdict("barred", reason="it breaks the study's limits")
    others = [other for other in front if other is not trial]
    could_be = [trial] if seen.drift is None else [trial, undrifted(trial, seen.drift)]
    found = [_judged(one, others, objectives) for one in could_be]
    by = tuple(dict.fromkeys(number for one in found for number in one.by))
    states = {one.state for one in found}
    return Verdict(states.pop(), by) if len(states) == 1 else Verdict("undecided", by)


def _judged(trial: Trial, others: Sequence[Trial], objectives: Sequence[str]) -> Verdict:
    if by := [other.number for other in others if beats(other, trial, objectives)]:
        return Verdict("beaten", tuple(by))
    if by := [other.number for other in others if _is_better(other, trial, objectives)]:
        return Verdict("undecided", tuple(by))
    return Verdict("survives")


def survival(
    one: str,
    other: str,
    studies: Mapping[str, Results],
    identities: Identities,
    verdicts: Mapping[Identity, Verdict],
) -> Survival:
    """How much of ``one``'s front survives on ``other``'s device, by ``other``'s ``verdicts``."""
    home, away = studies[one], studies[other]
    front = len(home.front)
    if reason := why_not_judged(one, other, studies):
        return Survival(None, reason, front)
    for label in (one, other):
        if not studies[label].front:
            return Survival(None, f"{label} has no front", front)
    networks = [identities.of(model_of(home), trial.candidate.pruning) for trial in home.front if trial.candidate]
    states = [verdicts[network].state for network in networks if network in verdicts]
    if not states:
        remedy = f"'joulefront compare {home.folder} {away.folder} --remeasure' does" if home.settled else "settle both"
        return Survival(None, f"{other} has measured none of {one}'s front; {remedy}", front)
    survive = states.count("survives") + states.count("undecided")
    return Survival(
        share=survive / len(states),
        reason=None,
        front=front,
        judged=len(states),
        survive=survive,
        undecided=states.count("undecided"),
        beaten=states.count("beaten"),
        barred=states.count("barred"),
    )


def verdicts_of(study: Results, seen: Mapping[Identity, Seen]) -> dict[Identity, Verdict]:
    """The study's verdict on every network that it saw; none without a front."""
    if not study.front:
        return {}
    return {network: verdict(one, study.front, study.objectives) for network, one in seen.items()}


def _is_better(one: Trial, other: Trial, objectives: Sequence[str]) -> bool:
    """Whether it is so by value: at least as good in every objective, and better in one."""
    pairs = [(one.objectives[name], other.objectives[name]) for name in objectives]
    return all(ours <= theirs for ours, theirs in pairs) and any(ours < theirs for ours, theirs in pairs)
