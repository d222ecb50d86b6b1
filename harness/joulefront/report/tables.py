"""Tables for people: a front, a measurement, a study's cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from joulefront.report.units import percent, quantities


def front(document: Mapping[str, Any]) -> RenderableType:
    """A front's document as a table, the unpruned network first, with each network's share of its latency."""
    reference = document["reference"]
    points = [point for point in document["front"] if not reference or point["trial"] != reference["trial"]]
    rows = [*([reference] if reference else []), *points]
    on_front = {point["trial"] for point in document["front"]}
    has_energy = any(point["metrics"]["energy_j"] is not None for point in rows)
    has_test = any(point["metrics"]["test_accuracy"] is not None for point in rows)

    table = Table(title=f"{document['study']} on {', '.join(document['devices'])}", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("accuracy\nvalidation", justify="right")
    if has_test:
        table.add_column("\ntest", justify="right")
    table.add_column("latency\nms, 95 % interval", justify="right")
    table.add_column("of the\nunpruned", justify="right")
    if has_energy:
        table.add_column("energy\nmJ", justify="right")
    table.add_column("parameters", justify="right")
    table.add_column("MACs", justify="right")
    table.add_column("library\nkB", justify="right")
    table.add_column("widths")
    for row in rows:
        metrics = row["metrics"]
        cells = [str(row["trial"]), percent(metrics["accuracy"])]
        if has_test:
            cells.append(percent(metrics["test_accuracy"]))
        cells.append(_latency(row))
        cells.append(f"{metrics['latency_s'] / reference['metrics']['latency_s']:.2f}" if reference else "")
        if has_energy:
            cells.append("" if metrics["energy_j"] is None else f"{metrics['energy_j'] * 1e3:.3g}")
        cells += [f"{metrics['params']:,}", f"{metrics['macs']:,}", f"{metrics['size_b'] / 1e3:,.0f}"]
        widths = " ".join(str(width) for width in row["widths"].values())
        if row is reference:
            widths += "  (unpruned)" if row["trial"] in on_front else "  (unpruned; not on the front)"
        table.add_row(*cells, widths)
    return Group(table, Text("\n".join(_remarks(document, rows))))


def measurement(document: Mapping[str, Any]) -> RenderableType:
    """A measurement's document as lines."""
    latency = document["latency_s"]
    low, high = latency["interval"]
    p99 = "needs 1,000 samples" if latency["p99"] is None else f"{latency['p99'] * 1e3:.4g} ms"
    lines = [
        f"latency   {latency['median'] * 1e3:.4g} ms median, 95 % interval {low * 1e3:.4g} to {high * 1e3:.4g} ms "
        f"({document['provenance']['latency_s']} on {document['device']})",
        f"          p90 {latency['p90'] * 1e3:.4g} ms, p99 {p99}, {latency['samples']:,} samples",
    ]
    energy = document["energy_j"]
    if energy:
        low, high = energy["interval"]
        lines.append(
            f"energy    {energy['median'] * 1e3:.4g} mJ an inference, 95 % interval {low * 1e3:.4g} to {high * 1e3:.4g} mJ "
            f"({document['provenance']['energy_j']})"
        )
    else:
        lines.append(f"energy    none: {document['reason']}")
    lines += [f"warning   {warning}" for warning in document["warnings"]]
    return Text("\n".join(lines))


def _latency(row: Mapping[str, Any]) -> str:
    latency_ms = row["metrics"]["latency_s"] * 1e3
    interval = row["intervals"].get("latency_s")
    return f"{latency_ms:.4g}" + (f"  {interval[0] * 1e3:.4g}–{interval[1] * 1e3:.4g}" if interval else "")


def _remarks(document: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> list[str]:
    """What a reader must know to judge the table."""
    trials, volume = document["trials"], document["hypervolume"]
    remarks = [f"{trials['ok']} networks measured, {trials['failed']} failed; {len(document['front'])} on the front."]
    if document["state"] != "settled":
        remarks.append("The search has not ended: these are screening figures. The same search command goes on with it.")
    if volume["value"] is not None:
        remarks.append(f"Hypervolume {volume['value']:.3f} of the box up to {quantities(volume['reference_point'])}.")
    if document["reference"] is None:
        remarks.append(f"No unpruned network to compare with: {document['reference_reason']}.")
    if rows:
        remarks.append("Widths are those of: " + ", ".join(rows[0]["widths"]) + ".")
        provenance = rows[0]["provenance"]
        remarks.append(f"Latency: {provenance['latency_s']}. Energy: {provenance['energy_j']}.")
    warned = sum(bool(row["warnings"]) for row in rows)
    if warned:
        remarks.append(f"{warned} of these measurements carry warnings (--json shows them); one says: {_a_warning(rows)}")
    return remarks


def _a_warning(rows: list[Mapping[str, Any]]) -> str:
    return next(row["warnings"][0] for row in rows if row["warnings"])
