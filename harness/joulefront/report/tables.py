"""Tables for people: a front, a measurement, a study's cost."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from joulefront.report import energy
from joulefront.report.axes import AXES, OF_DEVICE, Axis
from joulefront.report.composition import line
from joulefront.report.documents import why_off_front
from joulefront.report.estimated import in_words
from joulefront.report.pruned import pruning_text
from joulefront.report.units import milli, percent, quantities, tail

Column = tuple[str, Callable[[Mapping[str, Any]], str]]
# Objectives that a front's table has columns for where the study asks nothing else.
_USUAL = ("error", "latency_s", "energy_j", "params")


def front(document: Mapping[str, Any]) -> RenderableType:
    """A front's document as a table, the unpruned network first, with each network's share of its latency.

    What a study minimises beyond the usual has a column each, for which what it does not ask makes room.
    """
    reference = document["reference"]
    points = [point for point in document["front"] if not reference or point["trial"] != reference["trial"]]
    rows = [*([reference] if reference else []), *points]
    on_front = {point["trial"] for point in document["front"]}
    table = Table(
        title=f"{document['study']} on {', '.join(document['devices'])}", title_justify="left", box=SIMPLE_HEAD
    )
    columns = _columns(document, rows)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("widths", overflow="fold")
    for row in rows:
        widths = pruning_text(row)
        table.add_row(
            *(cell(row) for _, cell in columns),
            f"{widths} (unpruned)" if row is reference else widths,
            style=None if row["trial"] in on_front else "dim",
        )
    return Group(table, Text("\n".join(_remarks(document, rows, {heading for heading, _ in columns}))))


def _columns(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns of numbers, each with its heading."""
    asked, reference = document["objectives"], document["reference"]
    others = [AXES[name] for name in asked if name not in _USUAL]

    def share(row: Mapping[str, Any]) -> str:
        return f"{row['metrics']['latency_s'] / reference['metrics']['latency_s']:.2f}" if reference else ""

    def has(name: str) -> bool:
        return any(row["metrics"][name] is not None for row in rows)

    columns: list[Column] = [
        ("trial", lambda row: str(row["trial"])),
        ("valid.", lambda row: percent(row["metrics"]["accuracy"])),
    ]
    if has("test_accuracy"):
        columns.append(("test", lambda row: percent(row["metrics"]["test_accuracy"])))
    if "latency_s" in asked or "latency_p99_s" not in asked:
        columns += [("latency, ms", lambda row: _milli(row, "latency_s", 4)), ("share", share)]
    if has("energy_j") and ("energy_j" in asked or not others):
        columns.append(("mJ", lambda row: _milli(row, "energy_j", 3)))
    if "params" in asked or not others:
        columns.append(("parameters", lambda row: f"{row['metrics']['params']:,}"))
    return [*columns, *((axis.heading, partial(_other, axis)) for axis in others)]


def measurement(document: Mapping[str, Any]) -> RenderableType:
    """A measured model's document as lines."""
    latency, memory = document["latency_s"], document["memory_b"]
    rows = [
        ("latency", f"{in_words(latency, 'ms')}, median"),
        ("", f"{document['provenance']['latency_s']} on {document['device']}"),
        ("", f"p90 {latency['p90'] * 1e3:.4g} ms, {tail(document)}, {latency['samples']:,} samples"),
        *([("indicative", latency["indicative"])] if latency["indicative"] else []),
        *energy.rows(document),
    ]
    if memory:
        said = f"{in_words(memory, 'MB', 1e-6)}, at most, loading included"
        rows.append(("memory", f"{said}, {document['provenance']['memory_b']}"))
    else:
        rows.append(("memory", f"none: {document['memory_reason']}"))
    rows.append(("library", f"{document['size_b'] / 1e6:.4g} MB, {document['packed_b'] / 1e6:.4g} MB packed"))
    rows.append(("kernels", line(document)))
    rows += [("set aside", f"a repeat that was no measurement: {reason}") for reason in document["set_aside"]]
    rows += [("warning", warning) for warning in document["warnings"]]
    lines = Table.grid(padding=(0, 2, 0, 0))
    for label, text in rows:
        lines.add_row(Text(label, no_wrap=True), Text(text))
    return lines


def tuned(document: Mapping[str, Any]) -> RenderableType:
    """What tuning came to, as lines."""
    kernels = document["kernels"]
    before, after = (document[which]["latency_s"]["median"] * 1e3 for which in ("untuned", "tuned"))
    lines = [
        (
            f"kernels   {kernels['tried']} tried, {kernels['changed']} of them quicker another way; "
            f"{kernels['known']} known before, {kernels['left']} left for next time"
        ),
        (
            f"latency   {before:.4g} ms untuned, {after:.4g} ms tuned: {document['ratio']:.3f} of it "
            f"({document['tuned']['provenance']['latency_s']} on {document['device']}, in turns)"
        ),
    ]
    if not document["kept"]:
        lines.append("kept      nothing: together, the changes made the model slower")
    return Text("\n".join(lines))


def estimate(document: Mapping[str, Any]) -> RenderableType:
    """A study's check and estimate as lines."""
    seconds, space = document["seconds"], document["space"]
    lines = [
        f"{document['study']} on {document['device']}: all is well",
        f"objectives  {', '.join(document['objectives'])}",
        f"space       {space['networks']:,} networks from {len(space['genes'])} genes:",
    ]
    lines += [f"            {name}: {_span(options)}" for name, options in space["genes"].items()]
    lines.append(
        f"a trial     {seconds['trial']:.1f} s, tried with one of half the width: "
        f"{seconds['making_a_network']:.1f} s to make it, {seconds['measuring_a_network']:.1f} s to measure it"
    )
    lines.append(
        f"the study   {_duration(seconds['total'])}, estimated: {_duration(seconds['search'])} for "
        f"{document['evaluations']} networks, {_duration(seconds['settling'])} to settle a front of {document['assumed_front']}"
    )
    return Text("\n".join(lines))


def _span(options: list[Any]) -> str:
    texts = [f"{option:.3g}" if isinstance(option, float) else str(option) for option in options]
    return ", ".join(texts) if len(texts) <= 8 else f"{texts[0]}, {texts[1]}, … {texts[-1]} ({len(texts)})"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _milli(row: Mapping[str, Any], name: str, digits: int) -> str:
    """A quantity in thousandths of its unit, with its interval as a share where it has one; empty where it is missing."""
    return milli(row["metrics"][name], row["intervals"].get(name), digits, row["indicative"].get(name))


def _other(axis: Axis, row: Mapping[str, Any]) -> str:
    """A quantity that the study asks for and that has no column of its own otherwise, with its interval as a share."""
    value, interval = row["metrics"][axis.name], row["intervals"].get(axis.name)
    tilde = "~" if row["indicative"].get(axis.name) else ""
    half = f" {tilde}±{(interval[1] - interval[0]) / 2 / value:.1%}" if interval and value else ""
    share = half if axis.name in OF_DEVICE else ""
    return "" if value is None else f"{axis.bare(value)}{share}"


def _remarks(document: Mapping[str, Any], rows: list[Mapping[str, Any]], headings: Container[str]) -> list[str]:
    """What a reader must know to judge the table."""
    trials, volume = document["trials"], document["hypervolume"]
    remarks = [f"{trials['ok']} networks measured, {trials['failed']} failed; {len(document['front'])} on the front."]
    if document["state"] != "settled":
        remarks.append(
            "The search has not ended: these are screening figures. The same search command goes on with it."
        )
    if volume["value"] is not None:
        remarks.append(f"Hypervolume {volume['value']:.3f} of the box up to {quantities(volume['reference_point'])}.")
    if document["reference"] and document["reference"]["trial"] not in {point["trial"] for point in document["front"]}:
        why = why_off_front(document["reference"]["violation"])
        remarks.append(f"The unpruned network is shown to compare with: {why}.")
    if document["reference"] is None:
        remarks.append(f"No unpruned network to compare with: {document['reference_reason']}.")
    if rows:
        share = " share: of the unpruned network's latency." if "share" in headings else ""
        remarks.append(f"valid. and test: accuracy on either split.{share}")
        remarks.append("Widths are those of: " + ", ".join(rows[0]["widths"]) + ".")
        provenance = rows[0]["provenance"]
        meter = f", gross, by {energy.metered(document['meter'])}" if document["meter"] else ""
        remarks.append(f"Latency: {provenance['latency_s']}. Energy: {provenance['energy_j']}{meter}.")
        remarks += _indicative(rows)
    if apart := [again for again in document["drift"] if again["apart"]]:
        remarks.append(
            f"The device drifted: its reference differed {len(apart)} of the {len(document['drift'])} times that it was "
            "measured again."
        )
    warned = sum(bool(row["warnings"]) for row in rows)
    if warned:
        remarks.append(
            f"{warned} of these measurements carry warnings (--json shows them); one says: {_a_warning(rows)}"
        )
    return remarks


def _indicative(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    reason = next((why for row in rows for why in row["indicative"].values()), None)
    return [f"~: the interval is only indicative; one says: {reason}."] if reason else []


def _a_warning(rows: list[Mapping[str, Any]]) -> str:
    return next(str(row["warnings"][0]) for row in rows if row["warnings"])
