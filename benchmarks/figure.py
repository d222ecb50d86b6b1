"""The README's picture: a study's trials and its settled front, out of the study's own store.

python benchmarks/figure.py results/demo docs/front.png
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from joulefront.report import documents
from joulefront.store import Store


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    with Store.open(folder) as store:
        document = documents.front(store)
        screened = [trial for trial in store.trials("screen") if trial.failure is None]
    points, reference = document["front"], document["reference"]
    figure = Figure(figsize=(8, 4.4), dpi=160, layout="constrained")
    axes = figure.subplots()
    axes.scatter(
        [trial.objectives["latency_s"] * 1e3 for trial in screened],
        [trial.objectives["error"] * 100 for trial in screened],
        s=22,
        color="#b8bec7",
        label=f"{len(screened)} networks measured in the search (screening grade)",
    )
    for group, colour, marker, label in (
        (points, "#0a6ebd", "o", "the front: recovered in full, measured again, 95 % intervals"),
        ([reference], "#c0392b", "D", "the unpruned network"),
    ):
        latencies = [point["metrics"]["latency_s"] for point in group]
        errors = [point["objectives"]["error"] for point in group]
        axes.errorbar(
            [value * 1e3 for value in latencies],
            [value * 100 for value in errors],
            xerr=_bars([point["intervals"]["latency_s"] for point in group], latencies, 1e3),
            yerr=_bars([point["intervals"]["error"] for point in group], errors, 100),
            fmt=marker,
            color=colour,
            markersize=7,
            capsize=3,
            elinewidth=1,
            label=label,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("median latency of one inference, ms (measured; logarithmic)")
    axes.set_ylabel("error on the validation split, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5)
    axes.set_title(f"{document['study']} on {', '.join(document['devices'])}", loc="left")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _bars(intervals: list[list[float]], values: list[float], factor: float) -> list[list[float]]:
    """Matplotlib's error bars: how far each interval reaches below and above its value."""
    lows = [(value - low) * factor for (low, _), value in zip(intervals, values, strict=True)]
    highs = [(high - value) * factor for (_, high), value in zip(intervals, values, strict=True)]
    return [lows, highs]


if __name__ == "__main__":
    main()
