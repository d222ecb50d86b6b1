"""The quantities that plots have on their axes and tables in their columns, as people read them: ms, mJ, %, MB.

A quantity's name is the one that it has in the JSON documents, whose values are in SI units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from joulefront.config import nearest
from joulefront.errors import ConfigError
from joulefront.records import Estimate, Score, Trial
from joulefront.results import Results

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """A quantity: what is shown is its SI value times ``factor``, in ``unit`` (none for counts)."""

    name: str
    label: str
    unit: str
    factor: float

    @property
    def title(self) -> str:
        """What stands beside the axis."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    def shown(self, value: float) -> str:
        """An SI value with its unit: four digits, and all digits of a count."""
        return f"{self.bare(value)} {self.unit}".rstrip()

    def bare(self, value: float) -> str:
        """The same without the unit."""
        return f"{value * self.factor:.4g}" if self.unit else f"{value * self.factor:,.0f}"


AXES = {
    axis.name: axis
    for axis in (
        Axis("error", "validation error", "%", 100.0),
        Axis("accuracy", "validation accuracy", "%", 100.0),
        Axis("test_accuracy", "test accuracy", "%", 100.0),
        Axis("latency_s", "latency", "ms", 1e3),
        Axis("energy_j", "energy", "mJ", 1e3),
        Axis("params", "parameters", "", 1.0),
        Axis("macs", "MACs", "", 1.0),
        Axis("size_b", "library", "MB", 1e-6),
    )
}


def axis_of(name: str) -> Axis:
    """The axis of a quantity. Raises ConfigError where there is none of that name."""
    if name not in AXES:
        raise ConfigError(f"no quantity is called {name!r}; {nearest(name, AXES)}")
    return AXES[name]


def value(trial: Trial, name: str) -> float | None:
    """A trial's value of a quantity in SI units; None where the trial never came to have it."""
    return _VALUES[name](trial)


def interval(trial: Trial, name: str) -> Interval | None:
    """The 95 % interval of ``value`` in SI units; None for what is counted, and where the interval has no end."""
    return finite(_INTERVALS[name](trial)) if name in _INTERVALS else None


def finite(ends: Interval | None) -> Interval | None:
    """An interval that has ends, or None: of one repeat alone it has none."""
    return ends if ends and all(map(math.isfinite, ends)) else None


def known_axes(results: Results) -> list[Axis]:
    """The quantities that at least one trial of a study has a value of."""
    return [axis for axis in AXES.values() if any(value(trial, axis.name) is not None for trial in results.trials)]


def default_axes(results: Results) -> tuple[str, str]:
    """The two that a front is drawn over: its first cost and its error, or whatever the study minimises."""
    costs = [name for name in results.objectives if name != "error"]
    x = costs[0] if costs else "latency_s"
    return x, "error" if "error" in results.objectives or len(costs) < 2 else costs[1]


def _error(trial: Trial) -> Estimate | None:
    return trial.candidate.score.error if trial.candidate else None


def _accuracy(score: Score | None) -> Interval | None:
    return (1 - score.error.high, 1 - score.error.low) if score else None


def _ends(estimate: Estimate | None) -> Interval | None:
    return (estimate.low, estimate.high) if estimate else None


def _latency_s(trial: Trial) -> Estimate | None:
    return trial.measurement.latency_s if trial.measurement else None


def _energy_j(trial: Trial) -> Estimate | None:
    return trial.measurement.energy_j if trial.measurement else None


def _middle(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate else None


_VALUES: dict[str, Callable[[Trial], float | None]] = {
    "error": lambda trial: _middle(_error(trial)),
    "accuracy": lambda trial: trial.candidate.score.metric if trial.candidate else None,
    "test_accuracy": lambda trial: trial.test.metric if trial.test else None,
    "latency_s": lambda trial: _middle(_latency_s(trial)),
    "energy_j": lambda trial: _middle(_energy_j(trial)),
    "params": lambda trial: trial.candidate.params if trial.candidate else None,
    "macs": lambda trial: trial.candidate.macs if trial.candidate else None,
    "size_b": lambda trial: trial.artifact.size_b if trial.artifact else None,
}
_INTERVALS: dict[str, Callable[[Trial], Interval | None]] = {
    "error": lambda trial: _ends(_error(trial)),
    "accuracy": lambda trial: _accuracy(trial.candidate.score if trial.candidate else None),
    "test_accuracy": lambda trial: _accuracy(trial.test),
    "latency_s": lambda trial: _ends(_latency_s(trial)),
    "energy_j": lambda trial: _ends(_energy_j(trial)),
}
