"""The quantities that plots have on their axes and tables in their columns, as people read them: ms, mJ, %, MB.

A quantity's name is the one that it has in the JSON documents, whose values are in SI units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from joulefront import derived, objectives
from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront.records import Estimate, Score, Trial
from joulefront.results import Results

Interval = tuple[float, float]

OF_DEVICE = ("latency_s", "latency_p99_s", "energy_j", "memory_b")
"""What was measured on a device, or simulated; ``derived.NAMES`` follow from it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A quantity: what is shown is its SI value times ``factor``, in ``unit``.

    ``label`` is for the axes of plots, ``short`` for the headings of tables. What ``is_counted`` has no unit.
    """

    name: str
    label: str
    short: str
    unit: str
    factor: float
    is_counted: bool = False

    @property
    def title(self) -> str:
        """What stands beside the axis."""
        return self._with_unit(self.label)

    @property
    def heading(self) -> str:
        """What stands over a column."""
        return self._with_unit(self.short)

    def _with_unit(self, text: str) -> str:
        return f"{text}, {self.unit}" if self.unit else text

    def shown(self, value: float) -> str:
        """An SI value with its unit: four digits, and all digits of a count."""
        return f"{self.bare(value)} {self.unit}".rstrip()

    def bare(self, value: float) -> str:
        """The same without the unit."""
        return f"{value * self.factor:,.0f}" if self.is_counted else f"{value * self.factor:.4g}"


AXES = {
    axis.name: axis
    for axis in (
        Axis("error", "validation error", "error", "%", 100.0),
        Axis("accuracy", "validation accuracy", "valid.", "%", 100.0),
        Axis("test_accuracy", "test accuracy", "test", "%", 100.0),
        Axis("precision_error", "precision error (validation)", "precision error", "%", 100.0),
        Axis("recall_error", "recall error (validation)", "recall error", "%", 100.0),
        Axis("f1_error", "F1 error (validation)", "F1 error", "%", 100.0),
        Axis("loss", "validation loss", "loss", "", 1.0),
        Axis("latency_s", "latency", "latency", "ms", 1e3),
        Axis("latency_p99_s", "latency p99", "latency p99", "ms", 1e3),
        Axis("energy_j", "energy", "energy", "mJ", 1e3),
        Axis("net_j", "net energy", "net", "mJ", 1e3),
        Axis("power_w", "power", "power", "W", 1.0),
        Axis("inferences_per_j", "inferences per joule", "per joule", "1/J", 1.0),
        Axis("energy_delay_js", "energy-delay product", "energy-delay", "mJ ms", 1e6),
        Axis("params", "parameters", "parameters", "", 1.0, is_counted=True),
        Axis("macs", "MACs", "MACs", "", 1.0, is_counted=True),
        Axis("size_b", "library", "library", "MB", 1e-6),
        Axis("packed_b", "packed library", "packed", "MB", 1e-6),
        Axis("memory_b", "peak memory", "memory", "MB", 1e-6),
    )
}


def axis_of(name: str) -> Axis:
    """The axis of a quantity. Raises ConfigError where there is none of that name."""
    if name not in AXES:
        raise ConfigError(f"no quantity is called {name!r}; {nearest(name, AXES)}")
    return AXES[name]


def value(trial: Trial, name: str) -> float | None:
    """A trial's value of a quantity in SI units; None where the trial never came to have it."""
    if name in _OF_SCORES:
        score = _OF_SCORES[name](trial)
        return score.metric if score else None
    return objectives.value(_found(trial)[name])


def interval(trial: Trial, name: str) -> Interval | None:
    """The 95 % interval of ``value`` in SI units; None for what is counted, and where the interval has no end."""
    if name in _OF_SCORES:
        score = _OF_SCORES[name](trial)
        return (1 - score.error.high, 1 - score.error.low) if score else None
    return finite(objectives.interval(_found(trial)[name]))


def provenance(trial: Trial, name: str) -> str | None:
    """The word for how a value came about that is the device's, such as "measured"; None for any other."""
    if trial.measurement is None or value(trial, name) is None:
        return None
    if name in derived.NAMES:
        return derived.provenance(trial.measurement, name)
    if name not in OF_DEVICE:
        return None
    return trial.measurement.energy_provenance if name == "energy_j" else trial.measurement.provenance


def indicative(trial: Trial, name: str) -> str | None:
    """Why the interval of ``value`` may not hold the truth in 95 % of cases; None where nothing says so."""
    found = _found(trial).get(name)
    return found.indicative if isinstance(found, Estimate) else None


def titled(axis: Axis, trials: Iterable[Trial]) -> str:
    """What stands beside the axis where these trials are shown: with the words for how its values came about."""
    words = sorted({word for trial in trials if (word := provenance(trial, axis.name))})
    return f"{axis.title} ({' and '.join(words)})" if words else axis.title


def finite(ends: Interval | None) -> Interval | None:
    """An interval that has ends, or None: of one repeat alone it has none."""
    return ends if ends and all(map(math.isfinite, ends)) else None


def known_axes(results: Results) -> list[Axis]:
    """The quantities that at least one trial of a study has a value of."""
    return [axis for axis in AXES.values() if any(value(trial, axis.name) is not None for trial in results.trials)]


def default_axes(results: Results) -> tuple[str, str]:
    """The two that a front is drawn over: its first cost and its first judgement, or whatever the study minimises."""
    costs = [name for name in results.objectives if name not in objectives.JUDGED]
    judged = [name for name in results.objectives if name in objectives.JUDGED]
    return costs[0] if costs else "latency_s", judged[0] if judged else costs[1] if len(costs) > 1 else "error"


def _found(trial: Trial) -> dict[str, objectives.Found]:
    return {**objectives.found(trial.candidate, trial.artifact, trial.measurement), **derived.found(trial.measurement)}


_OF_SCORES: dict[str, Callable[[Trial], Score | None]] = {
    "accuracy": lambda trial: trial.candidate.score if trial.candidate else None,
    "test_accuracy": lambda trial: trial.test,
}
