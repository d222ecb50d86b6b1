"""What all plots have in common: colours that are legible on light and on dark, the layout, intervals as bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

ACCENT, NEUTRAL = "#3d7de0", "#7d8794"
# One a study: Okabe and Ito's, which those who see few colours tell apart too. Markers differ as well.
COLOURS = ("#1b7fc4", "#e08a00", "#009e73", "#c9679c", "#56b4e9", "#d55e00")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "star", "x")

# Values that span more than this are drawn on a logarithmic axis.
_LINEAR_SPAN = 10


def layout(height: int = 460) -> dict[str, Any]:
    """The layout that every plot begins with."""
    return {
        "template": "plotly_white",
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 60, "r": 12, "t": 30, "b": 50},
        "height": height,
    }


def axis_type(values: Iterable[float | None]) -> str:
    """Whether an axis with these values is better "linear" or "log"."""
    known = [value for value in values if value is not None]
    return "log" if known and min(known) > 0 and max(known) / min(known) > _LINEAR_SPAN else "linear"


def scale(kind: str) -> dict[str, Any]:
    """A flat axis that is "linear" or "log"; the latter says 0.01, 0.02, 0.05, not a small 2 and 5 behind 0.01."""
    return {"type": kind, "dtick": "D2", "minorloglabels": "complete"} if kind == "log" else {"type": kind}


def error_bars(
    middles: Sequence[float | None], intervals: Sequence[Sequence[float] | None], factor: float, colour: str
) -> dict[str, Any]:
    """Intervals about values as plotly has them, both in SI units; ``factor`` brings them into the axis's unit."""
    pairs = list(zip(middles, intervals, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [(ends[1] - middle) * factor if ends and middle is not None else 0.0 for middle, ends in pairs],
        "arrayminus": [(middle - ends[0]) * factor if ends and middle is not None else 0.0 for middle, ends in pairs],
        "thickness": 1,
        "width": 2,
        "color": colour,
    }
