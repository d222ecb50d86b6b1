"""SI values as people read them: ms, mJ, percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulefront.report.axes import AXES


def quantities(values: Mapping[str, float]) -> str:
    """Objectives, in SI units, in one line."""
    return ", ".join(f"{AXES[name].short} {AXES[name].shown(value)}" for name, value in values.items())


def percent(share: float | None) -> str:
    """A share as a percentage; nothing for None."""
    return "" if share is None else f"{share * 100:.2f} %"


def milli(value: float | None, interval: Sequence[float] | None, digits: int = 4, why: str | None = None) -> str:
    """A quantity in thousandths of its unit, with half its interval as a share of it; nothing for None.

    ``why`` the interval is only indicative, if it is, makes a tilde of it.
    """
    if value is None:
        return ""
    # A coarse clock may give 0, of which nothing is a share.
    half_width = f" {'~' if why else ''}±{(interval[1] - interval[0]) / 2 / value:.1%}" if interval and value else ""
    return f"{value * 1e3:.{digits}g}{half_width}"


def tail(document: Mapping[str, Any]) -> str:
    """The 99th percentile of a measurement's document, or why there is none."""
    p99 = document["latency_p99_s"]
    if not p99:
        return f"no p99: {document['latency_p99_reason']}"
    value, *share = milli(p99["median"], p99["interval"]).split()
    return " ".join([f"p99 {value} ms", *share])
