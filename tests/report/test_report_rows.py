"""Trials as flat rows: the same in CSV, Parquet and a frame; what is missing stays missing."""

import csv
import io
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas
import pytest

from joulefront.errors import ConfigError
from joulefront.records import Failure, Trial
from joulefront.report.rows import as_csv, as_frame, as_parquet, columns
from joulefront.results import Results, read
from joulefront.store import Store
from written import NO_METER, SPACE, write_study


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return read(write_study(tmp_path, count=8, fails=lambda number: number == 2))


def _records(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_csv_says_each_trial_in_si_units(results: Results) -> None:
    rows = _records(as_csv(results))
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in results.trials]
    for row, trial in zip(rows, results.trials, strict=True):
        assert datetime.fromisoformat(row["recorded"]) == results.recorded[trial.number]
        widths = SPACE.pruning(trial.genome).widths
        assert {name: int(row[f"width.{name}"]) for name in widths} == widths
        assert row["on_front"] == ("true" if trial in results.front else "false")
        if trial.measurement is None:
            continue
        latency = trial.measurement.latency_s
        assert [float(row[f"latency_s{end}"]) for end in ("", "_low", "_high")] == [
            latency.value,
            latency.low,
            latency.high,
        ]
        assert (row["latency_provenance"], row["grade"]) == ("simulated", trial.measurement.grade)
        assert (row["energy_j"], row["energy_provenance"], row["energy_reason"]) == ("", "", NO_METER)
    assert sum(row["knee"] == "true" for row in rows) == 1
    assert {row["trial"] for row in rows if row["unpruned"] == "true"} == {
        str(trial.number) for trial in results.trials if trial.genome == SPACE.full
    }


def test_what_a_failed_trial_lacks_is_empty_and_never_zero(results: Results) -> None:
    row = _records(as_csv(results))[2]
    assert row["failure_kind"] == "CompileError"
    assert row["width.conv1"]
    for name in ("error", "accuracy", "latency_s", "latency_s_high", "params", "size_b", "violation", "warnings"):
        assert row[name] == "", name
    frame = as_frame(results)
    assert frame.loc[2, ["error", "latency_s", "params", "violation", "grade"]].isna().all()


def test_what_others_wrote_becomes_neither_a_formula_nor_a_command_of_the_terminal(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=0)
    hostile = '=HYPERLINK("http://x"),\x1b[2J\nsecond "line"'
    with Store.open(folder, writable=True) as store:
        store.record(Trial(0, (0, 0, 0), "screen", failure=Failure("@SUM", hostile)))
    data = as_csv(read(folder))
    assert b"\x1b" not in data
    (row,) = _records(data)
    assert row["failure_kind"] == "'@SUM"
    assert row["failure_message"] == "'" + hostile.replace("\x1b", r"\x1b")
    assert pandas.read_parquet(io.BytesIO(as_parquet(read(folder))))["failure_message"][0] == hostile


def test_half_a_character_stops_no_table(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=0)
    with Store.open(folder, writable=True) as store:
        store.record(Trial(0, (0, 0, 0), "screen", failure=Failure("Hung", "half \ud83d of one")))
    results = read(folder)
    assert as_frame(results)["failure_message"][0] == "half ? of one"
    assert pandas.read_parquet(io.BytesIO(as_parquet(results)))["failure_message"][0] == "half ? of one"
    assert _records(as_csv(results))[0]["failure_message"] == "half ? of one"


def test_a_frame_has_the_types_of_its_columns(results: Results) -> None:
    frame = as_frame(results)
    assert list(frame) == [column.name for column in columns(results)]
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert dtypes["trial"] == dtypes["width.fc1"] == "int64"
    assert dtypes["params"] == "Int64"  # one is missing
    assert dtypes["latency_s"] == dtypes["energy_j"] == "float64"
    assert dtypes["on_front"] == "bool"
    assert dtypes["recorded"] == "datetime64[ms, UTC]"
    assert frame["energy_j"].isna().all()
    front = as_frame(results, results.front)
    assert list(front["trial"]) == [trial.number for trial in results.front]
    assert front["on_front"].all()


def test_parquet_holds_what_the_frame_holds(results: Results) -> None:
    stored, frame = pandas.read_parquet(io.BytesIO(as_parquet(results))), as_frame(results)
    assert list(stored) == list(frame)
    for name in ("trial", "width.conv2", "error", "energy_j", "latency_s_low", "on_front", "recorded"):
        pandas.testing.assert_series_equal(stored[name], frame[name], check_dtype=name != "recorded")
    assert stored["params"].isna().tolist() == frame["params"].isna().tolist()


def test_energy_has_its_interval_and_its_provenance(tmp_path: Path) -> None:
    frame = as_frame(read(write_study(tmp_path, count=5, energy=True)))
    assert (frame["energy_j_low"] < frame["energy_j"]).all()
    assert (frame["energy_j"] < frame["energy_j_high"]).all()
    assert set(frame["energy_provenance"]) == {"simulated"}
    assert frame["energy_reason"].isna().all()


def test_an_empty_study_has_its_columns_and_no_row(tmp_path: Path) -> None:
    results = read(write_study(tmp_path, count=0))
    assert len(as_csv(results).splitlines()) == 1
    assert len(as_frame(results)) == len(pandas.read_parquet(io.BytesIO(as_parquet(results)))) == 0
    without_space = replace(results, facts={})
    assert as_csv(without_space).startswith(b"study,device,trial")


@pytest.mark.parametrize(("module", "call"), [("pyarrow", as_parquet), ("pandas", as_frame)])
def test_without_the_extra_one_message_says_what_to_install(
    results: Results, monkeypatch: pytest.MonkeyPatch, module: str, call: object
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install 'joulefront\[frame\]'"):
        call(results)  # type: ignore[operator]
