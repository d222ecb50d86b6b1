"""The JSON documents of the command line. Stable: fields may be added, none is renamed. All values are in SI units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from joulefront import derived, objectives
from joulefront.records import Artifact, Measurement, Trial, Tuned
from joulefront.report import drift, energy
from joulefront.report.axes import OF_DEVICE, indicative, provenance
from joulefront.report.composition import composition
from joulefront.report.estimated import estimated
from joulefront.report.pruned import pruned
from joulefront.results import Results


def front(results: Results) -> dict[str, Any]:
    """A study's front, as ``joulefront front --json`` prints it: the settled one, or the search's while it goes on."""
    unpruned, knee, volume = results.unpruned, results.knee, results.hypervolume
    return {
        "study": results.name,
        "devices": [results.study.device],
        "state": "settled" if results.settled else "searching",
        "objectives": list(results.objectives),
        "reference": point(unpruned) if unpruned else None,
        "reference_reason": None if unpruned else _why_no_reference(results),
        "front": [point(trial) for trial in results.front],
        "knee": knee.number if knee else None,
        "trials": _count(results.trials),
        "hypervolume": {
            "value": volume.value if volume else None,
            "reference_point": dict(volume.reference_point) if volume else None,
        },
        "meter": energy.meter_of(results.comparable),
        "drift": drift.document(results),
    }


def point(trial: Trial) -> dict[str, Any]:
    """One trial of a front."""
    candidate, artifact, measurement = trial.candidate, trial.artifact, trial.measurement
    if candidate is None or artifact is None or measurement is None:
        raise ValueError(f"trial {trial.number} has no outcome")
    found = objectives.found(candidate, artifact, measurement)
    return {
        "trial": trial.number,
        "genome": list(trial.genome),
        **pruned(candidate.pruning),
        "objectives": dict(trial.objectives),
        "intervals": {name: list(interval) for name, interval in trial.intervals.items()},
        "metrics": {
            "accuracy": candidate.score.metric,
            "test_accuracy": trial.test.metric if trial.test else None,
            **{name: objectives.value(one) for name, one in found.items() if name != "error"},
            **{name: objectives.value(one) for name, one in derived.found(measurement).items()},
        },
        "violation": trial.violation,
        "fidelity": trial.fidelity,
        "grade": measurement.grade,
        "provenance": {
            **{
                name: provenance(trial, name) or f"none: {objectives.why_missing(name, measurement)}"
                for name in OF_DEVICE
            },
            **{
                name: provenance(trial, name) or f"none: {derived.why_missing(name, measurement)}"
                for name in derived.NAMES
            },
        },
        "indicative": {name: why for name in OF_DEVICE if (why := indicative(trial, name))},
        **energy.made_of(measurement),
        "set_aside": list(measurement.set_aside),
        "warnings": list(measurement.warnings),
    }


def why_off_front(violation: float) -> str:
    """Why a network that was measured is on no front, where it breaks the study's limits by ``violation``."""
    return "it breaks the study's limits" if violation else "another one is at least as good in everything"


def trials(results: Results) -> list[dict[str, Any]]:
    """Every trial of a study, as ``joulefront trials --json`` prints it: a ``point`` where it ran, else its failure.

    ``roles`` says which is ``unpruned``, on the ``front`` and its ``knee``; ``recorded`` is in ISO 8601.
    """
    role = roles(results)
    return [
        {
            **(point(trial) if trial.failure is None else _failed(results, trial)),
            "violation": trial.violation if trial.failure is None else None,
            "roles": role[trial.number],
            "recorded": results.recorded[trial.number].isoformat(),
        }
        for trial in results.trials
    ]


def roles(results: Results) -> dict[int, list[str]]:
    """What each trial is to its study, by its number: ``unpruned``, on the ``front``, its ``knee``, or none of these."""
    front = {trial.number for trial in results.front}
    knee = results.knee.number if results.knee else None
    return {
        trial.number: [
            *(["unpruned"] if trial.genome == results.space.full else []),
            *(["front"] if trial.number in front else []),
            *(["knee"] if trial.number == knee else []),
        ]
        for trial in results.trials
    }


def measurement(device: str, measured: Measurement) -> dict[str, Any]:
    """A measurement of one model."""
    samples_s = np.concatenate([np.asarray(repeat) for repeat in measured.repeats_s])
    return {
        "device": device,
        "latency_s": {
            "median": measured.latency_s.value,
            "interval": [measured.latency_s.low, measured.latency_s.high],
            "indicative": measured.latency_s.indicative,
            "p90": float(np.quantile(samples_s, 0.9)),
            "p99": measured.latency_p99_s.value if measured.latency_p99_s else None,
            "samples": len(samples_s),
        },
        "energy_j": estimated(measured.energy_j),
        "reason": measured.energy_reason,
        **energy.made_of(measured),
        "latency_p99_s": estimated(measured.latency_p99_s),
        "latency_p99_reason": measured.latency_p99_reason,
        "memory_b": estimated(measured.memory_b),
        "memory_reason": measured.memory_reason,
        "provenance": {
            "latency_s": measured.provenance,
            "energy_j": measured.energy_provenance,
            "latency_p99_s": measured.provenance if measured.latency_p99_s else None,
            "memory_b": measured.provenance if measured.memory_b else None,
            **{name: derived.provenance(measured, name) for name in derived.NAMES},
        },
        "grade": measured.grade,
        "conditions": {when: dict(values) for when, values in measured.conditions.items()},
        "set_aside": list(measured.set_aside),
        "warnings": list(measured.warnings),
    }


def tuned(device: str, found: Tuned) -> dict[str, Any]:
    """What tuning a model came to, as ``joulefront tune --json`` prints it."""
    return {
        "device": device,
        "kernels": {"known": found.known, "tried": found.tried, "changed": found.changed, "left": found.left},
        "kept": found.kept,
        "untuned": measurement(device, found.before),
        "tuned": measurement(device, found.after),
        "ratio": found.after.latency_s.value / found.before.latency_s.value,
    }


def model(device: str, artifact: Artifact, measured: Measurement) -> dict[str, Any]:
    """A model that was compiled and measured, as ``joulefront measure --json`` prints it."""
    sizes = {"size_b": artifact.size_b, "packed_b": artifact.packed_b}
    return {**measurement(device, measured), **sizes, **composition(artifact)}


def _failed(results: Results, trial: Trial) -> dict[str, Any]:
    if trial.failure is None:
        raise ValueError(f"trial {trial.number} did not fail")
    return {
        "trial": trial.number,
        "genome": list(trial.genome),
        **pruned(results.space.pruning(trial.genome)),
        "fidelity": trial.fidelity,
        "failure": {"kind": trial.failure.kind, "message": trial.failure.message},
    }


def _why_no_reference(results: Results) -> str:
    space = results.space
    failed = [trial.failure for trial in results.comparable if trial.genome == space.full and trial.failure]
    return f"the unpruned network failed: {failed[0].kind}: {failed[0].message}" if failed else "not measured yet"


def _count(trials: Sequence[Trial]) -> dict[str, int]:
    failed = sum(trial.failure is not None for trial in trials)
    return {"ok": len(trials) - failed, "failed": failed}
