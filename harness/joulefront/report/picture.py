"""A study in the characters of a terminal: how far it is, its front as a scatter and as a table, what went wrong.

It fills the height that it is given and no more: each part but the scatter has a fixed number of lines, and where a
terminal is too low for a scatter there is none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from joulefront.front import hypervolume, reference_point, unpruned_of
from joulefront.records import Trial
from joulefront.report.pruned import pruned, pruning_text
from joulefront.report.scatter import scatter
from joulefront.report.units import milli, percent, quantities
from joulefront.report.visible import visible
from joulefront.results import Results

_SPARKS = "▁▂▃▄▅▆▇█"
_GROWTH = 60
_TABLE_WIDTH = 56
# Of a scatter and a table together.
_LEAST_HEIGHT = 8
_LATELY = 20


@dataclass(frozen=True)
class Progress:
    """What a picture shows: a study at one moment.

    ``finalists`` says how many networks will be settled, None before that is known; ``growth`` is the search's
    hypervolume after some of its trials, the last one included.
    """

    results: Results
    finalists: int | None
    growth: tuple[float, ...]

    @classmethod
    def of(cls, results: Results, finalists: int | None) -> Progress:
        """The progress of a study that was just read."""
        return cls(results, finalists, tuple(_growth(results)))

    @cached_property
    def _drawn(self) -> dict[tuple[int, int], Text]:
        return {}

    def scatter(self, width: int, height: int) -> Text:
        """Its front in so many characters; drawn once, since a picture is shown every second."""
        if (width, height) not in self._drawn:
            self._drawn[width, height] = scatter(self.results, width, height)
        return self._drawn[width, height]


@dataclass(frozen=True)
class Picture:
    """A renderable for rich. ``doing`` says what the search is at, where that is known; ``notes`` are shown last."""

    progress: Progress
    now: datetime
    doing: str = ""
    notes: tuple[str, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or options.size.height - 1
        results = self.progress.results
        above: list[RenderableType] = [self._head(width), self._pace(), self._reached()]
        below = [*self._outcomes(), *(_line(note) for note in self.notes)]
        left = height - len(above) - len(below)
        body: list[RenderableType] = []
        if left >= _LEAST_HEIGHT and width >= 2 * _TABLE_WIDTH:
            beside = Table.grid(padding=(0, 1))
            beside.add_row(
                self.progress.scatter(width - _TABLE_WIDTH - 1, left), _front(results, left - 1, _TABLE_WIDTH)
            )
            body = [beside]
        elif left >= _LEAST_HEIGHT:
            rows = min(left // 3, len(results.front))
            body = [self.progress.scatter(width, left - rows - 1), _front(results, rows, width)]
        elif left > 1:  # a scatter would have no room for its points
            body = [_front(results, left - 1, width)]
        yield Group(*above, *body, *below)

    def _head(self, width: int) -> Table:
        results = self.progress.results
        done, total = _steps(self.progress)
        head = Table.grid(padding=(0, 1))
        name = f"{results.name} on {results.study.device}"
        counted = f"{done}/{total}" if total else str(done)
        head.add_row(
            Text(visible(name), style="bold", no_wrap=True, overflow="ellipsis"),
            Text(_state(self.progress), style="cyan", no_wrap=True),
            ProgressBar(total=total or 1, completed=min(done, total or 1), width=max(width - 50, 10)),
            Text(counted, no_wrap=True),
        )
        return head

    def _pace(self) -> Text:
        results = self.progress.results
        times = sorted(results.recorded.values())
        if not times:
            return _line(self.doing or "no trial is recorded yet")
        parts = [*([self.doing] if self.doing else []), f"{_span((times[-1] - times[0]).total_seconds())} of trials"]
        lately = times[-_LATELY:]
        if len(lately) > 1 and lately[-1] > lately[0]:
            parts.append(f"lately {60 * (len(lately) - 1) / (lately[-1] - lately[0]).total_seconds():.3g} a minute")
        if not results.settled and not self.doing:
            parts.append(f"the newest {_span((self.now - times[-1]).total_seconds())} ago")
        return _line("; ".join(parts))

    def _reached(self) -> Text:
        growth, volume = self.progress.growth, self.progress.results.hypervolume
        if volume is None:
            return _line("hypervolume: none before the unpruned network has run")
        text = Text(f"hypervolume {volume.value:.3f} ", no_wrap=True, overflow="ellipsis")
        return text.append(_sparks(growth), style="green")

    def _outcomes(self) -> Iterable[Text]:
        """The newest trial, the failures and the warnings: a line each."""
        trials = self.progress.results.trials
        if not trials:
            return [Text(), Text(), Text()]
        newest = trials[-1]
        provenance = f" ({newest.measurement.provenance})" if newest.measurement else ""
        outcome = f"{_failed(newest)}" if newest.failure else f"{quantities(newest.objectives)}{provenance}"
        failed = [trial for trial in trials if trial.failure]
        warned = [trial for trial in trials if trial.measurement and trial.measurement.warnings]
        kinds = Counter(trial.failure.kind for trial in failed if trial.failure)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        last = f"; trial {failed[-1].number}: {failed[-1].failure.message}" if failed and failed[-1].failure else ""
        doubts = warned[-1].measurement.warnings[0] if warned and warned[-1].measurement else ""
        said = f"; trial {warned[-1].number}: {doubts}" if warned else ""
        return [
            _line(f"newest    trial {newest.number}, {newest.fidelity}: {outcome}"),
            _line(f"failures  {counts or 'none'}{last}", "red" if failed else ""),
            _line(f"warnings  {len(warned) or 'none'}{said}", "yellow" if warned else ""),
        ]


def _growth(results: Results) -> list[float]:
    """The search's hypervolume after each of up to 60 counts of trials, evenly spread; empty without an unpruned network."""
    screened = [trial for trial in results.trials if trial.fidelity == "screen"]
    unpruned = unpruned_of(screened, results.space)
    if unpruned is None:
        return []
    point = reference_point(unpruned, results.objectives)
    counts = sorted({math.ceil(len(screened) * step / _GROWTH) for step in range(1, _GROWTH + 1)})
    kept = ([trial for trial in screened[:count] if not trial.failure and not trial.violation] for count in counts)
    return [hypervolume(trials, point).value for trials in kept]


def _steps(progress: Progress) -> tuple[int, int | None]:
    """How many steps of the stage are done, and how many there are."""
    results = progress.results
    settling = sum(trial.fidelity == "full" for trial in results.trials)
    if progress.finalists is not None:
        return settling, progress.finalists
    return len(results.trials), min(results.study.search.evaluations, results.space.size)


def _state(progress: Progress) -> str:
    if progress.results.settled:
        return "settled"
    return "searching" if progress.finalists is None else "settling the front"


def _front(results: Results, rows: int, width: int) -> Table:
    """A short table of the front: as many lines as fit, the knee among them."""
    table = Table(box=None, padding=(0, 1), header_style="dim", show_edge=False, width=width)
    has_energy = any(trial.measurement and trial.measurement.energy_j for trial in results.front)
    # The scatter above says how latencies came about.
    words = {trial.measurement.energy_provenance for trial in results.front if trial.measurement}
    joules = "mJ, estimated" if "estimated" in words else "mJ"
    for heading in ("trial", "valid.", "latency, ms", *([joules] if has_energy else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("widths", no_wrap=True, overflow="ellipsis", ratio=1)  # it alone gives way, not the numbers
    for trial in _chosen(results, rows):
        measured, candidate = trial.measurement, trial.candidate
        if measured is None or candidate is None:
            continue
        energy = milli(measured.energy_j.value, None, 3) if measured.energy_j else ""
        table.add_row(
            f"{'★' if trial is results.knee else ' '}{trial.number}",
            percent(candidate.score.metric),
            milli(measured.latency_s.value, (measured.latency_s.low, measured.latency_s.high)),
            *([energy] if has_energy else []),
            pruning_text(pruned(candidate.pruning)),
        )
    return table


def _chosen(results: Results, rows: int) -> Sequence[Trial]:
    """Of a front that is too long, trials evenly spread over it, the knee among them."""
    front = results.front
    if len(front) <= rows:
        return front
    at = {round(step * (len(front) - 1) / (rows - 1)) for step in range(rows)} if rows > 1 else set()
    knee = next((index for index, trial in enumerate(front) if trial is results.knee), 0)
    if knee not in at:
        at = {*sorted(at, key=lambda index: abs(index - knee))[1:], knee}
    return [front[index] for index in sorted(at)]


def _sparks(values: Sequence[float]) -> str:
    """A line of blocks, from the least value to the greatest."""
    if not values:
        return ""
    low, span = min(values), (max(values) - min(values)) or 1.0
    return "".join(_SPARKS[round((value - low) / span * (len(_SPARKS) - 1))] for value in values)


def _failed(trial: Trial) -> str:
    return f"failed: {trial.failure.kind}: {trial.failure.message}" if trial.failure else ""


def _line(text: str, style: str = "") -> Text:
    """One line, whatever is in it."""
    return Text(visible(text).replace("\n", " "), style, no_wrap=True, overflow="ellipsis")


def _span(seconds: float) -> str:
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
