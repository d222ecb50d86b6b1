"""Tables of devices, for people: the list, one device, and a self-test's findings with their fixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_MARK = {"good": "good   ", "missing": "missing", "bad": "BAD    "}
_VERDICT = {
    "ready": "{device} is ready: joulefront measure TASK --device {device}",
    "incomplete": "{device} can be used; what is missing makes it less good",
    "failing": "{device} cannot be used as it is: fix what is bad, then joulefront devices check {device}",
}


def listing(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The list of devices; below it, what is wrong with the files of those that are broken."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("name", "profile", "host", "target", "meters", "status"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("name", "profile", "target", "status"))
    for row in rows:
        table.add_row(
            row["name"],
            row["profile"] or "",
            row["host"] or row["transport"] or "",
            row["target"] or "",
            _first(row["meters"]),
            row["status"],
        )
    problems = [row["problem"] for row in rows if row["problem"]]
    return Group(table, Text("\n".join(problems))) if problems else table


def device(document: Mapping[str, Any]) -> str:
    """One device: what its file says, what it said of itself, and what one should know of such a board."""
    way = " ".join(f"{key}={value}" for key, value in document["arguments"].items())
    lines = [
        ("name", document["name"]),
        ("about", document["description"]),
        ("profile", document["profile"]),
        ("way there", f"{document['transport']} {way}".strip()),
        ("target", document["target"] or "not known before it is checked"),
        ("meter", f"{document['meter']} ({', '.join(document['meters']) or 'none is known'})"),
        ("calibrated", _factor(document["calibration"])),
        ("status", f"{document['status']}{', at ' + document['checked'] if document['checked'] else ''}"),
        ("file", document["file"]),
        *(("note", note) for note in document["notes"]),
        *((f"  {name}", str(value)) for name, value in document["facts"].items()),
    ]
    return _lines([(label, text) for label, text in lines if text])


def checked(document: Mapping[str, Any]) -> str:
    """A self-test: each finding, and below it what to do about it."""
    lines = []
    for finding in document["findings"]:
        lines.append((f"{_MARK[finding['state']]}  {finding['what']}", finding["detail"]))
        if finding["fix"]:
            lines.append(("", f"fix: {finding['fix']}"))
    latency, energy = document["latency_s"], document["energy_j"]
    provenance = document["provenance"]
    if latency:
        lines.append(
            ("latency", f"{latency['median'] * 1e3:.4g} ms for the test's network ({provenance['latency_s']})")
        )
    if energy:
        lines.append(("energy", f"{energy['median'] * 1e3:.4g} mJ an inference ({provenance['energy_j']})"))
    lines += [("note", note) for note in document["notes"]]
    return f"{_lines(lines)}\n{_VERDICT[document['status']].format(device=document['device'])}"


def _factor(known: Mapping[str, Any] | None) -> str:
    """What the meter's joules are multiplied by, in words."""
    if known is None:
        return ""
    return (
        f"joules of {known['meter']} are multiplied by {known['factor']:.4g} (95 % interval {known['low']:.4g} to "
        f"{known['high']:.4g}), {known['provenance']} against {known['against']} at {known['at']}"
    )


def removed(document: Mapping[str, Any]) -> str:
    """What became of a device that was removed."""
    there = {
        "removed": "; what was shipped to it is deleted there",
        "kept": "; what was shipped to it stays there, in the folder joulefront of its user's cache (~/.cache)",
        "none": "",
    }[document["files"]]
    return f"{document['device']} is no longer registered{there}"


def _first(names: Sequence[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else "".join(names)


def _lines(lines: Sequence[tuple[str, str]]) -> str:
    width = max(len(label) for label, _ in lines) + 2
    return "\n".join(f"{label:{width}}{text}" for label, text in lines)
