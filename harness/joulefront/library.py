"""The same as the command line does, for Python: ``import joulefront``.

It only delegates, and imports what a call needs: looking at results needs neither torch nor a device.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulefront.records import Trial
from joulefront.results import Results, read

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from joulefront.comparison import Comparison as Compared

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, repr=False)
class Study:
    """A study's results as they were when it was opened; open it again to see what a search has added.

    ``results`` holds everything, as records in SI units.
    """

    results: Results

    def __repr__(self) -> str:
        state = "settled" if self.settled else "searching"
        return f"<Study {self.name} on {self.results.study.device}: {state}, {len(self.results.trials)} trials>"

    @property
    def name(self) -> str:
        """The study's name."""
        return self.results.name

    @property
    def settled(self) -> bool:
        """Whether the search is over and its front was measured in full; before that, figures are those of screening."""
        return self.results.settled

    @property
    def knee(self) -> Trial | None:
        """The front's best compromise (``front.knee_of``), a suggestion; None without a front."""
        return self.results.knee

    @property
    def hypervolume(self) -> float | None:
        """The front's share of the box up to a little worse than the unpruned network, 0 to 1; None where that did not run."""
        volume = self.results.hypervolume
        return volume.value if volume else None

    def trials(self) -> pd.DataFrame:
        """All trials, one row each, in SI units: the columns of ``joulefront trials --csv``.

        Raises ConfigError without the extra ``frame``.
        """
        from joulefront.report.rows import as_frame

        return as_frame(self.results)

    def front(self) -> pd.DataFrame:
        """The trials on the front, by the first objective upwards; as ``trials``."""
        from joulefront.report.rows import as_frame

        return as_frame(self.results, self.results.front)

    def plot(self, x: str | None = None, y: str | None = None) -> go.Figure:
        """The front with its 95 % intervals, for a notebook; ``x`` and ``y`` name quantities such as ``latency_s``."""
        from joulefront.report.plots import front_plot

        return front_plot(self.results, x, y)

    def figure(self, path: PathLike) -> Path:
        """Draw the front for a paper: a .png, .svg or .pdf file. Raises ConfigError and StoreError."""
        from joulefront.report.figure import draw

        draw([self.results], Path(path))
        return Path(path)

    def report(self, path: PathLike | None = None) -> Path:
        """Write the page about the study, report.html in its folder by default. Raises StoreError."""
        from joulefront.report.page import study_page, write

        page = self.results.folder / "report.html" if path is None else Path(path)
        write(page, study_page(self.results))
        return page

    def export(self, pick: str | int, out: PathLike, *, moved: PathLike | None = None) -> dict[str, Any]:
        """Write a network of the settled front into the new folder ``out``, and return its card.

        ``pick`` is "knee", a trial's number, limits such as "latency_s<0.01", or weights such as
        "weighted:error=0.6,latency_s=0.4"; ``moved`` the folder of the study's file if it was moved, as --from.
        Raises ConfigError, StoreError and TransportError.
        """
        from joulefront.report.progress import progress
        from joulefront.ship import ship

        with progress() as listener:
            return ship(
                self.results.folder, str(pick), Path(out), listener, moved=None if moved is None else Path(moved)
            )


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Studies compared. ``compared`` holds everything, as records."""

    compared: Compared

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.compared.studies)}: {len(self.compared.points)} networks>"

    def document(self) -> dict[str, Any]:
        """What ``joulefront compare --json`` prints."""
        from joulefront.report.comparison_document import document

        return document(self.compared)

    def figure(self, path: PathLike) -> Path:
        """Draw the fronts over one another for a paper: a .png, .svg or .pdf file. Raises ConfigError and StoreError."""
        from joulefront.report.figure import draw

        draw(list(self.compared.studies.values()), Path(path))
        return Path(path)

    def report(self, path: PathLike) -> Path:
        """Write the page about the comparison. Raises StoreError."""
        from joulefront.report.page import comparison_page, write

        write(Path(path), comparison_page(list(self.compared.studies.values()), self.document()))
        return Path(path)


def run(file: PathLike, results: PathLike = "results", *, device: str | None = None) -> Study:
    """Run the study in ``file``, or go on with it; what it finds is in a folder of its name in ``results``.

    ``device`` is searched on instead of the one that the file names. Progress goes to stderr. Raises ConfigError for what
    the user's files have wrong, BenchError when the device or this host fails: the same call goes on from there.
    """
    from joulefront.report.progress import progress
    from joulefront.study import open_bench
    from joulefront.study import run as run_study

    with _workers_without_the_script(), progress() as listener:
        return open(run_study(Path(file), Path(results), listener, open_bench, device=device))


def open(folder: PathLike) -> Study:  # noqa: A001 -- joulefront.open, as gzip.open
    """The study in ``folder``, be it settled or still searching. Raises ConfigError and StoreError."""
    return Study(read(Path(folder)))


def compare(*studies: Study | PathLike) -> Comparison:
    """Compare two studies or more, opened or by their folders. Raises ConfigError and StoreError."""
    from joulefront.comparison import compare as compared

    opened = [study if isinstance(study, Study) else open(study) for study in studies]
    return Comparison(compared([study.results for study in opened]))


# What ``__main__`` had before each run under way: several may be, in threads, and the first has found the script's own.
_before: list[dict[str, Any]] = []
_changing = threading.Lock()


@contextmanager
def _workers_without_the_script() -> Iterator[None]:
    """Meanwhile, worker processes do not run the caller's script again, which would run the study again.

    They need nothing of it, since a task is named by its file; ``multiprocessing`` would have scripts written for that.
    """
    main = vars(sys.modules["__main__"])
    with _changing:
        _before.append({name: main[name] for name in ("__spec__", "__file__") if name in main})
        main["__spec__"] = None
        main.pop("__file__", None)
    try:
        yield
    finally:
        with _changing:
            last = _before.pop()
            if not _before:
                main.update(last)
