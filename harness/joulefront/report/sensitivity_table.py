"""What each part of a network costs and is worth, as a table for people: a row for each part and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from joulefront.report.units import milli

_WITH_INTERVALS = ("points (95 %)", "latency, ms", "mJ")


def table(document: Mapping[str, Any]) -> RenderableType:
    """The document of ``joulefront sensitivity`` as a table, the unpruned network first."""
    measured, metered = document["device"] is not None, document["unpruned"]["energy_j"] is not None
    where = f" on {document['device']}" if measured else ""
    shown = Table(
        title=f"{document['model']}{where}: each part cut alone, by {document['criterion']}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("part", overflow="fold")
    headings = ["kept", "valid.,\n%", "points (95 %)" if document["interval_reason"] is None else "points"]
    headings += ["para-\nmeters", "MACs", *(["latency, ms", "share"] if measured else [])]
    headings += [*(["mJ", "share"] if metered else []), "loss\nwithout", "transfer\nlost"]
    for heading in headings:  # where there is no room, a value is wrapped before its interval
        shown.add_column(heading, justify="right", no_wrap=heading not in _WITH_INTERVALS, overflow="fold")
    digits = points_digits(document["examples"])
    shown.add_row("unpruned", "", *_figures(document["unpruned"], None, measured, metered, digits), "", "")
    parts = {part["part"]: part for part in document["parts"]}
    last = None
    for cut in document["cuts"]:
        part = parts[cut["part"]]
        if cut["part"] != last:
            shown.add_section()
        shown.add_row(
            cut["part"],
            "out" if part["channels"] is None else f"{cut['width']} of {part['channels']}",
            *_figures(cut, document["unpruned"], measured, metered, digits),
            _contribution(part) if cut["part"] != last else "",
            _transfer(part, cut),
        )
        last = cut["part"]
    return Group(shown, Text("\n".join(_remarks(document))))


def points(change: float | None, digits: int = 2) -> str:
    """A change of a share in percentage points, with its sign; nothing for None."""
    return "" if change is None else f"{change * 100:+.{digits}f}"


def points_digits(examples: int) -> int:
    """How many digits of a point one example of so many makes a difference to."""
    return 1 if examples <= 1_000 else 2


def compact(count: int | None) -> str:
    """A large count in three digits: 13.8k, 1.2M, 4.1G; nothing for None."""
    if count is None:
        return ""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def _figures(
    row: Mapping[str, Any], unpruned: Mapping[str, Any] | None, measured: bool, metered: bool, digits: int
) -> Sequence[str]:
    """What stands in the columns from the accuracy to the energy's share."""
    change = ""
    if unpruned is not None:
        low, high = row["interval"] or (None, None)
        change = points(row["change"], digits)
        change += f" ({points(low, digits)}, {points(high, digits)})" if row["interval"] else ""
    return [
        "" if row["metric"] is None else f"{row['metric'] * 100:.2f}",
        change,
        compact(row["params"]),
        compact(row["macs"]),
        *(_spent(row, "latency", "latency_s", 4, unpruned is None) if measured else []),
        *(_spent(row, "energy", "energy_j", 3, unpruned is None) if metered else []),
    ]


def _spent(row: Mapping[str, Any], what: str, key: str, digits: int, whole: bool) -> list[str]:
    """A quantity with its interval, and its share of the unpruned network's."""
    if row[key] is None:
        return ["failed" if row.get("failure") else "", ""]
    share = 1.0 if whole else row[f"{what}_share"]["ratio"]
    return [milli(row[key]["median"], row[key]["interval"], digits, row[key]["indicative"]), f"{share:.2f}"]


def _contribution(part: Mapping[str, Any]) -> str:
    return "none" if part["contribution"] is None else f"{part['contribution']:+.3g}"


def _transfer(part: Mapping[str, Any], cut: Mapping[str, Any]) -> str:
    if part["carried"] is None or cut["carried"] is None:
        return "" if cut["failure"] and cut["carried"] is None else "none"
    return f"{1 - cut['carried'] / part['carried']:.0%}" if part["carried"] else "none"


def _remarks(document: Mapping[str, Any]) -> list[str]:
    """What a reader must know to judge the table."""
    examples = f"{document['examples']:,} examples of the validation split"
    remarks = [f"valid.: the metric on {examples}, without fine-tuning. points: its change, on the same examples."]
    if document["interval_reason"]:
        remarks.append(f"The change has no interval: {document['interval_reason']}.")
    remarks.append(
        "loss without: the change of the mean loss when the whole part's output is taken out. transfer lost: the mean "
        "absolute activation that a connection of the part carries, before less after the cut, as a share of before."
    )
    provenance = document["provenance"]
    if document["device"] is None:
        remarks.append(f"Latency and energy: {provenance['latency_s']}.")
    else:
        remarks.append(f"Latency: {provenance['latency_s']}. Energy: {provenance['energy_j']}.")
    if document["drift"]:
        remarks.append(_drift(document["drift"]))
    for reason, names in _reasons(document).items():
        remarks.append(f"none, of {', '.join(names)}: {reason}.")
    remarks += [
        f"{_named(cut)} failed: {cut['failure']['kind']}: {cut['failure']['message']}"
        for cut in document["cuts"]
        if cut["failure"]
    ]
    rows = [document["unpruned"], *document["cuts"]]
    warned = [*document["warnings"], *(warning for cut in document["cuts"] for warning in cut["warnings"])]
    doubts = [row[key]["indicative"] for row in rows for key in ("latency_s", "energy_j") if row[key]]
    if doubt := next(filter(None, doubts), None):
        remarks.append(f"~: the interval is only indicative; one says: {doubt}.")
    if warned:
        remarks.append(f"Measurements carry {len(warned)} warnings (--json shows them); one says: {warned[0]}")
    return remarks


def _drift(drift: Mapping[str, Any]) -> str:
    low, high = drift["interval"]
    share = f"{drift['ratio'] - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})"
    apart = (
        ": the device drifted, and what is less than that apart cannot be told apart" if not low <= 1 <= high else ""
    )
    return f"The unpruned network, measured first, halfway and last, changed by {share} from first to last{apart}."


def _reasons(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Why columns have "none", and of which parts."""
    found: dict[str, list[str]] = {}
    for part in document["parts"]:
        cuts = [cut for cut in document["cuts"] if cut["part"] == part["part"]]
        reasons = [part["contribution_reason"], part["carried_reason"], *(cut["carried_reason"] for cut in cuts)]
        for reason in dict.fromkeys(reason for reason in reasons if reason):
            found.setdefault(reason, []).append(part["part"])
    return found


def _named(cut: Mapping[str, Any]) -> str:
    return f"without {cut['part']}" if cut["part"] in cut["dropped"] else f"{cut['part']}={cut['width']}"
