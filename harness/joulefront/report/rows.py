"""All trials as flat rows, one a trial: CSV, Parquet or a pandas frame, in SI units. What is missing is empty, never 0."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from joulefront import derived
from joulefront.errors import ConfigError
from joulefront.objectives import MACRO
from joulefront.records import Energy, Estimate, Trial
from joulefront.report.axes import OF_DEVICE, indicative
from joulefront.report.visible import visible
from joulefront.results import Results
from joulefront.space_records import Gene, Option

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["count", "number", "text", "flag", "time"]

# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t")
_DTYPES = {"number": "float64", "text": "string", "flag": "bool", "time": "datetime64[ms, UTC]"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its values are None where they are missing; a ``time`` is in UTC."""

    name: str
    kind: Kind
    values: tuple[int | float | str | bool | datetime | None, ...]


def columns(results: Results, trials: Sequence[Trial] | None = None) -> list[Column]:
    """The columns of all trials of a study, or of these; the same ones for every study of one space."""
    chosen = results.trials if trials is None else trials
    front = {trial.number for trial in results.front}
    knee = results.knee.number if results.knee else None

    def column(name: str, kind: Kind, value: Callable[[Trial], Any]) -> Column:
        return Column(name, kind, tuple(_storable(value(trial)) for trial in chosen))

    def estimated(name: str, estimate: Callable[[Trial], Estimate | None]) -> list[Column]:
        found = [estimate(trial) for trial in chosen]
        return [
            Column(name, "number", tuple(one.value if one else None for one in found)),
            Column(f"{name}_low", "number", tuple(one.low if one else None for one in found)),
            Column(f"{name}_high", "number", tuple(one.high if one else None for one in found)),
        ]

    return [
        Column("study", "text", (results.name,) * len(chosen)),
        Column("device", "text", (results.study.device,) * len(chosen)),
        column("trial", "count", lambda trial: trial.number),
        column("fidelity", "text", lambda trial: trial.fidelity),
        column("grade", "text", lambda trial: trial.measurement and trial.measurement.grade),
        column("on_front", "flag", lambda trial: trial.number in front),
        column("knee", "flag", lambda trial: trial.number == knee),
        column("unpruned", "flag", lambda trial: trial.genome == results.space.full),
        *(
            column(f"{gene.kind}.{gene.name}", _type(gene), partial(_option, gene, at))
            for at, gene in enumerate(results.space.genes)
        ),
        *estimated("error", lambda trial: trial.candidate.score.error if trial.candidate else None),
        column("accuracy", "number", lambda trial: trial.candidate and trial.candidate.score.metric),
        column("test_accuracy", "number", lambda trial: trial.test and trial.test.metric),
        *(one for name in MACRO for one in estimated(name, lambda trial, name=name: _macro(trial, name))),  # type: ignore[misc]
        column("loss", "number", lambda trial: trial.candidate and trial.candidate.score.loss),
        *estimated("latency_s", lambda trial: trial.measurement.latency_s if trial.measurement else None),
        *estimated("latency_p99_s", lambda trial: trial.measurement.latency_p99_s if trial.measurement else None),
        column("latency_p99_reason", "text", lambda trial: trial.measurement and trial.measurement.latency_p99_reason),
        column("latency_provenance", "text", lambda trial: trial.measurement and trial.measurement.provenance),
        *estimated("memory_b", lambda trial: trial.measurement.memory_b if trial.measurement else None),
        column("memory_reason", "text", lambda trial: trial.measurement and trial.measurement.memory_reason),
        *estimated("energy_j", lambda trial: trial.measurement.energy_j if trial.measurement else None),
        column("energy_provenance", "text", lambda trial: trial.measurement and trial.measurement.energy_provenance),
        column("energy_reason", "text", lambda trial: trial.measurement and trial.measurement.energy_reason),
        *(one for name in derived.NAMES for one in estimated(name, partial(_derived, name))),
        column("meter", "text", lambda trial: made.meter if (made := _made(trial)) else None),
        column("meter_covers", "text", lambda trial: made.covers if (made := _made(trial)) else None),
        column("meter_factor", "number", lambda trial: made.factor if (made := _made(trial)) else None),
        *estimated("idle_w", lambda trial: made.idle_w if (made := _made(trial)) else None),
        column("indicative", "text", lambda trial: "; ".join(_indicative(trial)) or None),
        column(
            "set_aside", "text", lambda trial: "; ".join(trial.measurement.set_aside) if trial.measurement else None
        ),
        column("params", "count", lambda trial: trial.candidate and trial.candidate.params),
        column("macs", "count", lambda trial: trial.candidate and trial.candidate.macs),
        column("size_b", "count", lambda trial: trial.artifact and trial.artifact.size_b),
        column("packed_b", "count", lambda trial: trial.artifact and trial.artifact.packed_b),
        column("violation", "number", lambda trial: trial.violation if trial.failure is None else None),
        column("failure_kind", "text", lambda trial: trial.failure and trial.failure.kind),
        column("failure_message", "text", lambda trial: trial.failure and trial.failure.message),
        column("warnings", "text", lambda trial: "; ".join(trial.measurement.warnings) if trial.measurement else None),
        column("recorded", "time", lambda trial: results.recorded[trial.number]),
        column("candidate_sha256", "text", lambda trial: trial.candidate and trial.candidate.sha256),
        column("library_sha256", "text", lambda trial: trial.artifact and trial.artifact.sha256),
    ]


def _macro(trial: Trial, name: str) -> Estimate | None:
    return trial.candidate.score.macro.get(name) if trial.candidate else None


def as_csv(results: Results) -> bytes:
    """All trials as CSV in UTF-8, with a line of headings.

    A text that a spreadsheet would take for a formula has an apostrophe before it, and control characters are escaped.
    """
    table = columns(results)
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([visible(column.name) for column in table])
    writer.writerows(zip(*([_cell(value) for value in column.values] for column in table), strict=True))
    return file.getvalue().encode()


def as_parquet(results: Results) -> bytes:
    """All trials as Parquet, texts as they are. Raises ConfigError without the extra ``frame``."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise _no_frame("Parquet") from error
    types = {
        "count": arrow.int64(),
        "number": arrow.float64(),
        "text": arrow.string(),
        "flag": arrow.bool_(),
        "time": arrow.timestamp("ms", tz="UTC"),
    }
    table = columns(results)
    arrays = {column.name: arrow.array(column.values, types[column.kind]) for column in table}
    file = io.BytesIO()
    parquet.write_table(arrow.table(arrays), file)
    return file.getvalue()


def as_frame(results: Results, trials: Sequence[Trial] | None = None) -> pd.DataFrame:
    """All trials, or these, as a pandas frame: one row a trial, the columns of the CSV, NaN or NA where there is nothing.

    Raises ConfigError without the extra ``frame``.
    """
    try:
        import pandas
    except ImportError as error:
        raise _no_frame("a frame") from error
    table = columns(results, trials)
    return pandas.DataFrame({column.name: pandas.Series(column.values, dtype=_dtype(column)) for column in table})


def _derived(name: str, trial: Trial) -> Estimate | None:
    return derived.found(trial.measurement)[name]


def _made(trial: Trial) -> Energy | None:
    return trial.measurement.energy if trial.measurement else None


def _indicative(trial: Trial) -> list[str]:
    """Which intervals are only indicative, and why."""
    return [f"{name}: {why}" for name in OF_DEVICE if (why := indicative(trial, name))]


def _option(gene: Gene, at: int, trial: Trial) -> Option:
    return gene.options[trial.genome[at]]


def _type(gene: Gene) -> Literal["text", "number", "count"]:
    """What a column of the gene's options holds."""
    if gene.kind == "criterion":
        return "text"
    return "number" if any(isinstance(option, float) for option in gene.options) else "count"


def _storable(value: Any) -> Any:
    """Half of a character, which JSON lets through and no file can hold, as a question mark."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _dtype(column: Column) -> str:
    """Whole numbers stay whole where one is missing."""
    return _DTYPES.get(column.kind) or ("Int64" if None in column.values else "int64")


def _cell(value: float | str | bool | datetime | None) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return f"'{visible(value)}" if value.startswith(_FORMULA) else visible(value)
    return value


def _no_frame(what: str) -> ConfigError:
    return ConfigError(f"{what} needs pandas and pyarrow: pip install 'joulefront[frame]'")
