"""What all plots have in common: colours that are legible on light and on dark, and the layout."""

from __future__ import annotations

from typing import Any

ACCENT, NEUTRAL, CLOUD = "#3d7de0", "#7d8794", "rgba(125,135,148,0.42)"


def layout(height: int = 460) -> dict[str, Any]:
    """The layout that every plot begins with."""
    return {
        "template": "plotly_white",
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 60, "r": 12, "t": 30, "b": 50},
        "height": height,
    }
