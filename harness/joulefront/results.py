"""A study's results at one moment, as everything that shows, compares or ships them sees it.

Read all at once, so that a study that is being written gives a consistent picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from joulefront.canary import Canary, recorded
from joulefront.config import StudyConfig
from joulefront.errors import StoreError
from joulefront.front import Hypervolume, front_of, hypervolume, knee_of, reference_point, unpruned_of
from joulefront.records import Fidelity, Trial, Visit
from joulefront.space_records import Space
from joulefront.store import Store


@dataclass(frozen=True)
class Results:
    """One study as it was when it was read.

    ``facts`` are what was frozen when it began (device, target, versions, task, space, objectives), ``trials`` come in the
    order in which they were recorded, without their samples; by a trial's number, ``recorded`` says when it was and
    ``repeat_medians_s`` holds the median of each repeat's samples, in s. ``visits`` are networks of other studies that
    were measured on this one's device, ``canaries`` its own reference measured again.
    """

    folder: Path
    study: StudyConfig
    facts: Mapping[str, Mapping[str, Any]]
    settled: bool
    origin: Path | None
    trials: tuple[Trial, ...]
    recorded: Mapping[int, datetime]
    repeat_medians_s: Mapping[int, tuple[float, ...]]
    visits: tuple[Visit, ...]
    canaries: tuple[Canary, ...] = ()

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.name

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the study minimises: without energy, where its device has no meter."""
        return tuple(self.facts.get("objectives", {}).get("names", ()))

    @property
    def fidelity(self) -> Fidelity:
        """Of the trials that the front is made of: ``full`` once the study is settled, ``screen`` before."""
        return "full" if self.settled else "screen"

    @cached_property
    def space(self) -> Space:
        """What the search chose from; without genes where the study stopped before that was known."""
        genes = self.facts.get("space", {}).get("genes", ())
        return TypeAdapter(Space).validate_python({"genes": genes})

    @cached_property
    def comparable(self) -> tuple[Trial, ...]:
        """The trials of the front's fidelity, failed ones included: a front never mixes two."""
        return tuple(trial for trial in self.trials if trial.fidelity == self.fidelity)

    @cached_property
    def unpruned(self) -> Trial | None:
        """The unpruned network's trial at the front's fidelity, if it ran."""
        return unpruned_of(self.comparable, self.space)

    @cached_property
    def front(self) -> tuple[Trial, ...]:
        """The Pareto front: the settled one, or the search's while it goes on."""
        return tuple(front_of(self.comparable, self.objectives))

    @cached_property
    def knee(self) -> Trial | None:
        """The front's best compromise (``front.knee_of``); None without a front."""
        return knee_of(self.front, self.objectives, self.reference_point)

    @cached_property
    def reference_point(self) -> dict[str, float] | None:
        """Where the hypervolume's box ends (``front.reference_point``); None where the unpruned network did not run."""
        return reference_point(self.unpruned, self.objectives) if self.unpruned else None

    @cached_property
    def hypervolume(self) -> Hypervolume | None:
        """Of the front; None where the unpruned network did not run."""
        return hypervolume(self.front, self.reference_point) if self.reference_point else None


def read(folder: Path) -> Results:
    """The results in ``folder``. Raises ConfigError when no study is there, StoreError when it cannot be read."""
    with Store.open(folder) as store:
        return of_store(store)


def of_store(store: Store, *, medians: bool = True) -> Results:
    """What an open store holds by now; without the ``medians`` of repeats, which need every sample, where nobody looks."""
    try:
        with store.snapshot():
            origin = store.decided("origin")
            return Results(
                folder=store.folder,
                study=store.study,
                facts=store.facts(),
                settled=store.decided("settled") is not None,
                origin=Path(origin) if origin else None,
                trials=tuple(store.trials()),
                recorded=store.recorded(),
                repeat_medians_s=store.repeat_medians_s() if medians else {},
                visits=tuple(store.visits()),
                canaries=recorded(store.decisions()),
            )
    except ValueError as error:  # of no JSON, no record, no time
        raise StoreError(
            f"{store.folder}: the database holds what no search wrote: {str(error).splitlines()[0]}. "
            "Put the file back from a copy, or remove the folder to start afresh"
        ) from error
