"""How often the bench's intervals hold what is true, on simulated studies of a device whose truth is known. Prints JSON.

    python benchmarks/coverage.py [--studies N] [--seed S]
    python benchmarks/coverage.py --factors   # the table in joulefront.bench.statistics, anew

The target is 93 to 97 % of 2,000 studies, or an interval that says that it is only indicative. Each share has its own
interval (Wilson 1927, 95 %). Nothing is measured and no clock is read: any machine gives the same. It takes five minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from scipy.special import stdtrit
from scipy.stats import binomtest
from simulated_studies import CASES, Case, Numbers, drifting

from joulefront import estimates
from joulefront.bench.statistics import of_repeats, ratio_of_repeats, relative_width
from joulefront.records import Estimate

REPEATS = range(3, 11)
FIRST = (3, 4, 5)
NARROW = 0.02
MOST = 12
FULL = 5
SIX = 6  # a block: five networks beside the unpruned one
BETWEEN = (0.003, 0.007, 0.01, 0.015, 0.02, 0.03)
TARGET = (0.93, 0.97)
LEVEL = 0.95


def shares(found: Sequence[Estimate], truths: Sequence[float]) -> dict[str, Any]:
    """How many cover what is true, how many say that they are indicative, and of the others how many cover."""
    covers = [one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)]
    plain = [covered for one, covered in zip(found, covers, strict=True) if one.indicative is None]
    indicative = 1 - len(plain) / len(found)
    covered = share(covers)
    return {
        **covered,
        "indicative": indicative,
        "covered_if_not": share(plain),
        "median_half_width": float(np.median([relative_width(one) for one in found])),
        "verdict": verdict(covered, indicative),
    }


def share(covers: Sequence[bool]) -> dict[str, Any]:
    """The share that covers, with its interval; None of none."""
    if not covers:
        return {"covered": None, "interval": None}
    found = binomtest(sum(covers), len(covers))
    interval = found.proportion_ci(method="wilson")
    return {"covered": found.statistic, "interval": [interval.low, interval.high]}


def verdict(covered: dict[str, Any], indicative: float) -> str:
    """Whether the target is within the share's interval; what is not is mostly indicative, or it is said what it is."""
    low, high = covered["interval"]
    if low <= TARGET[1] and high >= TARGET[0]:
        return "93 to 97 %"
    if indicative > 0.5:
        return "indicative"
    return "wider than need be" if low > TARGET[1] else "too narrow"


def fixed(case: Case, studies: int, seed: int) -> dict[str, Any]:
    """A fixed number of repeats."""
    truths = [case.truth(np.random.default_rng([seed, 0]))] * studies
    return {
        str(repeats): shares(
            [
                of_repeats(one)
                for one in case.figures(studies, repeats, np.random.default_rng([seed, repeats])).tolist()
            ],
            truths,
        )
        for repeats in REPEATS
    }


def stopped(case: Case, studies: int, seed: int) -> dict[str, Any]:
    """Repeats that stop as soon as the interval is within ± 2 %, or at 12, from some number of them on.

    The session is over when they stop.
    """
    truths = [case.truth(np.random.default_rng([seed, 0]), count / MOST) for count in range(1, MOST + 1)]
    figures = case.figures(studies, MOST, np.random.default_rng([seed, 1])).tolist()
    found = {}
    for first in FIRST:
        counts = [narrow(one, first) for one in figures]
        made = [of_repeats(one[:count]) for one, count in zip(figures, counts, strict=True)]
        shown = shares(made, [truths[count - 1] for count in counts])
        found[str(first)] = {**shown, "repeats": float(np.mean(counts))}
    return found


def together(case: Case, studies: int, seed: int) -> dict[str, Any]:
    """Blocks of six equal networks at full grade, which go on until all of them are within ± 2 % at once, or to 12 repeats.

    ``one`` is how often a network's interval holds the truth, ``ratio`` how often that of two networks' ratio holds 1.
    """
    truths = [case.truth(np.random.default_rng([seed, 0]), count / MOST) for count in range(1, MOST + 1)]
    figures = case.figures(studies, MOST, np.random.default_rng([seed, 2])).tolist()
    found, expected, ratios_, counts = [], [], [], []
    for start in range(0, studies - SIX + 1, SIX):
        block = figures[start : start + SIX]
        for count in range(FULL, MOST + 1):
            made = [of_repeats(one[:count]) for one in block]
            if max(map(relative_width, made)) <= NARROW:
                break
        counts.append(count)
        found += made
        expected += [truths[count - 1]] * SIX
        ratios_ += [estimates.ratio(one, other) for one, other in zip(made[::2], made[1::2], strict=True)]
    return {
        "one": shares(found, expected),
        "ratio": shares(ratios_, [1.0] * len(ratios_)),
        "repeats": float(np.mean(counts)),
    }


def narrow(figures: Sequence[float], first: int) -> int:
    """Of how many repeats the estimate is the first that is narrow enough, or all."""
    counts = range(first, MOST)
    return next((count for count in counts if relative_width(of_repeats(figures[:count])) <= NARROW), MOST)


def ratios(studies: int, seed: int) -> dict[str, Any]:
    """Two networks that are equally quick, in the same rounds of a session that drifts by 3 %, and otherwise."""
    found: dict[str, Any] = {}
    for name, paired, common in (("rounds", True, True), ("apart", False, False)):
        case = CASES["independent"]
        found[name] = {}
        for repeats in REPEATS:
            random = np.random.default_rng([seed, repeats, paired])
            one, other = (case.figures(studies, repeats, random) for _ in range(2))
            if common:  # what a round does to both: a random walk on top of the drift
                walk = 0.01 * np.cumsum(random.standard_normal((studies, repeats)), axis=1)
                drift = 0.03 * np.arange(repeats) / repeats
                one, other = one * (1 + walk + drift), other * (1 + walk + drift)
            found[name][str(repeats)] = shares(
                [ratio_of_repeats(*pair, paired) for pair in zip(one.tolist(), other.tolist(), strict=True)],
                [1.0] * studies,
            )
    return found


def factors(seed: int) -> dict[str, Any]:
    """What ``statistics`` has in its tables: the median of normal figures around a line, by its own scatter."""
    found = {}
    for repeats in range(2, 21):
        random, tops, ratios_ = np.random.default_rng([seed, repeats]), [], []
        for _ in range(10):
            figures = random.standard_normal((100_000, repeats))
            rest = without_line(figures) if repeats > 3 else figures
            freedom = repeats - (2 if repeats > 3 else 1)
            centred = rest - rest.mean(axis=1, keepdims=True)
            squares = np.sum(centred**2, axis=1)
            tops.append(np.abs(np.median(rest, axis=1)) / np.sqrt(squares / freedom) * math.sqrt(repeats))
            ratios_.append(np.sum(np.diff(rest, axis=1) ** 2, axis=1) / squares)
        factor = float(np.quantile(np.concatenate(tops), LEVEL)) / float(stdtrit(freedom, (1 + LEVEL) / 2))
        found[str(repeats)] = {"factor": factor, "ratio": float(np.quantile(np.concatenate(ratios_), 0.025))}
    return found


def without_line(figures: Numbers) -> Numbers:
    """Each row less the line of Theil and Sen through it."""
    repeats = figures.shape[1]
    first, second = np.triu_indices(repeats, 1)
    slopes = np.median((figures[:, second] - figures[:, first]) / (second - first), axis=1, keepdims=True)
    rest: Numbers = figures - slopes * (np.arange(repeats) - (repeats - 1) / 2)
    return rest


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--factors", action="store_true")
    given = parser.parse_args()
    if given.factors:
        print(json.dumps(factors(given.seed), indent=1))
        return
    found: dict[str, Any] = {"studies": given.studies, "seed": given.seed, "fixed": {}, "stopped": {}, "together": {}}
    found |= {"numpy": np.__version__, "scipy": scipy.__version__, "provenance": "simulated"}
    for name, case in CASES.items():
        print(name, file=sys.stderr, flush=True)
        found["fixed"][name] = {"words": case.words, "repeats": fixed(case, given.studies, given.seed)}
    for between in BETWEEN:
        for name, case in (
            ("independent", Case("", between=between)),
            ("autocorrelated", Case("", between=between, correlated=True)),
            ("drift 3 %", drifting(0.03, between=between)),
        ):
            print(f"stopped, {name}, {between:.1%} between repeats", file=sys.stderr, flush=True)
            at = f"{between:.1%}"
            found["stopped"].setdefault(name, {})[at] = stopped(case, given.studies, given.seed)
            found["together"].setdefault(name, {})[at] = together(case, 3 * given.studies, given.seed)
    found["ratio"] = ratios(given.studies, given.seed)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
