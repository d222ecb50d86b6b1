"""How a search went, as plotly figures: hypervolume, the front's widths, the device's temperature and frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from joulefront.front import hypervolume, reference_point, unpruned_of
from joulefront.records import Trial
from joulefront.report.hover import plain, short
from joulefront.report.pruned import option_text
from joulefront.report.style import ACCENT, NEUTRAL, layout
from joulefront.results import Results

_MOST_MARKERS = 60  # on a line that are told apart
_MOST_TEXTS = 600  # cells of a heat map that are still legible with a number in each


def hypervolume_plot(results: Results) -> go.Figure | None:
    """The search's hypervolume after each of its trials; None where the unpruned network did not run."""
    searched = [trial for trial in results.trials if trial.fidelity == "screen"]
    unpruned = unpruned_of(searched, results.space)
    if unpruned is None:
        return None
    point = reference_point(unpruned, results.objectives)
    best: list[Trial] = []
    reached, values = 0.0, []
    for trial in searched:
        if _widens(trial, best, results.objectives):
            best = [one for one in best if not _covers(trial, one, results.objectives)] + [trial]
            reached = hypervolume(best, point).value
        values.append(reached)
    figure = go.Figure(layout=layout())
    figure.add_trace(
        go.Scatter(
            name="hypervolume",
            x=list(range(1, len(searched) + 1)),
            y=values,
            customdata=[trial.number for trial in searched],
            mode="lines" if len(searched) > _MOST_MARKERS else "lines+markers",
            marker={"size": 4},
            line={"shape": "hv", "color": ACCENT, "width": 2},
            hovertemplate="%{y:.4f} after trial %{customdata}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="networks tried")
    figure.update_yaxes(title_text="hypervolume", rangemode="tozero")
    return figure


def widths_plot(results: Results) -> go.Figure | None:
    """What the front's networks keep, a row a gene, a column a network, as shares of the unpruned; None without a front."""
    genes, front = results.space.genes, results.front
    if not front:
        return None
    rows = [(gene, [trial.genome[row] for trial in front]) for row, gene in enumerate(genes)]
    figure = go.Figure(layout=layout())
    figure.add_trace(
        go.Heatmap(
            z=[[gene.kept(index) for index in indices] for gene, indices in rows],
            text=[[option_text(gene, index) for index in indices] for gene, indices in rows],
            hovertext=[[f"{plain(gene.name)}: {option_text(gene, index)} of {option_text(gene, -1)}" for index in indices]
                       for gene, indices in rows],
            customdata=[[trial.number for trial in front]] * len(genes),
            hovertemplate="trial %{customdata}<br>%{hovertext}<extra></extra>",
            texttemplate="%{text}" if len(genes) * len(front) <= _MOST_TEXTS else None,
            colorscale=[[0.0, "#eef3fb"], [0.5, "#7fa9ea"], [1.0, "#17468f"]],
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"tickformat": ".0%", "thickness": 10, "outlinewidth": 0},
        )
    )  # fmt: skip
    knee = results.knee.number if results.knee else None
    labels = [f"<b>{trial.number}</b>" if trial.number == knee else str(trial.number) for trial in front]
    figure.update_xaxes(title_text="trial", tickvals=list(range(len(front))), ticktext=labels)
    figure.update_yaxes(
        tickvals=list(range(len(genes))), ticktext=[plain(short(gene.name)) for gene in genes], autorange="reversed"
    )
    figure.update_layout(height=130 + 26 * max(len(genes), 4))
    return figure


def session_plot(results: Results) -> go.Figure | None:
    """Temperature and clock frequency of the device after each measurement; None where it tells neither."""
    rows = [("temperature_c", "temperature, °C", 1.0), ("frequency_hz", "frequency, GHz", 1e-9)]
    after = [
        (trial, trial.measurement.conditions.get("after", {}))
        for trial in results.trials
        if trial.measurement and trial.number in results.recorded
    ]
    known = [row for row in rows if any(_number(conditions.get(row[0])) is not None for _, conditions in after)]
    if not known:
        return None
    figure = go.Figure(layout=layout())
    for index, (name, title, factor) in enumerate(known):
        readings = [_number(conditions.get(name)) for _, conditions in after]
        suffix = str(index + 1) if index else ""
        figure.add_trace(
            go.Scatter(
                name=title,
                x=[results.recorded[trial.number].isoformat() for trial, _ in after],
                y=[None if reading is None else reading * factor for reading in readings],
                yaxis=f"y{suffix}",
                customdata=[trial.number for trial, _ in after],
                mode="lines+markers",
                marker={"size": 4, "color": (ACCENT, NEUTRAL)[index]},
                line={"width": 1, "color": (ACCENT, NEUTRAL)[index]},
                hovertemplate="%{y:.4g} after trial %{customdata}<extra></extra>",
            )
        )
        domain = [1 - (index + 1) / len(known) + 0.1 * (index + 1 < len(known)), 1 - index / len(known)]
        figure.update_layout({f"yaxis{suffix}": {"title": {"text": title}, "domain": domain}})
    figure.update_xaxes(title_text="time (UTC)", anchor="free", position=0)
    figure.update_layout(showlegend=False, height=200 + 120 * len(known))
    return figure


def _covers(one: Trial, other: Trial, objectives: Sequence[str]) -> bool:
    return all(one.objectives[name] <= other.objectives[name] for name in objectives)


def _widens(trial: Trial, best: Sequence[Trial], objectives: Sequence[str]) -> bool:
    """Whether a trial adds to the hypervolume that ``best`` has, which need not be computed anew where it does not."""
    if trial.failure is not None or trial.violation > 0:
        return False
    return not any(_covers(one, trial, objectives) for one in best)


def _number(reading: Any) -> float | None:
    return float(reading) if isinstance(reading, int | float) else None
