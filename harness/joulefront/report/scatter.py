"""A front over two quantities, drawn in characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from joulefront.records import Trial
from joulefront.report.axes import AXES, Axis, default_axes, provenance, value
from joulefront.results import Results

# What each group is drawn as; told apart without colours.
_SEEN, _FRONT, _UNPRUNED, _KNEE = ("·", 8), ("●", 12), ("◆", 5), ("★", 3)


def scatter(results: Results, width: int, height: int) -> Text:
    """A study's trials of the front's fidelity as ``width`` by ``height`` characters, over ``axes.default_axes``.

    Both axes are logarithmic.

    A value of 0, which no such axis has, is left out. Colours are the terminal's own.
    """
    import plotext  # a native library; only who looks at a study needs it

    shown = [trial for trial in results.comparable if trial.failure is None]
    across, up = (AXES[name] for name in default_axes(results))
    groups = [
        (look, _points(trials, across, up))
        for look, trials in (
            (_SEEN, shown),
            (_FRONT, results.front),
            (_UNPRUNED, [results.unpruned] if results.unpruned else []),
            (_KNEE, [results.knee] if results.knee else []),
        )
    ]
    points = [point for _, group in groups for point in group]
    if not points:
        lines = ["", "no network has been measured yet".center(width), *[""] * (height - 2)]
        return Text("\n".join(lines), no_wrap=True, overflow="crop")
    plotext.terminal.limit(width=False, height=False)
    plot = plotext.figure
    plot.clear()
    plot.theme("colorless")
    plot.plot_size(width, height - 1)
    for (symbol, colour), group in groups:
        if group:
            marker = plotext.marker(symbol, plotext.pixel(colour))
            plot.draw(plot.signal(*map(list, zip(*group, strict=True)), marker=marker))
    for axis, values in (("x", [x for x, _ in points]), ("y", [y for _, y in points])):
        low, high = _limits(values)
        ticks = _ticks(low, high)
        plot.ruler(axis).lim(low, high)
        plot.ruler(axis).ticks([math.log10(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
    words = {word for trial in shown for axis in (across, up) if (word := provenance(trial, axis.name))}
    drawn = Text.from_ansi(plot.build().string().rstrip("\n"), no_wrap=True, overflow="crop")
    about = f"{up.heading}; {across.heading}, {' and '.join(sorted(words))}; ● front ★ knee ◆ unpruned"
    return drawn.append(f"\n{about[:width].center(width)}")


def _points(trials: Sequence[Trial], across: Axis, up: Axis) -> list[tuple[float, float]]:
    """The logarithms of both quantities, as they are shown."""
    pairs = [(value(trial, across.name), value(trial, up.name)) for trial in trials]
    return [(math.log10(x * across.factor), math.log10(y * up.factor)) for x, y in pairs if x and y and min(x, y) > 0]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values need, and never nothing."""
    margin = max((max(values) - min(values)) * 0.05, 0.02)
    return min(values) - margin, max(values) + margin


def _ticks(low: float, high: float) -> list[float]:
    """Plain numbers between the two logarithms: 1, 2 and 5 of each decade, more of them where that is too few."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), tuple(step / 10 for step in range(10, 100))):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(inside) >= 3:
            break
    return inside[:: math.ceil(len(inside) / 8)] if inside else []
