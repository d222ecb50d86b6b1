"""A comparison for people: first what it comes to, in words, then every network of the fronts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from joulefront.report.pruned import pruning_text
from joulefront.report.units import percent

_VERDICTS = {"survives": "survives", "beaten": "beaten by", "undecided": "not told apart from", "barred": "no choice:"}
# In a cell there is room for so many of the trials that beat a network.
_MOST_NAMED = 3


def table(document: Mapping[str, Any]) -> RenderableType:
    """A comparison's document: the verdict in words, a matrix where there are more than two studies, and the networks."""
    labels = document["studies"]
    parts: list[RenderableType] = [Text("\n".join([*_survival(document), *_agreement(document), *_best(document)]))]
    if len(labels) > 2:
        parts.append(_matrix(document))
    if document["points"]:
        parts.append(_networks(document))
    parts.append(Text("\n".join([*_remarks(document), *(f"Warning: {one}." for one in document["warnings"])])))
    return Group(*parts)


def _survival(document: Mapping[str, Any]) -> Iterator[str]:
    for home, others in document["survival_counts"].items():
        for away, counts in others.items():
            reason = document["survival_reason"][home][away]
            if reason:
                yield f"How many of {home}'s front survive on {away} is not known: {reason}."
                continue
            share = _rounded(document["survival"][home][away])
            measured = f", of {counts['judged']} that were measured there" if counts["judged"] < counts["front"] else ""
            doubt = f", {counts['undecided']} of them within the intervals only" if counts["undecided"] else ""
            yield (
                f"Of {home}'s front of {counts['front']}, {counts['survive']} survive on {away}{measured} ({share}){doubt}."
            )


def _agreement(document: Mapping[str, Any]) -> Iterator[str]:
    for one, other in _unordered(document["studies"]):
        for name in ("latency", "energy"):
            found = document[f"{name}_rank_correlation"][one][other]
            if found["value"] is None:
                yield f"Rank correlation of {name} on {one} and {other}: none: {found['reason']}."
            else:
                low, high = found["interval"]
                yield (
                    f"Rank correlation of {name} on {one} and {other}: {found['value']:.3f} "
                    f"(95 % interval {low:.3f} to {high:.3f}) over {found['networks']} networks."
                )
        yield _layers(one, other, document["disagreement"][one][other])


def _layers(one: str, other: str, found: Mapping[str, Any]) -> str:
    """Where two devices disagree, by the layers whose effect is beyond its interval."""
    if found["reason"]:
        return f"Which layer's width moves {one} and {other} apart is not known: {found['reason']}."
    clear = {
        name: effect
        for name, effect in found["layers"].items()
        if not effect["interval"][0] <= 1 <= effect["interval"][1]
    }
    if not clear:
        return f"No layer's width is seen to move {one} and {other} apart, over {found['networks']} networks."
    effects = ", ".join(
        f"{name} × {effect['factor']:.2f} ({effect['interval'][0]:.2f} to {effect['interval'][1]:.2f})"
        for name, effect in sorted(clear.items(), key=lambda item: item[1]["factor"])
    )
    return f"Halving a layer's width changes the latency on {other}, by that on {one}: {effects}."


def _best(document: Mapping[str, Any]) -> Iterator[str]:
    best = document["best_single"]
    if best is None:
        yield f"No single network for all: {document['best_single_reason']}."
        return
    point = document["points"][best["point"]]
    costs = []
    for label in document["studies"]:
        latency_s, slower = point["measured"][label]["metrics"]["latency_s"], best["slower"][label]
        own = "" if slower is None else f", {slower:.2f} times the least of its own front at that error or less"
        costs.append(f"{latency_s * 1e3:.4g} ms on {label} (regret {best['regret'][label]:.3f}{own})")
    yield f"Best single network for all: {pruning_text(point)}: {'; '.join(costs)}."


def _matrix(document: Mapping[str, Any]) -> Table:
    """Which share of the front in a row survives in a column."""
    shown = Table(title="Share of a row's front that survives on a column", title_justify="left", box=SIMPLE_HEAD)
    shown.add_column("")
    for label in document["studies"]:
        shown.add_column(label, justify="right")
    for home in document["studies"]:
        shown.add_row(home, *(_share(document, home, away) for away in document["studies"]))
    return shown


def _share(document: Mapping[str, Any], home: str, away: str) -> str:
    if home == away:
        return "–"
    counts = document["survival_counts"][home][away]
    share = document["survival"][home][away]
    return "not known" if share is None else f"{_rounded(share)} ({counts['survive']} of {counts['judged']})"


def _networks(document: Mapping[str, Any]) -> Table:
    shown = Table(title="Every network of the fronts", title_justify="left", box=SIMPLE_HEAD)
    shown.add_column("widths", overflow="fold")
    shown.add_column("valid.", justify="right", no_wrap=True)
    for label in document["studies"]:
        shown.add_column(f"{label}, ms", justify="right", no_wrap=True)
        shown.add_column("trial", justify="right")
        shown.add_column(f"on {label}", overflow="fold")
    best = document["best_single"]["point"] if document["best_single"] else None
    for index, point in enumerate(document["points"]):
        cells = [cell for label in document["studies"] for cell in _cells(point, label)]
        mark = " *" if index == best else ""
        shown.add_row(f"{pruning_text(point)}{mark}", _accuracy(point), *cells)
    return shown


def _accuracy(point: Mapping[str, Any]) -> str:
    """On the validation split; both where studies that trained it otherwise do not agree."""
    found = [one["metrics"]["accuracy"] for one in point["measured"].values() if one]
    return " / ".join(dict.fromkeys(percent(accuracy) for accuracy in found))


def _cells(point: Mapping[str, Any], label: str) -> tuple[str, str, str]:
    """Its latency there, whose trial that is, and what the study's front says of it."""
    measured, verdict = point["measured"][label], point["verdict"][label]
    latency = trial = ""
    if measured:
        value_s = measured["metrics"]["latency_s"]
        interval = measured["intervals"].get("latency_s")
        width = f" ±{(interval[1] - interval[0]) / 2 / value_s:.1%}" if interval else ""
        latency = f"{value_s * 1e3:.4g}{width}"
        trial = f"{measured['trial']}{' of ' + measured['home'] if measured['visit'] else ''}"
    if not verdict:
        return latency, trial, "" if measured else "not measured"
    by = [str(number) for number in verdict["by"]]
    named = ", ".join(by[:_MOST_NAMED]) + (f" and {len(by) - _MOST_NAMED} more" if len(by) > _MOST_NAMED else "")
    said = f"{_VERDICTS[verdict['state']]} {named}{verdict['reason'] or ''}".strip()
    if label in point["on_front"]:  # nothing beats it there, or it would not be on the front
        return latency, trial, f"front; {said}" if by else "front"
    return latency, trial, said


def _remarks(document: Mapping[str, Any]) -> Iterator[str]:
    volumes = [
        f"{label} {found['value']:.3f}"
        for label, found in document["hypervolume"].items()
        if found["value"] is not None
    ]
    if volumes:
        yield f"Hypervolume, each of the box of its own study: {', '.join(volumes)}."
    for names in dict.fromkeys(tuple(point["widths"]) for point in document["points"]):
        yield f"Widths are those of: {', '.join(names)}."
    if document["best_single"]:
        yield "*: the best single network, whose loss against each device's own knee is least where it is largest."
    kinds = {
        label: dict.fromkeys(
            point["measured"][label]["provenance"]["latency_s"]
            for point in document["points"]
            if point["measured"][label]
        )
        for label in document["studies"]
    }
    told = [f"{', '.join(found)} on {label} ({document['devices'][label]})" for label, found in kinds.items() if found]
    if told:
        yield f"Latencies: {'; '.join(told)}."


def _rounded(share: float) -> str:
    return f"{share * 100:.0f} %"


def _unordered(labels: list[str]) -> list[tuple[str, str]]:
    return [(one, other) for index, one in enumerate(labels) for other in labels[index + 1 :]]
