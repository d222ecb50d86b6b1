"""What each part of a network costs and is worth, as ``joulefront sensitivity --json`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from joulefront.estimates import ratio, within_one_meter
from joulefront.records import Estimate, Measurement
from joulefront.report.pruned import pruned
from joulefront.sensitivity_records import Cut, Measured, Part, Sensitivity

NO_DEVICE = "no device was named, and nothing is estimated: --device measures"


def document(found: Sensitivity) -> dict[str, Any]:
    """The document; latency and energy are None, with the reason, where no device was asked."""
    measured = found.measured
    return {
        "model": found.model,
        "criterion": found.criterion,
        "device": measured.device if measured else None,
        "examples": found.score.examples,
        "interval_reason": found.interval_reason,
        "unpruned": {
            "metric": found.score.metric,
            "loss": found.score.loss,
            "params": found.params,
            "macs": found.macs,
            **_unpruned(measured),
        },
        "drift": _valued(measured.drift, "ratio") if measured else None,
        "provenance": _provenance(measured),
        "grade": measured.unpruned[0].grade if measured else None,
        "parts": [_part(part) for part in found.parts],
        "cuts": [_cut(cut, measured) for cut in found.cuts],
        "left_alone": dict(found.left_alone),
        "warnings": _warnings(measured.unpruned) if measured else [],
    }


def _unpruned(measured: Measured | None) -> dict[str, Any]:
    if measured is None:
        return {"latency_s": None, "energy_j": None, "measured_s": []}
    return {
        "latency_s": _valued(measured.latency_s, "median"),
        "energy_j": _valued(measured.metered.energy_j, "median") if measured.metered else None,
        "measured_s": [_valued(one.latency_s, "median") for one in measured.unpruned],
    }


def _provenance(measured: Measured | None) -> dict[str, str]:
    if measured is None:
        return {"latency_s": f"none: {NO_DEVICE}", "energy_j": f"none: {NO_DEVICE}"}
    first = measured.unpruned[0]
    return {
        "latency_s": first.provenance,
        "energy_j": first.energy_provenance or f"none: {first.energy_reason}",
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "part": part.name,
        "kind": "block" if part.channels is None else "width",
        "channels": part.channels,
        "contribution": part.contribution,
        "contribution_reason": part.contribution_reason,
        "carried": part.carried,
        "carried_reason": part.carried_reason,
    }


def _cut(cut: Cut, measured: Measured | None) -> dict[str, Any]:
    latency_s = cut.measurement.latency_s if cut.measurement else None
    energy_j = cut.measurement.energy_j if cut.measurement else None
    return {
        "part": cut.part,
        "width": cut.width,
        **pruned(cut.pruning),
        "metric": cut.score.metric if cut.score else None,
        "change": cut.change,
        "interval": list(cut.interval) if cut.interval else None,
        "loss": cut.score.loss if cut.score else None,
        "params": cut.params,
        "macs": cut.macs,
        "carried": cut.carried,
        "carried_reason": cut.carried_reason,
        "latency_s": _valued(latency_s, "median"),
        "latency_share": _valued(ratio(latency_s, measured.latency_s), "ratio") if latency_s and measured else None,
        "energy_j": _valued(energy_j, "median"),
        "energy_share": _valued(_energy_share(cut.measurement, measured.metered), "ratio") if measured else None,
        "failure": {"kind": cut.failure.kind, "message": cut.failure.message} if cut.failure else None,
        "warnings": list(cut.measurement.warnings) if cut.measurement else [],
    }


def _valued(estimate: Estimate | None, name: str) -> dict[str, Any] | None:
    if not estimate:
        return None
    return {name: estimate.value, "interval": [estimate.low, estimate.high], "indicative": estimate.indicative}


def _energy_share(cut: Measurement | None, whole: Measurement | None) -> Estimate | None:
    """The cut network's joules by the unpruned one's, without what is off in all joules of the one meter alike."""
    joules = [_own(one) for one in (cut, whole) if one and one.energy_j]
    return ratio(*joules) if len(joules) == 2 else None


def _own(measured: Measurement) -> Estimate:
    assert measured.energy_j
    return within_one_meter(measured.energy_j, measured.energy) if measured.energy else measured.energy_j


def _warnings(measurements: Sequence[Measurement]) -> list[str]:
    return list(dict.fromkeys(warning for one in measurements for warning in one.warnings))
