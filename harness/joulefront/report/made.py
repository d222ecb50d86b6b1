"""How a study's numbers were made, as headings with labelled texts: what a reader needs to judge them, or to repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulefront.config import Plugin
from joulefront.report import drift, energy
from joulefront.report.axes import AXES, provenance
from joulefront.report.reading import reading
from joulefront.results import Results

Rows = list[tuple[str, str]]


def how_made(results: Results) -> list[dict[str, Any]]:
    """Each a ``title`` and ``rows`` of a label and a text, in the order in which a reader asks."""
    parts = {
        "Device": _facts(results.facts.get("device", {}), but=("sensor", "sensor_covers", "sensor_reason", "sensors")),
        "Meter": _meter(results),
        "Code": _facts(results.facts.get("target", {})),
        "Measuring": _measuring(results),
        "Accuracy": _accuracy(results),
        "Search": _search(results),
        "Task": _task(results),
        "Versions": _facts(results.facts.get("versions", {})),
        "Reading the numbers": reading(),
    }
    return [{"title": title, "rows": rows} for title, rows in parts.items() if rows]


def _facts(facts: Mapping[str, Any], but: tuple[str, ...] = ()) -> Rows:
    """Whatever was frozen and is known, under its own name."""
    return [
        (name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        for name, value in facts.items()
        if name not in but and value not in (None, "", [])
    ]


def _meter(results: Results) -> Rows:
    if known := energy.meter_of(results.comparable) or energy.meter_of(results.trials):
        words = sorted({word for trial in results.trials if (word := provenance(trial, "energy_j"))})
        factor = f"{known['factor']:.4g}, as it was calibrated" if known["factor"] != 1 else "none: never calibrated"
        return [
            ("meter", known["name"]),
            ("covers", known["covers"]),
            ("joules are", ", ".join(words)),
            ("multiplied by", factor),
        ]
    device = results.facts.get("device", {})
    if device.get("sensor"):
        return [("sensor", str(device["sensor"])), ("covers", str(device.get("sensor_covers") or "not known"))]
    return [("sensor", f"none: {device.get('sensor_reason') or 'the device told of none'}")]


def _measuring(results: Results) -> Rows:
    measure = results.study.measure
    plans = {
        "screening": (measure.repeats, measure.interval, measure.time_s),
        "full": (measure.full_repeats, measure.full_interval, measure.full_time_s),
    }
    until = "each a process of its own, until the 95 % interval of the median latency is within ±"
    rows = [
        (f"grade {grade}", f"{repeats} repeats or more, {until} {share:.2%}, for {time_s:g} s at most")
        for grade, (repeats, share, time_s) in plans.items()
    ]
    counts = {grade: [len(results.repeat_medians_s.get(trial.number, ())) for trial in results.trials
                      if trial.measurement and trial.measurement.grade == grade]
              for grade in ("screening", "full")}  # fmt: skip
    if any(trial.measurement and trial.measurement.energy_j for trial in results.trials):
        wanted = f"until the 95 % interval of the joules is within ± {measure.energy_interval:.2%}"
        full = f"a window of {measure.energy_s:g} s or longer in each repeat, {wanted}, for {measure.energy_time_s:g} s at most"
        rows += [
            ("energy, screening", f"one window of {measure.energy_s / 5:g} s or longer, in the last repeat"),
            ("energy, full", f"{full}; idle ones before and after"),
        ]
    if drifted := drift.in_words(results):
        rows.append(("drift", drifted[1]))
    if aside := sum(len(trial.measurement.set_aside) for trial in results.trials if trial.measurement):
        rows.append(("set aside", f"{aside} repeats that were no measurement; each trial says why"))
    rows += [
        (f"repeats, {grade}", f"{min(found)} to {max(found)} in {len(found)} measurements")
        for grade, found in counts.items()
        if found
    ]
    return rows


def _accuracy(results: Results) -> Rows:
    recover = results.study.recover
    again = f"BatchNorm recalibrated on {recover.recalibrate_batches} batches"
    rows = [
        (f"fidelity {fidelity}", f"fine-tuned for {epochs:g} epochs, {again}")
        for fidelity, epochs in (("screen", recover.screen_epochs), ("full", recover.full_epochs))
    ]
    judged = {trial.fidelity: trial.candidate.score.examples for trial in results.trials if trial.candidate}
    rows += [(f"validation, {fidelity}", f"{examples:,} examples") for fidelity, examples in judged.items()]
    tested = next((trial.test for trial in results.trials if trial.test), None)
    if tested:
        rows.append(("test", f"{tested.examples:,} examples, looked at once, by the settled front only"))
    rows.append(
        (
            "fine-tuning",
            f"learning rate {recover.learning_rate:g}, batches of {recover.batch_size}, {recover.precision}",
        )
    )
    if recover.distillation:
        text = f"{recover.distillation:.0%} of the loss, at temperature {recover.temperature:g}"
        rows.append(("distilled from the unpruned", text))
    if recover.patience:
        text = f"after {recover.patience} epochs without a lower loss on a tenth of the train split"
        rows.append(("fine-tuning stops", text))
    return rows  # fmt: skip


def _search(results: Results) -> Rows:
    study = results.study
    rows = [
        ("kind", f"{_plugin(study.search)}, seed {study.search.seed}, {study.search.evaluations} networks to measure"),
        ("minimises", ", ".join(AXES[name].label for name in results.objectives) or "not known yet"),
        ("kept by", " or ".join([_plugin(study.criterion), *study.space.criteria])),
    ]
    if left_out := [name for name in study.objectives if name not in results.objectives and results.objectives]:
        rows.append(("left out", f"{', '.join(AXES[name].label for name in left_out)}: the device has no meter"))
    if results.space.genes:
        rows.append(("chooses from", f"{results.space.size:,} networks, by {len(results.space.genes)} genes"))
    rows += [(f"limit on {AXES[name].label}", AXES[name].shown(limit)) for name, limit in study.limits.given.items()]
    if results.origin:
        rows.append(("study file in", str(results.origin)))
    return rows


def _task(results: Results) -> Rows:
    """The task's name, and the hashes that tell one model, data and code from another."""
    return [("kind", _plugin(results.study.task)), *_facts(results.facts.get("task", {}))]


def _plugin(plugin: Plugin) -> str:
    return " ".join([plugin.kind, *(f"{name}={value}" for name, value in plugin.arguments.items())])
