"""What each part of a network is worth and costs, as a picture: a row for each part, a mark for each width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from joulefront.report import canvas
from joulefront.report.visible import all_visible

# Even in lightness, so that it reads the same with any colour vision and in print; the palest end is left out.
_COLOURS, _PALEST = "viridis", 0.95
_OUT = "#D55E00"
_ROW_IN, _HEAD_IN, _LEAST_IN = 0.3, 1.9, 3.2
_LONGEST_NAME = 34
# Of points lost: linear up to here, logarithmic beyond.
_LINEAR_POINTS = 1.0
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class _Panel:
    """What the horizontal axis of a panel shows of a cut: its value and interval, None where it is missing."""

    label: str
    of: Callable[[Mapping[str, Any]], tuple[float, Sequence[float] | None] | None]


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw the document of ``joulefront sensitivity`` into ``path``, whose suffix says the format.

    Points of the metric lost, and beside it the share of the unpruned network's latency, and energy, that is left; of its
    multiply-accumulates where no device was asked. Raises ConfigError and StoreError as ``canvas.save``.
    """
    canvas.check(path)
    shown = all_visible(document)
    parts, panels = [part["part"] for part in shown["parts"]], _panels(shown)
    with canvas.settings():
        size = 3.0 + 3.4 * len(panels), max(_LEAST_IN, _HEAD_IN + _ROW_IN * len(parts))
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        across = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        colours = matplotlib.colormaps[_COLOURS]
        for axes, panel in zip(across, panels, strict=True):
            _fill(axes, panel, shown, parts, colours)
        first = across[0]
        first.set_yticks(range(len(parts)), [_short(name) for name in parts], fontsize=8)
        first.set_ylim(len(parts) - 0.4, -0.6)
        _lost_scale(first, shown)
        figure.suptitle(_title(shown), x=0.01, ha="left", fontsize=10)
        figure.colorbar(
            ScalarMappable(Normalize(0, 1 / _PALEST), colours),
            ax=list(across),
            label="share of channels kept",
            boundaries=[at / 100 for at in range(101)],
            ticks=[0, 0.25, 0.5, 0.75, 1],
            fraction=0.03,
            pad=0.01,
        ).ax.tick_params(labelsize=8)
        figure.legend(handles=_legend(shown), loc="outside lower left", ncols=2, frameon=False, fontsize=8)
        canvas.save(figure, path)


def _title(document: Mapping[str, Any]) -> str:
    where = f" on {document['device']}" if document["device"] else ""
    return (
        f"{document['model']}{where}: each part cut alone, by {document['criterion']}, and not fine-tuned "
        f"({document['examples']:,} validation examples)"
    )


def _panels(document: Mapping[str, Any]) -> list[_Panel]:
    lost = _Panel(f"points of the metric lost, of {document['unpruned']['metric'] * 100:.1f}", _lost)
    unpruned, provenance = document["unpruned"], document["provenance"]
    if document["device"] is None:
        macs = unpruned["macs"]
        counted = _Panel(
            "share of the multiply-accumulates left (counted)",
            lambda cut: (cut["macs"] / macs, None) if cut["macs"] is not None else None,
        )
        return [lost, counted]
    latency_ms = unpruned["latency_s"]["median"] * 1e3
    panels = [
        lost,
        _Panel(f"share of the {latency_ms:.3g} ms left ({provenance['latency_s']})", lambda cut: _left(cut, "latency")),
    ]
    if unpruned["energy_j"]:
        energy_mj = unpruned["energy_j"]["median"] * 1e3
        label = f"share of the {energy_mj:.3g} mJ left ({provenance['energy_j']})"
        panels.append(_Panel(label, lambda cut: _left(cut, "energy")))
    return panels


def _lost(cut: Mapping[str, Any]) -> tuple[float, Sequence[float] | None] | None:
    if cut["change"] is None:
        return None
    interval = [-100 * cut["interval"][1], -100 * cut["interval"][0]] if cut["interval"] else None
    return -100 * cut["change"], interval


def _left(cut: Mapping[str, Any], what: str) -> tuple[float, Sequence[float]] | None:
    share = cut[f"{what}_share"]
    return (share["ratio"], share["interval"]) if share else None


def _fill(axes: Axes, panel: _Panel, document: Mapping[str, Any], parts: Sequence[str], colours: Colormap) -> None:
    """The marks of a panel: one part's widths lie a little below one another, so that equal values are told apart."""
    channels = {part["part"]: part["channels"] for part in document["parts"]}
    for row, name in enumerate(parts):
        if row % 2:
            axes.axhspan(row - 0.5, row + 0.5, color="#000000", alpha=0.045, linewidth=0, zorder=0)
        cuts = [cut for cut in document["cuts"] if cut["part"] == name]
        for at, cut in enumerate(cuts):
            height = row + (0.6 * (at + 0.5) / len(cuts) - 0.3 if len(cuts) > 1 else 0.0)
            found = panel.of(cut)
            if found is None:
                continue
            value, interval = found
            kept = cut["width"] / channels[name] if channels[name] else None
            _mark(axes, value, interval, height, _OUT if kept is None else colours(kept * _PALEST), kept is None)
    axes.axvline(0 if panel.of is _lost else 1, color="#000000", linewidth=0.9, zorder=1)
    axes.set_xlabel(panel.label, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _mark(axes: Axes, value: float, interval: Sequence[float] | None, height: float, colour: Any, out: bool) -> None:
    reach = [[value - interval[0]], [interval[1] - value]] if interval else None
    axes.errorbar(
        [value],
        [height],
        xerr=reach,
        fmt="D" if out else "o",
        color=colour,
        markeredgecolor="#000000",
        markeredgewidth=0.4,
        markersize=4.5,
        elinewidth=1.0,
        zorder=3,
    )


def _lost_scale(axes: Axes, document: Mapping[str, Any]) -> None:
    """Where some cuts lose everything and most lose little: an axis that is logarithmic beyond a point."""
    ends = [end for cut in document["cuts"] if (found := _lost(cut)) for end in (found[0], *(found[1] or ()))]
    highest, lowest = max(ends, default=1.0), min(ends, default=0.0)
    if highest <= 10 * _LINEAR_POINTS:
        return
    axes.set_xscale("symlog", linthresh=_LINEAR_POINTS, linscale=0.7)
    ticks = [tick for tick in _TICKS if tick >= _LINEAR_POINTS]
    axes.xaxis.set_major_locator(FixedLocator([*(-tick for tick in ticks if -tick >= lowest), 0, *ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(min(1.15 * lowest, -0.3), 1.25 * highest)
    axes.set_xlabel(f"{axes.get_xlabel()} (logarithmic beyond ±1)", fontsize=9)


def _legend(document: Mapping[str, Any]) -> list[Line2D]:
    """What the marks mean, and what is missing."""
    style: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "#000000", "markeredgewidth": 0.4}
    interval = "95 % intervals" if document["interval_reason"] is None else "no interval of the metric"
    handles = [
        Line2D([], [], marker="o", color="#7d8794", label=f"cut to this share of its channels; {interval}", **style)
    ]
    if any(part["channels"] is None for part in document["parts"]):
        handles.append(Line2D([], [], marker="D", color=_OUT, label="the whole block taken out", **style))
    handles.append(Line2D([], [], color="#000000", linewidth=0.9, label="the unpruned network"))
    failed = sum(cut["failure"] is not None for cut in document["cuts"])
    if failed:
        handles.append(Line2D([], [], linestyle="none", label=f"not all shown: {failed} of the networks failed"))
    return handles


def _short(name: str) -> str:
    """The end of a long name, which tells it from its neighbours."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
