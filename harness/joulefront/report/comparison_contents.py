"""What a comparison's page holds: the document of ``joulefront compare --json``, plots of it, and how each study was made."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from joulefront.report.axes import AXES
from joulefront.report.comparison_plots import agreement_plot, comparison_plot, disagreement_plot, titled, value
from joulefront.report.made import how_made
from joulefront.report.visible import all_visible
from joulefront.results import Results


def comparison_contents(studies: Sequence[Results], document: Mapping[str, Any]) -> dict[str, Any]:
    """The contents for ``studies``, in the order of the document's ``studies``."""
    every = [one for point in document["points"] for one in point["measured"].values() if one]
    axes = [axis for axis in AXES.values() if any(value(one, axis.name) is not None for one in every)]
    contents = {
        **document,
        "kind": "comparison",
        "read": datetime.now(UTC).isoformat(timespec="seconds"),
        "headline": _headline(document),
        "provenance": {label: _words(document, label) for label in document["studies"]},
        "axes": [asdict(axis) | {"title": axis.title, "titled": titled(axis, every)} for axis in axes],
        "made": [how_made(study) for study in studies],
    }
    return {**all_visible(contents), "figures": _figures(studies, document)}


def _headline(document: Mapping[str, Any]) -> str:
    """What survives least, or why nothing is known of that."""
    shares = {
        (home, away): share
        for home, others in document["survival"].items()
        for away, share in others.items()
        if share is not None
    }
    if not shares:
        reasons = [reason for others in document["survival_reason"].values() for reason in others.values() if reason]
        return f"No front can be judged on another device: {reasons[0]}." if reasons else "There is nothing to compare."
    if set(shares.values()) == {1.0}:
        return (
            f"Every network of one front that was measured on another device survives there: {_total(document)} judged."
        )
    # Of two studies both ways; of more, where least survives.
    pairs = list(shares) if len(document["studies"]) == 2 else [min(shares, key=lambda pair: shares[pair])]
    return " ".join(_share(document, home, away) for home, away in pairs)


def _share(document: Mapping[str, Any], home: str, away: str) -> str:
    counts = document["survival_counts"][home][away]
    judged = "" if counts["judged"] == counts["front"] else f" that {away} has measured, of {counts['front']} in all,"
    return f"Of {home}'s front, {counts['survive']} of the {counts['judged']} networks{judged} survive on {away}."


def _total(document: Mapping[str, Any]) -> int:
    return sum(counts["judged"] for others in document["survival_counts"].values() for counts in others.values())


def _words(document: Mapping[str, Any], label: str) -> list[str]:
    """The words for how a study's latencies came about."""
    seen = [point["measured"][label] for point in document["points"]]
    return sorted({one["provenance"]["latency_s"] for one in seen if one})


def _figures(studies: Sequence[Results], document: Mapping[str, Any]) -> dict[str, Any]:
    """The fronts, and by the places of two studies, such as "0-1", where they agree."""
    labels = document["studies"]
    pairs = list(itertools.combinations(range(len(labels)), 2))
    agreement = {f"{one}-{other}": agreement_plot(document, studies, one, other) for one, other in pairs}
    disagreement = {f"{one}-{other}": disagreement_plot(document, labels[one], labels[other]) for one, other in pairs}
    return {
        "fronts": _plain(comparison_plot(document, joined=True)) if document["points"] else None,
        "agreement": {pair: _plain(figure) for pair, figure in agreement.items()},
        "disagreement": {pair: _plain(figure) for pair, figure in disagreement.items()},
    }


def _plain(figure: Any) -> Any:
    return json.loads(figure.to_json()) if figure else None
