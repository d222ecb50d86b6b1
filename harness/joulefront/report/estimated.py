"""Estimates in the JSON documents and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from joulefront.records import Estimate


def estimated(estimate: Estimate | None) -> dict[str, Any] | None:
    """The document of an estimate. An end that there is none of is None, as is ``indicative`` where nothing is in doubt."""
    if estimate is None or not math.isfinite(estimate.value):
        return None
    return {
        "median": estimate.value,
        "interval": [end if math.isfinite(end) else None for end in (estimate.low, estimate.high)],
        "indicative": estimate.indicative,
    }


def in_words(document: Mapping[str, Any], unit: str, factor: float = 1e3) -> str:
    """An estimate's document with its interval, in ``unit``, of which ``factor`` make the SI unit."""
    low, high = document["interval"]
    value = f"{document['median'] * factor:.4g} {unit}"
    if low is None or high is None:
        return f"{value}, no interval: there is nothing that it could be told from"
    word = "indicative interval" if document.get("indicative") else "95 % interval"
    return f"{value}, {word} {low * factor:.4g} to {high * factor:.4g} {unit}"
