"""What can be minimised or limited, and what was found of it: the one place that knows where each quantity is kept.

All are minimised, in SI units.
"""

from __future__ import annotations

from typing import get_args

from joulefront.config import Objective
from joulefront.errors import ConfigError, TrainError
from joulefront.records import Artifact, Candidate, Estimate, Measurement

NAMES: tuple[Objective, ...] = get_args(Objective)
MACRO: tuple[Objective, ...] = ("precision_error", "recall_error", "f1_error")
"""Shares of mistakes that only a classifier has, 1 less an average over its classes."""
JUDGED: tuple[Objective, ...] = ("error", *MACRO, "loss")
"""What hangs on the examples alone, which are the same for all candidates of a study; all but the loss are shares."""

Found = Estimate | float | None
"""An Estimate with its interval, a plain number of what is counted or has no interval, None of what is not known."""


def found(candidate: Candidate | None, artifact: Artifact | None, measurement: Measurement | None) -> dict[str, Found]:
    """Everything that can be an objective or a limit, by name, of as much as there is of a network."""
    score = candidate.score if candidate else None
    return {
        "error": score.error if score else None,
        "precision_error": score.macro.get("precision_error") if score else None,
        "recall_error": score.macro.get("recall_error") if score else None,
        "f1_error": score.macro.get("f1_error") if score else None,
        "loss": score.loss if score else None,
        "latency_s": measurement.latency_s if measurement else None,
        "latency_p99_s": measurement.latency_p99_s if measurement else None,
        "energy_j": measurement.energy_j if measurement else None,
        "size_b": artifact.size_b if artifact else None,
        "packed_b": artifact.packed_b if artifact else None,
        "params": candidate.params if candidate else None,
        "macs": candidate.macs if candidate else None,
        "memory_b": measurement.memory_b if measurement else None,
    }


def value(one: Found) -> float | None:
    """The number alone."""
    return one.value if isinstance(one, Estimate) else one


def interval(one: Found) -> tuple[float, float] | None:
    """The 95 % interval of what was estimated."""
    return (one.low, one.high) if isinstance(one, Estimate) else None


def missing(name: str, measurement: Measurement | None) -> TrainError | ConfigError:
    """The error that a study meets with a network that has no such quantity: the network's fault, or else the study's."""
    reason = why_missing(name, measurement)
    if name == "loss":
        return TrainError(reason)
    longer = ", or give [measure] timeout_s more" if name == "latency_p99_s" else ""
    return ConfigError(f"{name} cannot be told: {reason}. Leave it out of objectives and [limits]{longer}")


def why_missing(name: str, measurement: Measurement | None) -> str:
    """Why a network has no such quantity, in words."""
    reasons: dict[str, str] = {
        **dict.fromkeys(MACRO, "only of a classifier is it known, and of what this version judged"),
        "loss": "the task's loss is not a finite number on the validation split, or an earlier version judged",
        "packed_b": "an earlier version compiled",
    }
    if measurement is not None:
        reasons["energy_j"] = str(measurement.energy_reason)
        reasons["latency_p99_s"] = str(measurement.latency_p99_reason)
        reasons["memory_b"] = str(measurement.memory_reason)
    return reasons.get(name, "it was not measured")
