"""A study as plotly figures, for its page and for notebooks.

Each point's ``customdata`` is its trial's number. What others wrote is escaped: plotly reads some HTML in its texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from joulefront.records import Trial
from joulefront.report.axes import AXES, Axis, axis_of, default_axes, interval, known_axes, titled, value
from joulefront.report.hover import hover
from joulefront.report.style import ACCENT, NEUTRAL, axis_type, error_bars, layout, scale
from joulefront.results import Results


def front_plot(results: Results, x: str | None = None, y: str | None = None) -> go.Figure:
    """The front over two quantities with 95 % intervals, above the search's trials as a cloud.

    ``x`` and ``y`` are names of ``axes.AXES``: by default the first cost and the error. Trials without a value are left
    out. Raises ConfigError for another name.
    """
    defaults = default_axes(results)
    across, up = axis_of(x or defaults[0]), axis_of(y or defaults[1])
    figure = go.Figure(layout=layout())
    for name, trials, style in _groups(results):
        figure.add_trace(
            go.Scatter(
                name=name,
                mode="markers",
                x=[_shown(trial, across) for trial in trials],
                y=[_shown(trial, up) for trial in trials],
                error_x=_bars(trials, across, style),
                error_y=_bars(trials, up, style),
                **_points(results, trials, style),
            )
        )
    if len(results.objectives) == 2 and set(results.objectives) == {across.name, up.name}:
        figure.add_trace(_staircase(results, across, up))
    types = {axis.name: axis_type(value(trial, axis.name) for trial in results.trials) for axis in (across, up)}
    figure.update_xaxes(title_text=titled(across, results.trials), **scale(types[across.name]))
    figure.update_yaxes(title_text=titled(up, results.trials), **scale(types[up.name]))
    figure.update_layout(meta={"x": across.name, "y": up.name})
    for name, limit in results.study.limits.given.items():
        if name == across.name:
            figure.add_vline(limit * across.factor, line={"dash": "dot", "color": NEUTRAL, "width": 1})
        if name == up.name:
            figure.add_hline(limit * up.factor, line={"dash": "dot", "color": NEUTRAL, "width": 1})
    return figure


def front_plot_3d(results: Results) -> go.Figure:
    """The front over its first cost, its first judgement and, as the third axis, a further cost.

    Where the study minimises no other, that is energy where there is any, or else the parameters.
    """
    axes = dict(zip("xyz", (AXES[name] for name in _three(results)), strict=True))
    figure = go.Figure(layout=layout())
    for name, trials, style in _groups(results):
        points = _points(results, trials, style)
        points["marker"] |= {"size": style["size"] * 0.55}
        values = {key: [_shown(trial, axis) for trial in trials] for key, axis in axes.items()}
        bars = {f"error_{key}": _bars(trials, axis, style) for key, axis in axes.items()}
        figure.add_trace(go.Scatter3d(name=name, mode="markers", **values, **bars, **points))
    types = {key: axis_type(value(trial, axis.name) for trial in results.trials) for key, axis in axes.items()}
    steps = {key: {"dtick": "D2"} if kind == "log" else {} for key, kind in types.items()}
    scene = {
        f"{key}axis": {"title": {"text": titled(axis, results.trials)}, "type": types[key], **steps[key]}
        for key, axis in axes.items()
    }
    camera = {"eye": {"x": 1.55, "y": 1.55, "z": 0.75}, "center": {"x": 0, "y": 0, "z": -0.12}}
    figure.update_layout(margin={"l": 0, "r": 0, "b": 0})
    return figure.update_scenes(aspectmode="cube", camera=camera, **scene)


def _three(results: Results) -> tuple[str, str, str]:
    across, up = default_axes(results)
    further = [
        *results.objectives,
        *(["energy_j"] if AXES["energy_j"] in known_axes(results) else []),
        "params",
        "macs",
    ]
    return across, up, next(name for name in further if name not in (across, up))


def _groups(results: Results) -> Iterable[tuple[str, Sequence[Trial], dict[str, Any]]]:
    """The traces of a front's plot from the back to the front: their names, trials and style."""
    front = {trial.number for trial in results.front}
    special = front | ({results.unpruned.number} if results.unpruned else set())
    ran = [trial for trial in results.trials if trial.failure is None and trial.number not in special]
    screened = [trial for trial in ran if trial.fidelity == "screen"]
    beaten = [trial for trial in ran if trial.fidelity == "full"]
    if screened:
        yield "search", screened, {"color": NEUTRAL, "size": 6, "opacity": 0.4, "symbol": "circle", "bars": False}
    if beaten:
        yield "settled, beaten", beaten, {"color": NEUTRAL, "size": 7, "symbol": "circle-open", "bars": True}
    if front:
        yield "front", results.front, {"color": ACCENT, "size": 9, "symbol": "circle", "bars": True}
    if results.unpruned:
        yield "unpruned", [results.unpruned], {"color": NEUTRAL, "size": 12, "symbol": "diamond", "bars": True}
    if results.knee:
        yield "knee", [results.knee], {"color": ACCENT, "size": 19, "symbol": "circle-open", "bars": False}


def _points(results: Results, trials: Sequence[Trial], style: dict[str, Any]) -> dict[str, Any]:
    return {
        "customdata": [trial.number for trial in trials],
        "hovertext": [hover(results, trial) for trial in trials],
        "hoverinfo": "text",
        "opacity": style.get("opacity", 1),
        "marker": {
            "color": style["color"],
            "size": style["size"],
            "symbol": style["symbol"],
            "line": {"width": 2 if style["symbol"].endswith("open") else 0, "color": style["color"]},
        },
    }


def _bars(trials: Sequence[Trial], axis: Axis, style: dict[str, Any]) -> dict[str, Any]:
    if not style["bars"]:
        return {"visible": False}
    middles = [value(trial, axis.name) for trial in trials]
    return error_bars(middles, [interval(trial, axis.name) for trial in trials], axis.factor, style["color"])


def _staircase(results: Results, across: Axis, up: Axis) -> go.Scatter:
    """The border of what the front's points dominate, by their values."""
    points = sorted((trial.objectives[across.name], trial.objectives[up.name]) for trial in results.front)
    steps: list[tuple[float, float]] = []
    for x, y in points:
        if not steps or y < steps[-1][1]:
            steps.append((x, y))
    return go.Scatter(
        name="border",
        x=[x * across.factor for x, _ in steps],
        y=[y * up.factor for _, y in steps],
        mode="lines",
        line={"shape": "hv", "width": 1, "color": ACCENT},
        hoverinfo="skip",
        showlegend=False,
    )


def _shown(trial: Trial, axis: Axis) -> float | None:
    found = value(trial, axis.name)
    return None if found is None else found * axis.factor
