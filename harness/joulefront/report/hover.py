"""What plots say of a trial at a glance, safe for plotly, which reads some HTML in its texts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from joulefront.records import Trial
from joulefront.report.axes import AXES, Axis, indicative, interval, provenance, value
from joulefront.report.pruned import option_text
from joulefront.report.visible import visible
from joulefront.results import Results

_MOST_LAYERS = 8
_LONGEST_NAME = 28


def plain(text: str) -> str:
    """A text that plotly shows as it is written, whatever it holds."""
    return escape(visible(text), quote=False)


def hover(results: Results, trial: Trial) -> str:
    """What is worth knowing of a trial at a glance."""
    marks = [
        word
        for word, marked in (("knee", results.knee), ("unpruned", results.unpruned))
        if marked and marked.number == trial.number
    ]
    lines = [f"<b>trial {trial.number}</b>" + "".join(f" · {mark}" for mark in marks)]
    for name in dict.fromkeys(("error", "test_accuracy", "latency_s", "energy_j", *results.objectives)):
        found = value(trial, name)
        if found is not None:
            shown = span(AXES[name], found, interval(trial, name))
            words = [provenance(trial, name), "interval indicative" if indicative(trial, name) else None]
            lines.append(", ".join([f"{AXES[name].label} {shown}", *filter(None, words)]))
    genes = zip(results.space.genes, trial.genome, strict=True) if trial.genome else ()
    lines.append(layers([f"{short(gene.name)} {option_text(gene, index)}" for gene, index in genes]))
    remarks = [f"fidelity {trial.fidelity}"]
    if trial.measurement and trial.measurement.warnings:
        count = len(trial.measurement.warnings)
        remarks.append("1 warning" if count == 1 else f"{count} warnings")
    if trial.violation:
        remarks.append("breaks a limit")
    return "<br>".join([*lines, ", ".join(remarks)])


def layers(texts: Sequence[str]) -> str:
    """What there is to say of each layer, plain, in one line; of many the first."""
    more = f" and {len(texts) - _MOST_LAYERS} more" if len(texts) > _MOST_LAYERS else ""
    return plain(", ".join(texts[:_MOST_LAYERS])) + more


def span(axis: Axis, middle: float, ends: Sequence[float] | None) -> str:
    """An SI value with its interval, where it has one, in the axis's unit."""
    return axis.shown(middle) + (f" ({axis.bare(ends[0])} to {axis.bare(ends[1])})" if ends else "")


def short(name: str) -> str:
    """A name with its middle left out where it is long: layers differ at either end."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}…{name[-half + 1 :]}"
