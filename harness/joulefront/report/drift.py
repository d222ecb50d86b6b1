"""Whether a study's device drifted: its reference measured again and again, as a document and in words."""

from __future__ import annotations

from typing import Any

from joulefront.canary import Canary
from joulefront.report.estimated import estimated
from joulefront.results import Results


def document(results: Results) -> list[dict[str, Any]]:
    """Each time that the reference was measured again, as a ratio of what it was at first; in the order of time."""
    return [
        {
            "before": canary.before,
            "fidelity": canary.fidelity,
            "reference": canary.network,
            "at": canary.at,
            "latency_ratio": estimated(canary.latency),
            "energy_ratio": estimated(canary.energy),
            "apart": list(canary.apart),
            "provenance": canary.provenance,
        }
        for canary in results.canaries
    ]


def in_words(results: Results) -> tuple[str, str] | None:
    """What it came to, as a kind ("loud" or "") and a sentence; None where nothing was measured again."""
    canaries = results.canaries
    if not canaries:
        return None
    apart = [canary for canary in canaries if canary.apart]
    times = _times(len(canaries))
    if apart:
        worst = max(apart, key=lambda canary: abs(_farthest(canary) - 1))
        return "loud", (
            f"The device drifted: its reference was measured again {times}, and differed {_times(len(apart))} beyond the "
            f"intervals, by a factor of {_farthest(worst):.4g} before trial {worst.before}. Measurements since carry a warning"
        )
    ratios = [canary.latency.value for canary in canaries]
    return "", (
        f"The reference was measured again {times}, and no drift was seen: {min(ratios):.4g} to {max(ratios):.4g} times its "
        "first latency"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _farthest(canary: Canary) -> float:
    """The ratio of those that are apart that is farthest from 1."""
    ratios = {"latency_s": canary.latency, "energy_j": canary.energy}
    return max((ratio.value for name in canary.apart if (ratio := ratios[name])), key=lambda value: abs(value - 1))
