"""A comparison's numbers, recomputed from the databases alone: nothing of Joulefront is imported here.

As a script: ``python recomputed.py FOLDER FOLDER`` prints them as JSON.
"""

import json
import math
import sqlite3
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

Figures = dict[str, tuple[float, float, float]]
"""Value, low and high of each objective."""


class Study:
    """A settled study, as its folder holds it; networks are named by their widths."""

    def __init__(self, folder: Path) -> None:
        with sqlite3.connect(f"file:{folder / 'study.sqlite'}?mode=ro", uri=True) as database:
            facts = {name: json.loads(value) for name, value in database.execute("SELECT name, value FROM facts")}
            decided = {name: json.loads(v) for name, v in database.execute("SELECT name, value FROM decisions")}
            trials = [json.loads(row) for (row,) in database.execute("SELECT record FROM trials ORDER BY number")]
            visits = [json.loads(row) for (row,) in database.execute("SELECT record FROM visits ORDER BY session")]
        self.name = (folder / "study.toml").read_text().partition('name = "')[2].partition('"')[0]
        database.close()
        self.objectives = facts["objectives"]["names"]
        self.unpruned = tuple(gene["options"][-1] for gene in facts["space"]["genes"])
        ran = [trial for trial in trials if trial["failure"] is None]
        self._own = {trial["number"]: figures(trial)["latency_s"] for trial in ran}
        self.visits = [visit for visit in visits if visit["measurement"]]
        self.settled = {widths_of(trial): figures(trial) for trial in ran if trial["fidelity"] == "full"}
        self.screened = {widths_of(trial): figures(trial) for trial in ran if trial["fidelity"] == "screen"}
        guests = {widths_of(visit): figures(visit) for visit in self.visits}
        self.known = {**guests, **self.settled}
        self.any_grade = {**self.screened, **guests, **self.settled}
        by_number = {trial["number"]: widths_of(trial) for trial in ran}
        self.front = [by_number[number] for number in decided["settled"]]

    def beaten(self, widths: tuple[int, ...]) -> bool:
        """Whether a network of the front beats that one here, as it was measured and as it would be without drift."""
        others = [self.known[other] for other in self.front if other != widths]
        return all(
            any(self._beats(other, without_drift(self.known[widths], ratio)) for other in others)
            for ratio in self._drift(widths)
        )

    def _beats(self, ours: Figures, theirs: Figures) -> bool:
        if any(ours[name][0] > theirs[name][0] for name in self.objectives):
            return False
        # The error is compared by its value, everything else by its interval.
        return ours["error"][0] < theirs["error"][0] or any(
            ours[name][2] < theirs[name][1] for name in self.objectives if name != "error"
        )

    def _drift(self, widths: tuple[int, ...]) -> list[float]:
        """1 for what was measured, and what the canary beside a visit has drifted by."""
        ratios = [1.0]
        if widths in self.settled:
            return ratios
        session = next(visit["session"] for visit in self.visits if widths_of(visit) == widths)
        for canary in (one for one in self.visits if (one["session"], one["home"]) == (session, self.name)):
            now, then = figures(canary)["latency_s"], self._own[canary["number"]]
            ratio = now[0] / then[0]
            shares = [(high - low) / 2 / value for value, low, high in (now, then)]
            if abs(math.log(ratio)) > math.hypot(*shares):
                ratios.append(ratio)
        return ratios

    def limits(self) -> dict[str, float]:
        """The hypervolume's reference point."""
        full = self.settled[self.unpruned]
        return {
            name: min(full[name][0] + 0.2, 1.0) if name == "error" else 1.1 * full[name][0] for name in self.objectives
        }

    def hypervolume(self) -> float:
        """Of two objectives: a staircase, summed step by step."""
        limits = list(self.limits().values())
        points = sorted(tuple(self.known[w][name][0] for name in self.objectives) for w in self.front)
        steps, best = [], math.inf
        for x, y in points:
            if x < limits[0] and y < limits[1] and y < best:
                best = y
                steps.append((x, y))
        area = sum((after[0] - before[0]) * (limits[1] - before[1]) for before, after in pairwise(steps))
        area += (limits[0] - steps[-1][0]) * (limits[1] - steps[-1][1])
        return area / (limits[0] * limits[1])

    def regret(self, widths: tuple[int, ...]) -> float:
        """How much farther from the ideal than the knee."""
        limits = self.limits()
        inside = [w for w in self.front if all(self.known[w][name][0] < limits[name] for name in self.objectives)]
        assert inside

        def distance(w: tuple[int, ...]) -> float:
            total = 0.0
            for name in self.objectives:
                values = [self.known[one][name][0] for one in inside]
                if self.known[w][name][0] >= limits[name]:
                    return math.inf
                best = min(values)
                total += (max(0.0, self.known[w][name][0] - best) / (max(values) - best or best or 1.0)) ** 2
            return math.sqrt(total)

        return distance(widths) - min(distance(w) for w in inside)

    def slower(self, widths: tuple[int, ...]) -> float | None:
        """Its latency by the least of the front at such an error; None where the front has none."""
        mine = self.known[widths]
        others = [self.known[w] for w in self.front if self.known[w]["error"][0] <= mine["error"][0]]
        return mine["latency_s"][0] / min(other["latency_s"][0] for other in others) if others else None


def without_drift(found: Figures, ratio: float) -> Figures:
    """The latency and its interval, had the device not become slower by that."""
    value, low, high = found["latency_s"]
    return {**found, "latency_s": (value / ratio, low / ratio, high / ratio)}


def widths_of(record: dict) -> tuple[int, ...]:
    return tuple(record["candidate"]["pruning"]["widths"].values())


def figures(record: dict) -> Figures:
    """Value, low and high of each objective."""
    measurement, error = record["measurement"], record["candidate"]["score"]["error"]
    found = {"error": error, "latency_s": measurement["latency_s"], "energy_j": measurement["energy_j"]}
    return {name: (one["value"], one["low"], one["high"]) for name, one in found.items() if one}


def survival(one: Study, other: Study) -> tuple[int, int]:
    """Of one's front: how many are not beaten on the other, and how many were measured there."""
    there = [widths for widths in one.front if widths in other.known]
    return sum(not other.beaten(widths) for widths in there), len(there)


def ranks(values: list[float]) -> np.ndarray:
    """From 1, equal ones share their mean rank."""
    return np.array([1 + sum(v < value for v in values) + (values.count(value) - 1) / 2 for value in values])


def spearman(one: Study, other: Study) -> tuple[float, int]:
    """Of latency, over the networks that both measured."""
    both = [widths for widths in one.any_grade if widths in other.any_grade]
    a, b = (ranks([study.any_grade[widths]["latency_s"][0] for widths in both]) for study in (one, other))
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt((a @ a) * (b @ b))
    return float(a @ b) / spread if spread else math.nan, len(both)


def best_single(studies: list[Study]) -> tuple[tuple[int, ...], list[float], list[float]]:
    """The network of any front with the least worst regret: its widths, its regrets, and by how much it is slower."""
    every = {widths for study in studies for widths in study.front if all(widths in s.known for s in studies)}
    best = min(every, key=lambda widths: max(study.regret(widths) for study in studies))
    return best, [study.regret(best) for study in studies], [study.slower(best) for study in studies]


def recompute(folders: list[Path]) -> dict:
    """All of it, in the order of the folders."""
    studies = [Study(folder) for folder in folders]
    pairs = [(a, b) for a in range(len(studies)) for b in range(len(studies)) if a != b]
    widths, regrets, slower = best_single(studies)
    return {
        "survival": {f"{a} {b}": survival(studies[a], studies[b]) for a, b in pairs},
        "spearman": {f"{a} {b}": spearman(studies[a], studies[b]) for a, b in pairs},
        "hypervolume": [study.hypervolume() for study in studies],
        "best": {"widths": list(widths), "regret": regrets, "slower": slower},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(recompute([Path(folder) for folder in sys.argv[1:]]), indent=2) + "\n")
