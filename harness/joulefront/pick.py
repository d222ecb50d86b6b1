"""Which network of a settled study the user means: the knee, one by its number, or the best that keeps some limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from joulefront import objectives
from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront.records import Estimate, Trial
from joulefront.results import Results

METRICS: tuple[str, ...] = ("accuracy", *objectives.NAMES)
"""What a limit may be on: SI units; what is judged is the validation split's, since choosing by the test's spoils it."""

_OF_ACCURACY = frozenset({"accuracy", *objectives.JUDGED})
_LIMIT = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII)
_WEIGHTED = "weighted:"
_WEIGHT = re.compile(r"\s*(\w+)\s*=\s*(\d+\.?\d*|\.\d+)\s*", re.ASCII)
_EXPECTED = (
    'expected knee, a trial\'s number, limits in SI units such as "latency_s<0.01,accuracy>=0.97", or '
    '"weighted:error=0.6,latency_s=0.4"'
)


@dataclass(frozen=True, slots=True)
class Picked:
    """A network of the settled front, or the unpruned one: why it, and what its measurement leaves open."""

    trial: Trial
    because: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Limit:
    """``name`` ``sign`` ``bound``, such as latency_s < 0.01."""

    name: str
    sign: str
    bound: float

    def __str__(self) -> str:
        bound = repr(self.bound).removesuffix(".0")  # with all its digits: it is what the user asked for
        return f"{self.name}{self.sign}{bound}"

    def keeps(self, value: float) -> bool:
        """Whether a value is within the limit."""
        compare: dict[str, Callable[[float], bool]] = {
            "<": lambda value: value < self.bound,
            "<=": lambda value: value <= self.bound,
            ">": lambda value: value > self.bound,
            ">=": lambda value: value >= self.bound,
        }
        return compare[self.sign](value)

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit, relative to it."""
        return 0.0 if self.keeps(value) else abs(value - self.bound) / (abs(self.bound) or 1.0)


def pick(results: Results, text: str) -> Picked:
    """The network that ``text`` names, of those whose files the study keeps: its settled front and the unpruned network.

    ``knee``; a trial's number; or limits on METRICS, joined by commas. Of the networks that keep the limits it is the most
    accurate (of equals, the fastest); where all of the limits are on error or accuracy, the one with the least of the
    study's first cost. Estimates count, not their intervals: where one crosses a limit, a warning says so. Or
    ``weighted:`` and weights of what is minimised: the network of the front with the least weighted sum, each quantity
    counted in the front's own range of it. No weights find a network in a concave part of the front.

    Raises ConfigError for a study that is not settled, a text that is none of these, and limits that nothing keeps.
    """
    kept = _kept(results)
    wanted = text.strip()
    if wanted == "knee":
        assert results.knee is not None  # as there is a front
        return Picked(
            results.knee, "the knee of the front: its best compromise, nearest to the ideal of each objective"
        )
    if re.fullmatch("[0-9]{1,18}", wanted):
        numbered = _numbered(results, kept, int(wanted))
        return Picked(numbered, "asked for by its number", _broken(results, numbered))
    if wanted.startswith(_WEIGHTED):
        return _weighed(results, _weights(wanted.removeprefix(_WEIGHTED)))
    return _within(results, kept, _limits(wanted))


def _kept(results: Results) -> tuple[Trial, ...]:
    """The networks to choose from."""
    if not results.settled:
        where = f", in {results.origin}" if results.origin else ""
        raise ConfigError(
            f"{results.folder}: the study is not settled, and only what was recovered and measured in full is shipped: run "
            f"its search to the end (joulefront search STUDY.toml{where})"
        )
    if not results.front:
        raise ConfigError(f"{results.folder}: no network kept the study's limits, so that there is none to ship")
    unpruned = results.unpruned
    others = (unpruned,) if unpruned and unpruned not in results.front else ()
    return (*results.front, *others)


def _numbered(results: Results, kept: Sequence[Trial], number: int) -> Trial:
    by_number = {trial.number: trial for trial in kept}
    if number in by_number:
        return by_number[number]
    there = ", ".join(_named(results, trial) for trial in kept)
    asked = next((trial for trial in results.trials if trial.number == number), None)
    if asked is None:
        raise ConfigError(f"{results.folder}: there is no trial {number}; to choose from are {there}")
    if asked.failure:
        raise ConfigError(f"{results.folder}: trial {number} failed; to choose from are {there}")
    if asked.fidelity == "full":
        raise ConfigError(
            f"{results.folder}: trial {number} is not on the settled front, and so not kept; there are {there}"
        )
    same = next((trial for trial in kept if trial.genome == asked.genome), None)
    became = (
        f"settled, the same network is trial {same.number}" if same else "the same network is not on the settled front"
    )
    raise ConfigError(
        f"{results.folder}: trial {number} was screened in the search, and only the settled front is kept; {became}. "
        f"To choose from are {there}"
    )


def _named(results: Results, trial: Trial) -> str:
    return f"{trial.number} (unpruned)" if trial.genome == results.space.full else str(trial.number)


def _limits(text: str) -> list[_Limit]:
    limits = []
    for part in text.split(","):
        found = _LIMIT.fullmatch(part)
        if found is None:
            says_enough = re.search("[<>=]", part) or part.strip() in METRICS  # what is expected says it all
            hint = "" if says_enough else f"; {nearest(part.strip(), ('knee', *METRICS))}"
            raise ConfigError(f"cannot pick {part.strip()!r}: {_EXPECTED}{hint}")
        name, sign, bound = found.groups()
        if name not in METRICS:
            raise ConfigError(f"cannot pick {part.strip()!r}: unknown metric {name!r}; {nearest(name, METRICS)}")
        limits.append(_Limit(name, sign, float(bound)))
    return limits


def _within(results: Results, kept: Sequence[Trial], limits: Sequence[_Limit]) -> Picked:
    known = {trial.number: _estimates(trial) for trial in kept}
    wanted = ", ".join(map(str, limits))
    _check_known(kept, [limit.name for limit in limits])

    def excess(trial: Trial) -> float:
        return sum(limit.excess(known[trial.number][limit.name].value) for limit in limits)

    fits = [trial for trial in kept if all(limit.keeps(known[trial.number][limit.name].value) for limit in limits)]
    if not fits:
        closest = min(kept, key=excess)
        reached = ", ".join(f"{limit.name} {known[closest.number][limit.name].value:.4g}" for limit in limits)
        raise ConfigError(
            f"{results.folder}: none of the {len(kept)} settled networks has {wanted}; the nearest is trial "
            f"{_named(results, closest)} with {reached}"
        )
    cost = next((name for name in results.objectives if name not in _OF_ACCURACY), "latency_s")
    by_cost = all(limit.name in _OF_ACCURACY for limit in limits)

    def rank(trial: Trial) -> tuple[float, ...]:
        value = {name: estimate.value for name, estimate in known[trial.number].items()}
        return value[cost if by_cost else "error"], value["latency_s"], trial.number

    best = min(fits, key=rank)
    praise = f"the one with the least {cost}" if by_cost else "the most accurate"
    because = f"{praise} of {len(fits)} networks with {wanted}" if len(fits) > 1 else f"the only network with {wanted}"
    crossed = [_crossing(limit, known[best.number][limit.name]) for limit in limits]
    return Picked(best, because, (*filter(None, crossed), *_broken(results, best)))


def _weights(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in text.split(","):
        found = _WEIGHT.fullmatch(part)
        if found is None:
            raise ConfigError(f"cannot pick by the weight {part.strip()!r}: {_EXPECTED}")
        name = found[1]
        if name not in objectives.NAMES:
            raise ConfigError(
                f"cannot pick by the weight {part.strip()!r}: {name!r} is not minimised; {nearest(name, objectives.NAMES)}"
            )
        weights[name] = weights.get(name, 0.0) + float(found[2])
    if not any(weights.values()):
        raise ConfigError(f"cannot pick by weights that are all 0: {_EXPECTED}")
    return weights


def _weighed(results: Results, weights: Mapping[str, float]) -> Picked:
    _check_known(results.front, list(weights))
    known = {trial.number: _estimates(trial) for trial in results.front}
    total, shares = sum(weights.values()), dict.fromkeys(known, 0.0)
    for name, weight in weights.items():
        values = {number: estimates[name].value for number, estimates in known.items()}
        least, span = min(values.values()), max(values.values()) - min(values.values())
        for number, value in values.items():
            shares[number] += weight / total * (value - least) / (span or 1.0)
    best = min(results.front, key=lambda trial: (shares[trial.number], trial.number))
    parts = " and ".join(f"{weight / total:.3g} of {name}" for name, weight in weights.items())
    because = (
        f"the least weighted sum of {len(known)} networks of the front, {shares[best.number]:.3g}: {parts}, each from 0 to 1 "
        "over the front's own range; no weights find what lies in a concave part of the front"
    )
    return Picked(best, because)


def _check_known(trials: Sequence[Trial], names: Sequence[str]) -> None:
    """Raise ConfigError unless all of the trials have these."""
    for name in names:
        without = next((trial for trial in trials if name not in _estimates(trial)), None)
        if without is not None:
            raise ConfigError(f"cannot pick by {name}: {objectives.why_missing(name, without.measurement)}")


def _broken(results: Results, trial: Trial) -> tuple[str, ...]:
    """A warning for each of the study's own limits that a network breaks: no front has such a one, but the unpruned may."""
    return tuple(
        f"it breaks the study's own limit, {name} <= {limit:g}: {trial.limited[name]:.4g}"
        for name, limit in results.study.limits.given.items()
        if trial.limited[name] > limit
    )


def _crossing(limit: _Limit, estimate: Estimate) -> str:
    """A warning where the interval lies on both sides of the limit, or ""."""
    if limit.keeps(estimate.low) and limit.keeps(estimate.high):
        return ""
    return (
        f"{limit} is kept by the estimate, {estimate.value:.4g}, but not by all of its 95 % interval, "
        f"{estimate.low:.4g} to {estimate.high:.4g}"
    )


def _estimates(trial: Trial) -> dict[str, Estimate]:
    """What was found of a trial, by metric, of what is known; what has no interval reaches no further than its value."""
    if trial.candidate is None:
        raise ValueError(f"trial {trial.number} has no outcome")
    score = trial.candidate.score
    accuracy = Estimate(score.metric, 1 - score.error.high, 1 - score.error.low)
    found = objectives.found(trial.candidate, trial.artifact, trial.measurement)
    return {
        "accuracy": accuracy,
        **{
            name: one if isinstance(one, Estimate) else Estimate(one, one, one)
            for name, one in found.items()
            if one is not None
        },
    }
