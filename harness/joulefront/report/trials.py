"""The table of all trials of a study: a line each, 120 columns wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from joulefront.report.pruned import pruning_text
from joulefront.report.units import milli, percent


def table(document: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The trials of ``documents.trials``, in the order in which they were recorded."""
    if not document:
        return Text("No trial is recorded yet.")
    ran = [row for row in document if "failure" not in row]
    has_test = any(row["metrics"]["test_accuracy"] is not None for row in ran)
    has_energy = any(row["metrics"]["energy_j"] is not None for row in ran)
    shown = Table(box=SIMPLE_HEAD, expand=True)
    tests, energies = ["test"] if has_test else [], ["mJ"] if has_energy else []
    for heading in ("trial", "fidelity", "valid.", *tests, "latency, ms", *energies, "kB"):
        shown.add_column(heading, justify="left" if heading == "fidelity" else "right", no_wrap=True)
    shown.add_column("what it is")
    shown.add_column("widths", no_wrap=True, overflow="ellipsis", ratio=1)  # it alone gives way, not the numbers
    for row in document:
        metrics = row.get("metrics", {})
        shown.add_row(
            str(row["trial"]),
            row["fidelity"],
            percent(metrics.get("accuracy")),
            *([percent(metrics.get("test_accuracy"))] if has_test else []),
            _milli(row, "latency_s"),
            *([_milli(row, "energy_j")] if has_energy else []),
            f"{metrics['size_b'] / 1e3:,.0f}" if metrics else "",
            _what(row),
            pruning_text(row),
            style=None if row["roles"] else "dim",
        )
    return Group(shown, Text("\n".join(_remarks(document, ran))))


def _what(row: Mapping[str, Any]) -> str:
    if "failure" in row:
        return f"failed: {row['failure']['kind']}"
    parts = [*row["roles"], *(["beyond limits"] if row["violation"] else []), *(["warned"] if row["warnings"] else [])]
    return ", ".join(parts)


def _milli(row: Mapping[str, Any], name: str) -> str:
    if "metrics" not in row:
        return ""
    return milli(row["metrics"][name], row["intervals"].get(name), why=row["indicative"].get(name))


def _remarks(document: Sequence[Mapping[str, Any]], ran: Sequence[Mapping[str, Any]]) -> list[str]:
    remarks = []
    if ran:
        words = sorted({row["provenance"]["latency_s"] for row in ran})
        energy = sorted({row["provenance"]["energy_j"] for row in ran})
        remarks.append(f"Latency: {', '.join(words)}. Energy: {'; '.join(energy)}.")
        if any(row["indicative"] for row in ran):
            remarks.append("~: the interval is only indicative; the trial's journey says why.")
        remarks.append(
            "screen: screening figures of the search; full: the final front, recovered and measured in full."
        )
    remarks.append(f"Widths are those of: {', '.join(document[0]['widths'])}.")
    remarks.append("joulefront trials DIR N shows one trial's whole journey.")
    return remarks
