"""Several studies as plotly figures, for the comparison's page and for notebooks.

A point's ``customdata`` is "STUDY-POINT": the study's place in the document's ``studies``, the network's in its ``points``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from joulefront.comparison.networks import Identities, best_measured, model_of
from joulefront.records import Measurement
from joulefront.report.axes import AXES, Axis, axis_of, finite
from joulefront.report.hover import layers, plain, short, span
from joulefront.report.pruned import pruned, pruning_of, pruning_words
from joulefront.report.style import COLOURS, NEUTRAL, SYMBOLS, axis_type, error_bars, layout, scale
from joulefront.results import Results
from joulefront.space_records import Pruning

Document = Mapping[str, Any]
Networks = Mapping[Any, Measurement]


def comparison_plot(document: Document, x: str = "latency_s", y: str = "error", *, joined: bool = False) -> go.Figure:
    """The fronts of all studies over two quantities with 95 % intervals, from the document of ``joulefront compare --json``.

    ``joined`` adds what a device measured of other studies' fronts, hollow, and joins each network's points by a line.
    Raises ConfigError for a name that ``axes.AXES`` has not.
    """
    across, up = axis_of(x), axis_of(y)
    figure = go.Figure(layout=layout())
    if joined:
        figure.add_trace(_joints(document, across, up))
    for place, label in enumerate(document["studies"]):
        seen = [index for index, point in enumerate(document["points"]) if point["measured"][label]]
        for hollow in (True, False) if joined else (False,):
            chosen = [index for index in seen if (label not in document["points"][index]["on_front"]) is hollow]
            if chosen or not hollow:
                figure.add_trace(_points(document, place, chosen, (across, up), hollow=hollow))
    every = [one for point in document["points"] for one in point["measured"].values() if one]
    figure.update_xaxes(title_text=titled(across, every), **scale(axis_type(value(one, x) for one in every)))
    figure.update_yaxes(title_text=titled(up, every), **scale(axis_type(value(one, y) for one in every)))
    return figure.update_layout(meta={"x": x, "y": y})


def agreement_plot(document: Document, studies: Sequence[Results], one: int, other: int) -> go.Figure | None:
    """The latency of every network that two studies measured, on the one's device against the other's; None without any.

    ``one`` and ``other`` are places in ``studies``. Filled points are on a front; the line is where both would be equal.
    """
    identities = Identities(studies)
    ours, theirs = (best_measured(studies[place], identities) for place in (one, other))
    both = [network for network in ours if network in theirs]
    if not both:
        return None
    model = model_of(studies[one])
    labels = [document["studies"][place] for place in (one, other)]
    places = {
        identities.of(model, pruning_of(point)): index
        for index, point in enumerate(document["points"])
        if any(point["measured"][label] for label in labels)
    }
    axis = AXES["latency_s"]
    figure = go.Figure(layout=layout())
    ends = [extreme(measured[network].latency_s.value for measured in (ours, theirs) for network in both) * axis.factor
            for extreme in (min, max)]  # fmt: skip
    line = {"color": NEUTRAL, "width": 1, "dash": "dot"}
    figure.add_trace(go.Scatter(name="equal", x=ends, y=ends, mode="lines", line=line, hoverinfo="skip"))
    for name, symbol, chosen in (
        ("of no front", "circle-open", [network for network in both if network not in places]),
        ("of a front", "circle", [network for network in both if network in places]),
    ):
        if chosen:
            marker = {"size": 8, "color": COLOURS[0], "symbol": symbol}
            figure.add_trace(
                go.Scatter(
                    name=name,
                    mode="markers",
                    marker=marker,
                    **_latencies("x", chosen, ours),
                    **_latencies("y", chosen, theirs),
                    customdata=[f"{one}-{places[network]}" if network in places else None for network in chosen],
                    hovertext=[
                        _pair_text(identities.pruning(network), [ours[network], theirs[network]]) for network in chosen
                    ],
                    hoverinfo="text",
                )
            )
    figure.update_xaxes(title_text=f"latency on {plain(short(labels[0]))}, ms", **scale("log"))
    return figure.update_yaxes(title_text=f"latency on {plain(short(labels[1]))}, ms", **scale("log"))


def disagreement_plot(document: Document, one: str, other: str) -> go.Figure | None:
    """By what factor halving each layer's width changes the latency on ``other`` against ``one``; None where unknown."""
    found = document["disagreement"][one][other]["layers"]
    if not found:
        return None
    rows = sorted(found.items(), key=lambda item: item[1]["factor"])
    factors = [effect["factor"] for _, effect in rows]
    clear = [not effect["interval"][0] <= 1 <= effect["interval"][1] for _, effect in rows]
    figure = go.Figure(layout=layout(height=130 + 26 * max(len(rows), 4)))
    figure.add_trace(
        go.Bar(
            orientation="h",
            base=[1.0] * len(rows),
            x=[factor - 1 for factor in factors],
            y=list(range(len(rows))),
            marker={"color": [COLOURS[0] if apart else NEUTRAL for apart in clear], "opacity": 0.45},
            error_x=error_bars(factors, [effect["interval"] for _, effect in rows], 1.0, NEUTRAL),
            hovertext=[
                f"{plain(name)}: × {effect['factor']:.2f} ({effect['interval'][0]:.2f} to {effect['interval'][1]:.2f})"
                for name, effect in rows
            ],
            hoverinfo="text",
        )
    )
    figure.add_vline(1, line={"color": NEUTRAL, "width": 1})
    title = f"by halving the layer's width,<br>latency on {plain(short(other))} / on {plain(short(one))}"
    figure.update_xaxes(title_text=title, type="log", tickformat=".2f", nticks=8)
    return figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=[plain(short(name)) for name, _ in rows])


def value(measured: Mapping[str, Any], name: str) -> float | None:
    """A network's value of a quantity on a device, in SI units; None where it has none."""
    found = 1 - measured["metrics"]["accuracy"] if name == "error" else measured["metrics"][name]
    return None if found is None else float(found)


def titled(axis: Axis, measured: Iterable[Mapping[str, Any]]) -> str:
    """What stands beside the axis: with the words for how its values came about."""
    words = {one["provenance"].get(axis.name) for one in measured if value(one, axis.name) is not None} - {None}
    return f"{axis.title} ({' and '.join(sorted(words))})" if words else axis.title


def _points(
    document: Document, place: int, chosen: Sequence[int], axes: tuple[Axis, Axis], *, hollow: bool
) -> go.Scatter:
    """One study's front, or what else its device measured."""
    label = document["studies"][place]
    measured = [document["points"][index]["measured"][label] for index in chosen]
    colour, symbol = COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)]
    return go.Scatter(
        name=plain(short(label)) + (", of others" if hollow else ""),
        mode="markers",
        **{letter: [_shown(one, axis) for one in measured] for letter, axis in zip("xy", axes, strict=True)},
        **{f"error_{letter}": _bars(measured, axis, colour) for letter, axis in zip("xy", axes, strict=True)},
        marker={"color": colour, "size": 9, "symbol": f"{symbol}-open" if hollow else symbol, "line": {"width": 1.5 * hollow}},
        customdata=[f"{place}-{index}" for index in chosen],
        hovertext=[_text(document, label, index) for index in chosen],
        hoverinfo="text",
        meta="joined" if hollow else None,
    )  # fmt: skip


def _joints(document: Document, across: Axis, up: Axis) -> go.Scatter:
    """One line with gaps: each network that several devices measured, from device to device."""
    ids: list[str | None] = []
    rows: list[Mapping[str, Any] | None] = []
    for index, point in enumerate(document["points"]):
        seen = [(place, point["measured"][label]) for place, label in enumerate(document["studies"])]
        known = [(place, measured) for place, measured in seen if measured]
        if len(known) > 1:
            ids += [*(f"{place}-{index}" for place, _ in known), None]
            rows += [*(measured for _, measured in known), None]
    return go.Scatter(
        name="the same network",
        mode="lines",
        x=[_shown(row, across) if row else None for row in rows],
        y=[_shown(row, up) if row else None for row in rows],
        customdata=ids,
        line={"color": NEUTRAL, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        meta="joined",
    )


def _text(document: Document, label: str, index: int) -> str:
    point = document["points"][index]
    measured = point["measured"][label]
    lines = [
        f"<b>{plain(label)}</b>: trial {measured['trial']}"
        + (f" of {plain(measured['home'])}" if measured["visit"] else "")
    ]
    for name in dict.fromkeys(("error", "latency_s", "energy_j", *measured["objectives"])):
        found = value(measured, name)
        if found is not None:
            word = measured["provenance"].get(name)
            shown = span(AXES[name], found, measured["intervals"].get(name))
            lines.append(f"{AXES[name].label} {shown}" + (f", {plain(word)}" if word else ""))
    return "<br>".join([*lines, layers(pruning_words(point, named=True))])  # fmt: skip


def _pair_text(pruning: Pruning, measured: Sequence[Measurement]) -> str:
    lines = []
    for letter, one in zip("xy", measured, strict=True):
        latency_s = one.latency_s
        shown = span(AXES["latency_s"], latency_s.value, finite((latency_s.low, latency_s.high)))
        lines.append(f"{letter}: {shown}, {one.provenance}")
    return "<br>".join([*lines, layers(pruning_words(pruned(pruning), named=True))])


def _latencies(letter: str, chosen: Sequence[Any], measured: Networks) -> dict[str, Any]:
    found = [measured[network].latency_s for network in chosen]
    middles, factor = [one.value for one in found], AXES["latency_s"].factor
    return {
        letter: [middle * factor for middle in middles],
        f"error_{letter}": error_bars(middles, [finite((one.low, one.high)) for one in found], factor, COLOURS[0]),
    }


def _bars(measured: Sequence[Mapping[str, Any]], axis: Axis, colour: str) -> dict[str, Any]:
    middles = [value(one, axis.name) for one in measured]
    return error_bars(middles, [one["intervals"].get(axis.name) for one in measured], axis.factor, colour)


def _shown(measured: Mapping[str, Any], axis: Axis) -> float | None:
    found = value(measured, axis.name)
    return None if found is None else found * axis.factor
