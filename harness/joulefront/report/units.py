"""SI values as people read them: ms, mJ, percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_SHOWN = {"error": ("error", 100.0, " %"), "latency_s": ("latency", 1e3, " ms"), "energy_j": ("energy", 1e3, " mJ")}


def quantities(values: Mapping[str, float]) -> str:
    """Objectives, in SI units, in one line."""
    parts = []
    for name, value in values.items():
        label, factor, unit = _SHOWN.get(name, (name, 1.0, ""))
        parts.append(f"{label} {value * factor:.4g}{unit}")
    return ", ".join(parts)


def percent(share: float | None) -> str:
    """A share as a percentage; nothing for None."""
    return "" if share is None else f"{share * 100:.2f} %"


def milli(value: float | None, interval: Sequence[float] | None, digits: int = 4) -> str:
    """A quantity in thousandths of its unit, with half its interval as a share of it; nothing for None."""
    if value is None:
        return ""
    # A coarse clock may give 0, of which nothing is a share.
    half_width = f" ±{(interval[1] - interval[0]) / 2 / value:.1%}" if interval and value else ""
    return f"{value * 1e3:.{digits}g}{half_width}"
