"""What a study's page holds, as one JSON document: all values in SI units, all texts visible."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from joulefront import derived
from joulefront.records import Score, Trial
from joulefront.report import drift, energy
from joulefront.report.axes import OF_DEVICE, Axis, indicative, interval, known_axes, provenance, titled, value
from joulefront.report.composition import composition, line
from joulefront.report.course_plots import hypervolume_plot, session_plot, widths_plot
from joulefront.report.headline import headline, remarks
from joulefront.report.made import how_made
from joulefront.report.plots import front_plot, front_plot_3d
from joulefront.report.pruned import option_text
from joulefront.report.visible import all_visible
from joulefront.results import Results
from joulefront.space_records import Gene

_NUMBER = re.compile(r"(?<!\w)\d+(?:\.\d+)?")  # that of conv3d is a name's


def study_contents(results: Results) -> dict[str, Any]:
    """The document of one study. ``figures`` are plotly's; one that cannot be drawn is None."""
    axes = known_axes(results)
    volume = results.hypervolume
    words = {name: _provenance(results, name) for name in (*OF_DEVICE, *derived.NAMES)}
    document = {
        "kind": "study",
        "study": results.name,
        "device": results.study.device,
        "state": "settled" if results.settled else "searching",
        "read": datetime.now(UTC).isoformat(timespec="seconds"),
        "headline": headline(results),
        "notes": remarks(results),
        "provenance": words,
        "provenances": sorted({word for word in words.values() if word}),
        "objectives": list(results.objectives),
        "limits": results.study.limits.given,
        "axes": [asdict(axis) | {"title": axis.title, "titled": titled(axis, results.trials)} for axis in axes],
        "genes": [_gene(gene) for gene in results.space.genes],
        "front": [trial.number for trial in results.front],
        "knee": results.knee.number if results.knee else None,
        "unpruned": results.unpruned.number if results.unpruned else None,
        "hypervolume": volume.value if volume else None,
        "trials": [_trial(results, trial, axes) for trial in results.trials],
        "drift": drift.document(results),
        "warnings": _warnings(results),
        "failures": _grouped(
            (f"{trial.failure.kind}: {trial.failure.message}", trial.number)
            for trial in results.trials
            if trial.failure
        ),
        "made": how_made(results),
    }
    return {**all_visible(document), "figures": _figures(results)}


def _gene(gene: Gene) -> dict[str, Any]:
    indices = range(len(gene.options))
    return {
        "name": gene.name,
        "kind": gene.kind,
        "texts": [option_text(gene, index) for index in indices],
        "kept": [gene.kept(index) for index in indices],
    }


def _trial(results: Results, trial: Trial, axes: Iterable[Axis]) -> dict[str, Any]:
    """One trial's whole journey."""
    measured, candidate, artifact = trial.measurement, trial.candidate, trial.artifact
    values = {axis.name: found for axis in axes if (found := value(trial, axis.name)) is not None}
    recorded = results.recorded.get(trial.number)
    return {
        "trial": trial.number,
        "genome": list(trial.genome),
        "fidelity": trial.fidelity,
        "grade": measured.grade if measured else None,
        "values": values,
        "intervals": {name: list(ends) for name in values if (ends := interval(trial, name))},
        "scores": [_score(score) for score in (candidate.score if candidate else None, trial.test) if score],
        "repeat_medians_s": list(results.repeat_medians_s.get(trial.number, ())),
        "provenance": {name: provenance(trial, name) for name in (*OF_DEVICE, *derived.NAMES)} if measured else {},
        "indicative": {name: why for name in values if (why := indicative(trial, name))},
        "energy": energy.rows(energy.document(measured)) if measured else [],
        "set_aside": list(measured.set_aside) if measured else [],
        "energy_reason": measured.energy_reason if measured else None,
        "memory_reason": measured.memory_reason if measured else None,
        "latency_p99_reason": measured.latency_p99_reason if measured else None,
        "conditions": {when: _plain(read) for when, read in measured.conditions.items()} if measured else {},
        "kernels": line(composition(artifact)),
        "violation": trial.violation,
        "warnings": list(measured.warnings) if measured else [],
        "failure": asdict(trial.failure) if trial.failure else None,
        "weights_sha256": candidate.sha256 if candidate else None,
        "library_sha256": artifact.sha256 if artifact else None,
        "recorded": recorded.isoformat(timespec="seconds") if recorded else None,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "split": score.split,
        "metric": score.metric,
        "interval": [1 - score.error.high, 1 - score.error.low],
        "examples": score.examples,
    }


def _provenance(results: Results, name: str) -> str | None:
    """The word that holds for every value of a quantity, or "mixed"; None where there is none."""
    words = {provenance(trial, name) for trial in results.trials} - {None}
    return "mixed" if len(words) > 1 else next(iter(words), None)


def _plain(read: Mapping[str, Any]) -> dict[str, Any]:
    """What a device told, without what JSON has no numbers for."""
    return {name: None if isinstance(told, float) and not math.isfinite(told) else told for name, told in read.items()}


def _warnings(results: Results) -> list[dict[str, Any]]:
    return _grouped(
        (warning, trial.number)
        for trial in results.trials
        if trial.measurement
        for warning in trial.measurement.warnings
    )


def _grouped(reasons: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Reasons that differ by nothing but numbers are one, the most frequent first; ``reason`` is the first one's words."""
    groups: dict[str, dict[str, Any]] = {}
    for reason, number in reasons:
        group = groups.setdefault(_NUMBER.sub("#", reason), {"reason": reason, "alike": True, "trials": []})
        group["alike"] = group["alike"] and group["reason"] == reason
        if number not in group["trials"]:
            group["trials"].append(number)
    return sorted(groups.values(), key=lambda group: -len(group["trials"]))


def _figures(results: Results) -> dict[str, Mapping[str, Any] | None]:
    ran = any(trial.failure is None for trial in results.trials)
    drawn = {
        "front": front_plot(results) if ran else None,
        "front3d": front_plot_3d(results) if ran else None,
        "hypervolume": hypervolume_plot(results),
        "widths": widths_plot(results),
        "session": session_plot(results),
    }
    return {name: json.loads(figure.to_json()) if figure else None for name, figure in drawn.items()}
