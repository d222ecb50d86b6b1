"""A study followed on a terminal while it goes on: from another shell by its store alone, or by the search itself.

Looking costs the machine that it is done on a little: the store is read only when it was written to, about once a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from joulefront.database import written_to
from joulefront.errors import ConfigError, JoulefrontError, StoreError
from joulefront.records import Trial
from joulefront.report.picture import Picture, Progress
from joulefront.report.progress import ProgressLines
from joulefront.report.visible import visible
from joulefront.results import of_store
from joulefront.store import Store

_LOOK_S = 1.0
_PATIENCE = 30
_NICENESS = 10
_NOTES = 3
# Of what is no terminal.
_PLAIN = (120, 40)


class Watched:
    """A study's folder, looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: list[tuple[int, int]] = []
        self._progress: Progress | None = None

    def look(self) -> Progress | None:
        """What the study is by now, read only if it was written to; None before a search began there.

        Raises ConfigError when the folder is not there or holds something else, StoreError when it cannot be read.
        """
        if self._may_begin():
            return None
        seen = written_to(self.folder)
        if self._progress is None or seen != self._seen:
            with Store.open(self.folder) as store, store.snapshot():
                finalists = store.decided("finalists")
                results = of_store(store, medians=False)
            self._progress = Progress.of(results, None if finalists is None else len(finalists))
            self._seen = seen
        return self._progress

    def _may_begin(self) -> bool:
        """Whether a search is about to write there: a study's files, but not all of them yet."""
        try:
            names = {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}
        except OSError:  # opening it says what is wrong
            return False
        return not {"study.toml", "study.sqlite"} <= names and all(name.startswith("study.") for name in names)


def watch(folder: Path) -> None:
    """Show the study in ``folder`` until it is settled or the user presses Ctrl-C; one plain picture where no terminal is.

    Raises ConfigError when no study is there, and StoreError when it cannot be read for half a minute.
    """
    console, watched = Console(), Watched(folder)
    if not _is_drawn_on(console):
        progress = watched.look()
        if progress is None:
            raise ConfigError(f"{folder}: no search has begun there yet")
        width, height = _PLAIN
        Console(width=width, height=height).print(Picture(progress, datetime.now(UTC)))
        return
    os.nice(_NICENESS)  # what is measured on this machine goes first
    last: RenderableType = Text()
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            for last in follow(watched):
                live.update(last, refresh=True)
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        pass  # how one leaves
    console.print(last)


def follow(watched: Watched) -> Iterator[RenderableType]:
    """A picture each time one is asked for, the last one of the settled study. Raises as ``watch``."""
    failures, progress = 0, None
    while True:
        try:
            progress, failures, trouble = watched.look(), 0, ""
        except StoreError as error:
            failures, trouble = failures + 1, f"{error}"
            if failures == _PATIENCE:
                raise
        settled = progress is not None and progress.results.settled
        hint = "" if settled else trouble or "Ctrl-C ends watching; the search goes on"
        yield _picture(progress, "", [hint] if hint else [], f"waiting for a search to begin in {watched.folder}")
        if settled:
            return


class LiveListener:
    """Follows a search on a terminal by what it has recorded; stage and messages come from the search itself."""

    def __init__(self, console: Console, folder: Path) -> None:
        self._watched = Watched(folder)
        self._progress: Progress | None = None
        self._stage, self._doing = "", ""
        self._notes: list[str] = []
        # Once a second: it runs beside what is measured.
        self._live = Live(console=console, get_renderable=self._shown, refresh_per_second=1, transient=True)

    def stage(self, what: str, total: int | None = None) -> None:  # noqa: ARG002 -- the store knows how many there are
        """See study.Listener."""
        self._stage, self._doing = what, ""
        self._live.refresh()

    def doing(self, what: str) -> None:
        """See study.Listener."""
        self._doing = what

    def step(self, trial: Trial, hypervolume: float | None) -> None:  # noqa: ARG002 -- so is this
        """See study.Listener."""
        if trial.failure:
            self.say(f"trial {trial.number} failed: {trial.failure.kind}: {trial.failure.message}")

    def say(self, message: str) -> None:
        """See study.Listener: above the picture, where it stays when the picture is gone, and in it."""
        self._notes = [*self._notes, message][-_NOTES:]
        self._live.console.print(visible(message), markup=False, highlight=False)

    def _shown(self) -> RenderableType:
        with suppress(JoulefrontError):  # not there yet, or not to be read right now: the search says what is wrong
            self._progress = self._watched.look()
        doing = f"{self._stage}: {self._doing}" if self._doing else self._stage
        return _picture(self._progress, doing, self._notes, doing)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def live_progress(folder: Path) -> LiveListener | ProgressLines:
    """Whichever suits where stderr goes, for the search whose results will be in ``folder``."""
    console = Console(stderr=True)
    return LiveListener(console, folder) if _is_drawn_on(console) else ProgressLines(console)


def _is_drawn_on(console: Console) -> bool:
    """Whether a picture can be drawn over the last one, which a dumb terminal cannot do."""
    return console.is_terminal and not console.is_dumb_terminal


def _picture(progress: Progress | None, doing: str, notes: list[str], otherwise: str) -> RenderableType:
    return Picture(progress, datetime.now(UTC), doing, tuple(notes)) if progress else Text(visible(otherwise))
