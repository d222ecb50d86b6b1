"""The front of one study, or of several, as a picture for a paper: PNG, SVG or PDF, the same bytes for the same studies."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from joulefront.cache import disk
from joulefront.errors import ConfigError
from joulefront.records import Estimate, Trial
from joulefront.report.visible import visible
from joulefront.results import Results

# What each kind of file would otherwise say of the time at which it was written.
_UNDATED: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
# Okabe and Ito (2008): told apart with any colour vision; the markers differ as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "v", "P", "X", "D")
_FAINT, _KNEE = "#b8bec7", "#F0E442"


@dataclass(frozen=True, slots=True)
class _Cost:
    """What the horizontal axis of a panel shows, in thousandths of its unit."""

    label: str
    of: Callable[[Trial], Estimate | None]
    provenance: Callable[[Trial], str | None]


_LATENCY = _Cost(
    "median latency of one inference, ms",
    lambda trial: trial.measurement.latency_s if trial.measurement else None,
    lambda trial: trial.measurement.provenance if trial.measurement else None,
)
_ENERGY = _Cost(
    "energy of one inference, mJ",
    lambda trial: trial.measurement.energy_j if trial.measurement else None,
    lambda trial: trial.measurement.energy_provenance if trial.measurement else None,
)


def draw(studies: Sequence[Results], path: Path) -> None:
    """Draw the studies' fronts over one another into ``path``, whose suffix says the format.

    Error over latency, and over energy beside it where every study has a meter. Raises ConfigError for another suffix or a
    folder that is not there, and StoreError when the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _UNDATED:
        raise ConfigError(f"{path}: expected a file that ends in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it, or name another file")
    costs = [_LATENCY, *([_ENERGY] if all(_has_energy(results) for results in studies) else [])]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever a user's own settings are
        # Names are no formulas; ids do not hang on the time; a PDF's letters can be searched.
        matplotlib.rcParams.update({"text.parse_math": False, "svg.hashsalt": "joulefront", "pdf.fonttype": 42})
        figure = Figure(figsize=(4.4 + 4 * len(costs), 4.6), dpi=200, layout="constrained")
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, cost in zip(panels, costs, strict=True):
            _panel(axes, studies, cost)
        panels[0].set_ylabel("error on the validation split, %")
        panels[0].set_ylim(0, _highest_error(studies) * 100)
        if len(studies) == 1:
            panels[0].set_title(_title(studies[0]), loc="left", fontsize=10)
        if handles := _legend(studies):
            figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix[1:], metadata=_UNDATED[suffix])
    with disk(str(path)):
        path.write_bytes(picture.getvalue())


def _title(results: Results) -> str:
    state = "" if results.settled else " (still searching: screening figures)"
    return visible(f"{results.name} on {results.study.device}{state}")


def _has_energy(results: Results) -> bool:
    ran = [trial for trial in results.trials if trial.failure is None]
    return bool(ran) and all(_ENERGY.of(trial) for trial in ran)


def _highest_error(studies: Sequence[Results]) -> float:
    """Where the axis of the error ends, as a share: a little above the fronts. The legend counts what lies beyond."""
    kept = [trial for results in studies for trial in [*results.front, *_unpruned(results)]]
    shown = kept or [trial for results in studies for trial in _cloud(results)]
    return 1.1 * max((_error(trial).high for trial in shown), default=0.9) or 0.01


def _legend(studies: Sequence[Results]) -> list[Line2D]:
    """What the marks mean: each study's front, and once for all of them what is drawn alike."""
    alone, highest = len(studies) == 1, _highest_error(studies)
    cloud = [trial for results in studies for trial in _cloud(results)]
    above = sum(_error(trial).value > highest for trial in cloud)
    handles = []
    for at, results in enumerate(studies):
        grade = "full" if results.settled else "screening"
        name = "the front" if alone else f"{_title(results)}, {_words(results.front, _LATENCY)}"
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


def _panel(axes: Axes, studies: Sequence[Results], cost: _Cost) -> None:
    alone = len(studies) == 1
    shown: list[Trial] = []
    for at, results in enumerate(studies):
        colour, marker = _COLOURS[at % len(_COLOURS)], _MARKERS[at % len(_MARKERS)]
        cloud, unpruned = _cloud(results), _unpruned(results)
        _dots(axes, cost, cloud, _FAINT if alone else colour)
        _bars(axes, cost, results.front, colour, marker)
        _bars(axes, cost, unpruned, "#000000" if alone else colour, "D", hollow=True)
        if results.knee:
            _star(axes, cost, results.knee, colour)
        shown += [*cloud, *results.front, *unpruned]
    if not shown:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no network has been measured yet", transform=axes.transAxes, ha="center", va="center")
    else:
        _scale(axes, [estimate.value * 1e3 for trial in shown if (estimate := cost.of(trial)) and estimate.value > 0])
    axes.set_xlabel(f"{cost.label} ({_words(shown, cost)}; logarithmic)" if shown else cost.label)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _words(trials: Sequence[Trial], cost: _Cost) -> str:
    """Whether they were measured or simulated."""
    return " and ".join(sorted({word for trial in trials if (word := cost.provenance(trial))}))


def _cloud(results: Results) -> list[Trial]:
    """What the search saw; a search that goes on has its front in there as well."""
    return [trial for trial in results.trials if trial.failure is None and trial.fidelity == "screen"]


def _unpruned(results: Results) -> list[Trial]:
    return [results.unpruned] if results.unpruned else []


def _error(trial: Trial) -> Estimate:
    if trial.candidate is None:
        raise ValueError(f"trial {trial.number} has no outcome")
    return trial.candidate.score.error


def _dots(axes: Axes, cost: _Cost, trials: Sequence[Trial], colour: str) -> None:
    points = [(estimate.value * 1e3, _error(trial).value * 100) for trial in trials if (estimate := cost.of(trial))]
    if points:
        costs, errors = zip(*points, strict=True)
        axes.scatter(costs, errors, s=14, color=colour, alpha=0.45, linewidths=0, zorder=2)


def _bars(axes: Axes, cost: _Cost, trials: Sequence[Trial], colour: str, marker: str, *, hollow: bool = False) -> None:
    pairs = [(estimate, _error(trial)) for trial in trials if (estimate := cost.of(trial))]
    if not pairs:
        return
    axes.errorbar(
        [one.value * 1e3 for one, _ in pairs],
        [error.value * 100 for _, error in pairs],
        xerr=_reach([one for one, _ in pairs], 1e3),
        yerr=_reach([error for _, error in pairs], 100),
        fmt=marker,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        markersize=6,
        capsize=2.5,
        elinewidth=0.9,
        zorder=3,
    )


def _star(axes: Axes, cost: _Cost, knee: Trial, colour: str) -> None:
    if estimate := cost.of(knee):
        at = [estimate.value * 1e3], [_error(knee).value * 100]
        axes.scatter(*at, s=190, marker="*", color=_KNEE, edgecolors=colour, linewidths=1.2, zorder=4)


def _reach(estimates: Sequence[Estimate], factor: float) -> list[list[float]]:
    """How far each interval reaches below and above its value."""
    return [
        [(estimate.value - estimate.low) * factor for estimate in estimates],
        [(estimate.high - estimate.value) * factor for estimate in estimates],
    ]


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis whose labels are plain numbers, a few in each decade."""
    axes.set_xscale("log")
    decades = math.log10(max(values) / min(values)) if values else 1.0
    steps: Any = (1,) if decades > 3 else (1, 2, 5) if decades > 0.8 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
