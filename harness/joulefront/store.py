"""A study's results: the frozen study, its trials with every raw sample, and every decision that hung on time or noise.

One SQLite database in the study's folder, written through at each trial, is the one place where results are written. A
search that starts again replays itself against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import sqlalchemy as sql
from pydantic import TypeAdapter
from sqlalchemy.exc import IntegrityError

from joulefront import older, schema
from joulefront.cache import disk, write_durably
from joulefront.config import StudyConfig, parse, read
from joulefront.database import FILE, Database
from joulefront.errors import ConfigError, StoreError
from joulefront.records import Fidelity, Measurement, Score, Trial, Visit

_STUDY = "study.toml"


class Store:
    """The results of one study. Close it, or use it in a ``with``.

    *Facts* were frozen when the study began and must not change; *decisions* hung on time or noise, and are taken once.
    """

    def __init__(self, folder: Path, study: StudyConfig, *, writable: bool) -> None:
        """Made by ``create_or_resume`` and ``open``."""
        self.folder = folder
        self.study = study
        self._database = Database(folder, writable=writable)
        self._trial = TypeAdapter(Trial)
        self._visit = TypeAdapter(Visit)

    @classmethod
    def create_or_resume(cls, folder: Path, text: str, source: str) -> Self:
        """The store in ``folder`` for the study in ``text``, which messages call ``source``.

        Raises ConfigError when the folder holds another study (naming what differs) or something else altogether, and
        StoreError when another process is searching there or the disk refuses.
        """
        study = parse(text, StudyConfig, source=source)
        check_folder(folder, study, source)
        with disk(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder, study, writable=True)
        try:
            check_folder(folder, study, source)  # once more, now that nobody else writes there
            if not (folder / _STUDY).exists():
                with disk(str(folder)):
                    write_durably(folder / _STUDY, text.encode())
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, folder: Path, *, writable: bool = False) -> Self:
        """The store in ``folder``, to read from, or to add visits to.

        Raises ConfigError when there is none; for writing, StoreError when another process writes there.
        """
        try:
            is_study = (folder / FILE).is_file() and (folder / _STUDY).is_file()
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be read: {error.strerror or error}") from error
        if not is_study:
            raise ConfigError(f"{folder}: no study there; expected a folder that 'joulefront search' has written")
        return cls(folder, read(folder / _STUDY, StudyConfig), writable=writable)

    def snapshot(self) -> AbstractContextManager[None]:
        """Meanwhile, everything that is read is of one moment, whatever another process writes."""
        return self._database.snapshot()

    def trials(self, fidelity: Fidelity | None = None, *, samples: bool = False) -> list[Trial]:
        """All trials in the order in which they were recorded, or those of one fidelity; with their samples on request."""
        chosen = [schema.trials.c.fidelity == fidelity] if fidelity else []
        with self._database.transaction() as connection:
            rows = connection.execute(sql.select(schema.trials).where(*chosen).order_by(schema.trials.c.number)).all()
            ordered = sql.select(schema.samples).order_by(schema.samples.c.repeat)
            blobs = connection.execute(ordered).all() if samples else []
        repeats_s: dict[int, list[tuple[float, ...]]] = {}
        for blob in blobs:
            repeats_s.setdefault(blob.trial, []).append(tuple(np.frombuffer(blob.latency_s, "<f8").tolist()))
        trials = [self._trial.validate_python(older.record(row.record)) for row in rows]
        return [
            replace(trial, measurement=_with_samples(trial.measurement, repeats_s.get(trial.number, [])))
            for trial in trials
        ]

    def recorded(self) -> dict[int, datetime]:
        """When each trial was recorded, by its number."""
        with self._database.transaction() as connection:
            rows = connection.execute(sql.select(schema.trials.c.number, schema.trials.c.created)).all()
        return {row.number: datetime.fromisoformat(row.created) for row in rows}

    def repeat_medians_s(self) -> dict[int, tuple[float, ...]]:
        """The median of each repeat's samples in s, by the trial's number."""
        ordered = sql.select(schema.samples).order_by(schema.samples.c.trial, schema.samples.c.repeat)
        medians_s: dict[int, tuple[float, ...]] = {}
        with self._database.transaction() as connection:
            for blob in connection.execute(ordered.execution_options(yield_per=64)):  # all at once are half a gigabyte
                median_s = float(np.median(np.frombuffer(blob.latency_s, "<f8")))
                medians_s[blob.trial] = (*medians_s.get(blob.trial, ()), median_s)
        return medians_s

    def samples(self, number: int) -> tuple[tuple[float, ...], ...]:
        """Every latency sample of one trial in s: one tuple a repeat."""
        of = sql.select(schema.samples).where(schema.samples.c.trial == number).order_by(schema.samples.c.repeat)
        with self._database.transaction() as connection:
            blobs = connection.execute(of).all()
        return tuple(tuple(np.frombuffer(blob.latency_s, "<f8").tolist()) for blob in blobs)

    def visits(self, *, samples: bool = False) -> list[Visit]:
        """The networks of other studies that were measured here, as they came; with their samples on request."""
        if self._database.format < schema.VISITS_SINCE:
            return []  # an older study's, opened to be read
        with self._database.transaction() as connection:
            rows = connection.execute(sql.select(schema.visits).order_by(schema.visits.c.created)).all()
            ordered = sql.select(schema.visit_samples).order_by(schema.visit_samples.c.repeat)
            blobs = connection.execute(ordered).all() if samples else []
        repeats_s: dict[tuple[str, str, int], list[tuple[float, ...]]] = {}
        for blob in blobs:
            of = repeats_s.setdefault((blob.session, blob.home, blob.number), [])
            of.append(tuple(np.frombuffer(blob.latency_s, "<f8").tolist()))
        visits = [self._visit.validate_python(older.record(row.record)) for row in rows]
        return [
            replace(
                visit,
                measurement=_with_samples(
                    visit.measurement, repeats_s.get((visit.session, visit.home, visit.number), [])
                ),
            )
            for visit in visits
        ]

    def add_visits(self, visits: Sequence[Visit]) -> Sequence[Visit]:
        """Write visits through to the disk, with their samples, all of them or none, and return them. Raises StoreError."""
        rows, samples = [], []
        for visit in visits:
            name = {"session": visit.session, "home": visit.home, "number": visit.number}
            bare = replace(visit, measurement=_with_samples(visit.measurement, []))
            rows.append({**name, "record": self._visit.dump_python(bare, mode="json"), "created": _now()})
            samples += [
                {**name, "repeat": repeat, "latency_s": np.asarray(values, "<f8").tobytes()}
                for repeat, values in enumerate(visit.measurement.repeats_s if visit.measurement else ())
            ]
        with self._database.transaction() as connection:
            connection.execute(schema.visits.insert(), rows)
            if samples:
                connection.execute(schema.visit_samples.insert(), samples)
        return visits

    def record(self, trial: Trial) -> Trial:
        """Write a trial through to the disk, with its samples, and return it. Raises StoreError."""
        (recorded,) = self.record_all([trial])
        return recorded

    def record_all(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Write trials through to the disk, with their samples: all of them or none. Raises StoreError."""
        rows = [
            {
                "number": trial.number,
                "fidelity": trial.fidelity,
                "genome": json.dumps(trial.genome),
                "record": self._without_samples(trial),
                "created": _now(),
            }
            for trial in trials
        ]
        samples = [
            {"trial": trial.number, "repeat": repeat, "latency_s": np.asarray(values, "<f8").tobytes()}
            for trial in trials
            for repeat, values in enumerate(trial.measurement.repeats_s if trial.measurement else ())
        ]
        with self._database.transaction() as connection:
            try:
                connection.execute(schema.trials.insert(), rows)
            except IntegrityError as error:
                numbers = ", ".join(str(trial.number) for trial in trials)
                raise StoreError(
                    f"{self.folder}: trial {numbers} was recorded already; the study's results were changed from outside"
                ) from error
            if samples:
                connection.execute(schema.samples.insert(), samples)
        return trials

    def add_test(self, trial: Trial, score: Score) -> Trial:
        """Add the test split's score, which is looked at once, to a recorded trial; returns it. Raises StoreError."""
        tested = replace(trial, test=score)
        with self._database.transaction() as connection:
            connection.execute(
                schema.trials.update()
                .where(schema.trials.c.number == trial.number)
                .values(record=self._without_samples(tested))
            )
        return tested

    def decide(self, name: str, value: Any) -> Any:
        """The decision recorded under ``name``; where there is none, ``value`` becomes it. Plain values only."""
        with self._database.transaction() as connection:
            row = connection.execute(
                sql.select(schema.decisions.c.value).where(schema.decisions.c.name == name)
            ).first()
            if row is not None:
                return row.value
            connection.execute(schema.decisions.insert(), {"name": name, "value": value, "created": _now()})
        return json.loads(json.dumps(value))

    def decided(self, name: str) -> Any | None:
        """The decision recorded under ``name``, or None."""
        with self._database.transaction() as connection:
            row = connection.execute(
                sql.select(schema.decisions.c.value).where(schema.decisions.c.name == name)
            ).first()
        return None if row is None else row.value

    def decisions(self) -> dict[str, Any]:
        """Every decision by its name."""
        with self._database.transaction() as connection:
            rows = connection.execute(sql.select(schema.decisions)).all()
            return {row.name: row.value for row in rows}

    def freeze(self, name: str, value: Mapping[str, Any]) -> None:
        """Record a fact that must be the same whenever the study goes on; raises ConfigError naming what differs.

        What is told now and was not recorded then, by an older version, is not compared.
        """
        value = json.loads(json.dumps(value))
        with self._database.transaction() as connection:
            row = connection.execute(sql.select(schema.facts.c.value).where(schema.facts.c.name == name)).first()
            if row is None:
                connection.execute(schema.facts.insert(), {"name": name, "value": value})
                return
        changes = _changes(row.value, {key: told for key, told in value.items() if key in row.value})
        if changes:
            raise ConfigError(
                f"{self.folder} was begun with another {name}: {'; '.join(changes)}. "
                "Measurements from both cannot stand in one study: give it another name to start afresh"
            )

    def facts(self) -> dict[str, dict[str, Any]]:
        """Every frozen fact by its name."""
        with self._database.transaction() as connection:
            rows = connection.execute(sql.select(schema.facts)).all()
            return {row.name: older.fact(row.name, dict(row.value)) for row in rows}

    def fact(self, name: str) -> dict[str, Any]:
        """A frozen fact, empty when there is none."""
        return self.facts().get(name, {})

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _without_samples(self, trial: Trial) -> Any:
        """The trial as JSON; its samples have a table of their own."""
        bare = replace(trial, measurement=_with_samples(trial.measurement, []))
        return self._trial.dump_python(bare, mode="json")


def check_folder(folder: Path, study: StudyConfig, source: str) -> None:
    """Raises ConfigError when ``folder`` holds another study, naming what differs, or something else altogether."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give {source} another name, or remove it")
    if (folder / _STUDY).exists():
        frozen = read(folder / _STUDY, StudyConfig)
        # How many workers there are changes no result, and fewer of them are the remedy for want of memory.
        before, now = (one.model_dump(mode="json", exclude={"prepare"}) for one in (frozen, study))
        if changes := _changes(before, now):
            raise ConfigError(
                f"{folder} holds another study: {'; '.join(changes)}. Give {source} another name, "
                f"or put back what was changed to resume, or remove {folder} to start afresh"
            )
    elif any(not path.name.startswith((".", FILE)) for path in folder.iterdir()):
        raise ConfigError(f"{folder} holds something that is no study: give {source} another name, or remove it")


def frozen(folder: Path, name: str) -> dict[str, Any] | None:
    """A frozen fact of the study in ``folder``; None where no study was begun there, empty where it has no such fact."""
    if not (folder / FILE).exists():
        return None
    with Store.open(folder) as store:
        return store.fact(name)


def _with_samples(measurement: Measurement | None, repeats_s: list[tuple[float, ...]]) -> Measurement | None:
    return None if measurement is None else replace(measurement, repeats_s=tuple(repeats_s))


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    changes = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += _changes(old, new, f"{prefix}{key}.")
        elif old != new:
            changes.append(f"{prefix}{key} was {old!r}, is {new!r}")
    return changes


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
