"""The front of one study, or of several, as a picture for a paper: PNG, SVG or PDF, the same bytes for the same studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from joulefront.objectives import JUDGED
from joulefront.records import Estimate, Trial
from joulefront.report import canvas
from joulefront.report.axes import AXES, Axis, interval, provenance, value
from joulefront.report.visible import visible
from joulefront.results import Results

# Okabe and Ito (2008): told apart with any colour vision; the markers differ as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "v", "P", "X", "D")
_FAINT, _KNEE = "#b8bec7", "#F0E442"
_MOST_PANELS = 3
# A paper has the room to say it in full.
_IN_FULL = {
    "latency_s": "median latency of one inference, ms",
    "latency_p99_s": "99th percentile of the latency of one inference, ms",
    "energy_j": "energy of one inference, mJ",
}


def draw(studies: Sequence[Results], path: Path) -> None:
    """Draw the studies' fronts over one another into ``path``, whose suffix says the format.

    The first judgement that all of them minimise over each cost that they minimise, up to three beside one another; where
    that is the latency alone, over energy too where every study has a meter. Raises ConfigError for another suffix or a
    folder that is not there, and StoreError when the file cannot be written.
    """
    canvas.check(path)
    costs, up = _costs(studies), _judgement(studies)
    with canvas.settings():
        figure = Figure(figsize=(4.4 + 4 * len(costs), 4.6), dpi=200, layout="constrained")
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, cost in zip(panels, costs, strict=True):
            _panel(axes, studies, cost, up)
        panels[0].set_ylabel(up.title)
        panels[0].set_ylim(_lowest(studies, up), _highest(studies, up))
        if len(studies) == 1:
            panels[0].set_title(_title(studies[0]), loc="left", fontsize=10)
        if handles := _legend(studies, up):
            figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
        canvas.save(figure, path)


def _title(results: Results) -> str:
    state = "" if results.settled else " (still searching: screening figures)"
    return visible(f"{results.name} on {results.study.device}{state}")


def _shared(studies: Sequence[Results]) -> list[str]:
    """What all of them minimise, as the first one orders it."""
    return [name for name in studies[0].objectives if all(name in results.objectives for results in studies)]


def _costs(studies: Sequence[Results]) -> list[Axis]:
    """What the panels show."""
    names = [name for name in _shared(studies) if name not in JUDGED][:_MOST_PANELS] or ["latency_s"]
    if names == ["latency_s"] and all(_has_energy(results) for results in studies):
        names.append("energy_j")
    return [AXES[name] for name in names]


def _judgement(studies: Sequence[Results]) -> Axis:
    """What the panels share the axis of."""
    return AXES[next((name for name in _shared(studies) if name in JUDGED), "error")]


def _has_energy(results: Results) -> bool:
    ran = [trial for trial in results.trials if trial.failure is None]
    return bool(ran) and all(value(trial, "energy_j") is not None for trial in ran)


def _highest(studies: Sequence[Results], up: Axis) -> float:
    """Where the vertical axis ends: a little above the fronts. The legend counts what lies beyond."""
    kept = [trial for results in studies for trial in [*results.front, *_unpruned(results)]]
    shown = kept or [trial for results in studies for trial in _cloud(results)]
    tops = [point.high for trial in shown if (point := _point(trial, up))]
    return 1.1 * max(tops, default=0.9 * up.factor) or 0.01 * up.factor


def _lowest(studies: Sequence[Results], up: Axis) -> float:
    """Where it begins: at 0, or below what is less, as a loss may be."""
    every = [point.low for results in studies for trial in results.trials if (point := _point(trial, up))]
    return min([0.0, *(1.1 * low for low in every)])


def _legend(studies: Sequence[Results], up: Axis) -> list[Line2D]:
    """What the marks mean: each study's front, and once for all of them what is drawn alike."""
    alone, highest = len(studies) == 1, _highest(studies, up)
    cloud = [trial for results in studies for trial in _cloud(results)]
    above = sum(point.value > highest for trial in cloud if (point := _point(trial, up)))
    handles = []
    for at, results in enumerate(studies):
        grade = "full" if results.settled else "screening"
        name = "the front" if alone else f"{_title(results)}, {_words(results.front, AXES['latency_s'])}"
        if results.front:
            style = {"marker": _MARKERS[at % len(_MARKERS)], "color": _COLOURS[at % len(_COLOURS)]}
            handles.append(_mark(f"{name}: {grade} grade, 95 % intervals", **style))
    if any(results.unpruned for results in studies):
        handles.append(_mark("the unpruned network", marker="D", color="#000000", markerfacecolor="white"))
    if any(results.knee for results in studies):
        handles.append(_mark("the front's knee", marker="*", color=_KNEE, markeredgecolor="#000000", markersize=11))
    if cloud:
        beyond = f" ({above} above the axis)" if above else ""
        handles.append(_mark(f"screened in the search: {len(cloud)}{beyond}", marker="o", color=_FAINT, markersize=4))
    return handles


def _mark(label: str, **style: Any) -> Line2D:
    return Line2D([], [], linestyle="none", label=label, **style)


def _panel(axes: Axes, studies: Sequence[Results], cost: Axis, up: Axis) -> None:
    alone = len(studies) == 1
    shown: list[Trial] = []
    for at, results in enumerate(studies):
        colour, marker = _COLOURS[at % len(_COLOURS)], _MARKERS[at % len(_MARKERS)]
        cloud, unpruned = _cloud(results), _unpruned(results)
        _dots(axes, _points(cloud, cost, up), _FAINT if alone else colour)
        _bars(axes, _points(results.front, cost, up), colour, marker)
        _bars(axes, _points(unpruned, cost, up), "#000000" if alone else colour, "D", hollow=True)
        _star(axes, _points([results.knee] if results.knee else [], cost, up), colour)
        shown += [*cloud, *results.front, *unpruned]
    if not shown:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no network has been measured yet", transform=axes.transAxes, ha="center", va="center")
    else:
        _scale(axes, [point.value for trial in shown if (point := _point(trial, cost)) and point.value > 0])
    words = "; ".join(filter(None, [_words(shown, cost), "logarithmic"]))
    label = _IN_FULL.get(cost.name, cost.title)
    axes.set_xlabel(f"{label} ({words})" if shown else label)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _words(trials: Sequence[Trial], cost: Axis) -> str:
    """Whether they were measured or simulated; nothing of what is no device's."""
    return " and ".join(sorted({word for trial in trials if (word := provenance(trial, cost.name))}))


def _cloud(results: Results) -> list[Trial]:
    """What the search saw; a search that goes on has its front in there as well."""
    return [trial for trial in results.trials if trial.failure is None and trial.fidelity == "screen"]


def _unpruned(results: Results) -> list[Trial]:
    return [results.unpruned] if results.unpruned else []


def _point(trial: Trial, axis: Axis) -> Estimate | None:
    """A trial's value as it is shown, with its interval; what has none reaches no further than its value."""
    found = value(trial, axis.name)
    if found is None:
        return None
    low, high = interval(trial, axis.name) or (found, found)
    return Estimate(found * axis.factor, low * axis.factor, high * axis.factor)


def _points(trials: Sequence[Trial], cost: Axis, up: Axis) -> list[tuple[Estimate, Estimate]]:
    """The trials that have both."""
    pairs = [(_point(trial, cost), _point(trial, up)) for trial in trials]
    return [(x, y) for x, y in pairs if x and y]


def _dots(axes: Axes, points: Sequence[tuple[Estimate, Estimate]], colour: str) -> None:
    if points:
        across, up = zip(*((x.value, y.value) for x, y in points), strict=True)
        axes.scatter(across, up, s=14, color=colour, alpha=0.45, linewidths=0, zorder=2)


def _bars(
    axes: Axes, points: Sequence[tuple[Estimate, Estimate]], colour: str, marker: str, *, hollow: bool = False
) -> None:
    if not points:
        return
    axes.errorbar(
        [x.value for x, _ in points],
        [y.value for _, y in points],
        xerr=_reach([x for x, _ in points]),
        yerr=_reach([y for _, y in points]),
        fmt=marker,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        markersize=6,
        capsize=2.5,
        elinewidth=0.9,
        zorder=3,
    )


def _star(axes: Axes, points: Sequence[tuple[Estimate, Estimate]], colour: str) -> None:
    for x, y in points:
        axes.scatter(x.value, y.value, s=190, marker="*", color=_KNEE, edgecolors=colour, linewidths=1.2, zorder=4)


def _reach(estimates: Sequence[Estimate]) -> list[list[float]]:
    """How far each interval reaches below and above its value."""
    return [[one.value - one.low for one in estimates], [one.high - one.value for one in estimates]]


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis whose labels are plain numbers, a few in each decade."""
    axes.set_xscale("log")
    decades = math.log10(max(values) / min(values)) if values else 1.0
    steps: Any = (1,) if decades > 3 else (1, 2, 5) if decades > 0.8 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
