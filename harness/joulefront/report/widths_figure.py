"""What is left of each layer of a pruned network, as a picture: a bar for each group of channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from joulefront.errors import ConfigError
from joulefront.report import canvas
from joulefront.report.visible import visible
from joulefront.space_records import Pruning, inside

_KEPT, _GONE = "#0072B2", "#dfe3e8"
_ROW_IN, _HEAD_IN, _LEAST_IN = 0.26, 1.2, 2.4


def check(full: Mapping[str, int], path: Path) -> None:
    """Raises ConfigError as ``draw`` does: before any work."""
    canvas.check(path)
    if not full:
        raise ConfigError(f"{path}: no layer has channels that can be cut, so that there are no widths to draw")


def draw(full: Mapping[str, int], pruning: Pruning, title: str, path: Path) -> None:
    """Draw the channels that each group keeps of its ``full`` width into ``path``, whose suffix says the format.

    Groups in the order of ``full``; what ``pruning`` does not name is whole, and what lies in a block that is taken out is
    gone. Raises ConfigError where there are no groups, and as ``canvas.save``, which raises StoreError as well.
    """
    check(full, path)
    with canvas.settings():
        size = 7.0, max(_LEAST_IN, _HEAD_IN + _ROW_IN * len(full))
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        axes = figure.subplots()
        for row, (name, channels) in enumerate(full.items()):
            _bar(axes, row, pruning.widths.get(name, channels), channels, gone=inside(name, pruning.dropped))
        axes.set_yticks(range(len(full)), [visible(name) for name in full], fontsize=8)
        axes.set_ylim(len(full) - 0.4, -0.6)
        axes.set_xlim(0, 1.16 * max(full.values()))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(axis="x", labelsize=8)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("channels: kept, and gone (pale)", fontsize=9)
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        figure.suptitle(visible(title), x=0.01, ha="left", fontsize=10)
        canvas.save(figure, path)


def _bar(axes: Axes, row: int, kept: int, channels: int, *, gone: bool) -> None:
    left = 0 if gone else kept
    axes.barh(row, channels, height=0.72, color=_GONE, linewidth=0)
    axes.barh(row, left, height=0.72, color=_KEPT, linewidth=0)
    words = f"0 of {channels}: block taken out" if gone else f"{left} of {channels}"
    axes.annotate(words, (channels, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5)
