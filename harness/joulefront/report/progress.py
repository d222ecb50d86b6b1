"""How far a study is: a bar on a terminal, plain lines elsewhere. Both write to stderr; stdout is for results."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from joulefront.records import Trial
from joulefront.report.units import quantities
from joulefront.report.visible import visible


class ProgressBar:
    """Follows a study on a terminal: the stage, what is being done, how much is left and the hypervolume so far."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[hypervolume]}"),
            TextColumn("{task.fields[doing]}", style="dim", markup=False),
            console=console,
            refresh_per_second=1,  # it runs beside what is measured
        )
        self._stage: TaskID | None = None

    def stage(self, what: str, total: int | None = None) -> None:
        """See study.Listener."""
        self._finish()
        self._stage = self._progress.add_task(visible(what), total=total, doing="", hypervolume="")

    def _finish(self) -> None:
        """The stage so far is over: one that had no steps shows as done."""
        if self._stage is not None:
            task = next(task for task in self._progress.tasks if task.id == self._stage)
            if task.total is None:
                self._progress.update(self._stage, total=1, completed=1)
            self._progress.update(self._stage, doing="")
            self._progress.stop_task(self._stage)

    def doing(self, what: str) -> None:
        """See study.Listener."""
        if self._stage is not None:
            self._progress.update(self._stage, doing=visible(what))

    def step(self, trial: Trial, hypervolume: float | None) -> None:
        """See study.Listener."""
        if self._stage is not None:
            reached = "" if hypervolume is None else f"hypervolume {hypervolume:.3f}"
            self._progress.update(self._stage, advance=1, hypervolume=reached)
        if trial.failure:
            self.say(f"trial {trial.number} failed: {trial.failure.kind}: {trial.failure.message}")

    def say(self, message: str) -> None:
        """See study.Listener."""
        self._progress.console.print(visible(message), markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()


class ProgressLines:
    """Follows a study in a log: one line a step, with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begin_s = time.monotonic()
        self._total: int | None = None
        self._done = 0

    def stage(self, what: str, total: int | None = None) -> None:
        """See study.Listener."""
        self._total, self._done = total, 0
        self.say(what + (f" ({total})" if total else ""))

    def doing(self, what: str) -> None:
        """See study.Listener: a log is told of outcomes only."""

    def step(self, trial: Trial, hypervolume: float | None) -> None:
        """See study.Listener."""
        self._done += 1
        outcome = f"{trial.failure.kind}: {trial.failure.message}" if trial.failure else quantities(trial.objectives)
        reached = "" if hypervolume is None else f"; hypervolume {hypervolume:.3f}"
        self.say(f"{self._done}/{self._total}: trial {trial.number}: {outcome}{reached}")

    def say(self, message: str) -> None:
        """See study.Listener."""
        elapsed_s = time.monotonic() - self._begin_s
        self._console.print(f"{elapsed_s:7.1f} s  {visible(message)}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def progress() -> ProgressBar | ProgressLines:
    """Whichever suits where stderr goes."""
    console = Console(stderr=True)
    return ProgressBar(console) if console.is_terminal else ProgressLines(console)
