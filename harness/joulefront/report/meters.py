"""What could measure a device's energy, and how two meters compare, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def found(document: Mapping[str, Any]) -> RenderableType:
    """The document of ``joulefront devices meters``: what can be read as a table, and below it what cannot, with its fix."""
    usable = [meter for meter in document["meters"] if meter["reason"] is None]
    parts: list[RenderableType] = [Text(_title(document))]
    if usable:
        table = Table(box=SIMPLE_HEAD)
        for heading in ("", "meter", "covers", "kind"):
            table.add_column(heading, overflow="fold")
        for heading in ("updates", "one step", "one read"):
            table.add_column(heading, justify="right", no_wrap=True)
        for meter in usable:
            table.add_row(
                _mark(meter),
                meter["name"],
                meter["covers"],
                f"{meter['kind']}, {meter['provenance']}",
                _milli(meter["period_s"], "ms"),
                _milli(meter["resolution"], f"m{meter['resolution_unit']}"),
                _milli(meter["read_s"], "ms"),
            )
        parts.append(table)
    lines = []
    for meter in document["meters"]:
        if meter["reason"] is not None:
            lines.append(f"{meter['name']} cannot be used: {meter['reason']}")
            lines += [f"    fix: {meter['fix']}"] if meter["fix"] else []
    if not any(meter["used"] for meter in document["meters"]) and document["reason"]:
        lines.append(f"none is used: {document['reason']}")
    lines.append(
        "updates: the time between two values; one step: of joules (mJ) or watts (mW); one read: what it takes."
    )
    lines.append(f"to use another one: joulefront devices edit {document['device']} --meter NAME")
    # Lines are not broken, since they hold commands to copy.
    parts.append(Text("\n".join(lines), no_wrap=True, overflow="ignore"))
    return Group(*parts)


def calibrated(document: Mapping[str, Any]) -> str:
    """The document of ``joulefront devices calibrate``, a fact a line."""
    rows = [
        ("meter", f"{document['meter']}: {document['covers']}"),
        ("against", f"{document['against']}: {document['against_covers']}"),
        (
            "windows",
            f"{document['rounds']} of each load, {document['window_s']:.3g} s or longer, {document['provenance']}",
        ),
    ]
    for which in ("idle", "busy"):
        load = document[which]
        low, high = load["interval"]
        watts = f"{load['power_w']:.4g} W and {load['against_power_w']:.4g} W"
        rows.append((which, f"{watts}: ratio {load['ratio']:.4g}, 95 % interval {low:.4g} to {high:.4g}"))
    factor = document["factor"]
    low, high = factor["interval"]
    rows.append(("both", f"ratio {factor['value']:.4g}, 95 % interval {low:.4g} to {high:.4g}"))
    rows += [("warning", warning) for warning in document["warnings"]]
    device = document["device"]
    if document["stored"]:
        rows += [
            ("kept", f"from now on, joules of {document['meter']} on {device} are multiplied by {factor['value']:.4g}"),
            ("undo", f"joulefront devices calibrate {device} --forget"),
        ]
    else:
        rows.append(("not kept", document["reason"]))
    return "\n".join(f"{label:10}{text}" for label, text in rows)


def forgotten(document: Mapping[str, Any]) -> str:
    """What was taken out of a device's file."""
    known = document["forgotten"]
    return (
        f"joules of {known['meter']} on {document['device']} are no longer multiplied by {known['factor']:.4g} "
        f"(against {known['against']}, at {known['at']})"
    )


def _title(document: Mapping[str, Any]) -> str:
    known = document["calibration"]
    factor = (
        f"; joules of {known['meter']} are multiplied by {known['factor']:.4g} ({known['low']:.4g} to {known['high']:.4g}), "
        f"by {known['against']} at {known['at']}"
        if known
        else ""
    )
    return f"{document['device']}: its meter is {document['meter']!r}{factor}"


def _mark(meter: Mapping[str, Any]) -> str:
    return ", ".join([*(["used"] if meter["used"] else []), *(["auto"] if meter["auto"] else [])])


def _milli(value: float | None, unit: str) -> str:
    return "not seen" if value is None else f"{value * 1e3:.3g} {unit}"
