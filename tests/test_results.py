"""What is read of a study: all of it at one moment, its front, its knee."""

import json
import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from joulefront.errors import StoreError
from joulefront.front import distances_to_ideal, knee_of
from joulefront.records import Visit
from joulefront.results import of_store, read
from joulefront.store import Store
from written import measured_trial, write_study


def test_a_settled_study_is_read_whole(tmp_path: Path) -> None:
    results = read(write_study(tmp_path, count=20, fails=lambda number: number == 3))
    assert results.settled
    assert len([trial for trial in results.trials if trial.fidelity == "screen"]) == 20
    assert {trial.fidelity for trial in results.comparable} == {"full"}
    assert set(results.recorded) == {trial.number for trial in results.trials}
    assert len(results.repeat_medians_s[0]) == 3
    assert 3 not in results.repeat_medians_s  # it failed
    assert results.unpruned
    assert results.unpruned.genome == results.space.full
    assert results.knee in results.front
    assert results.hypervolume
    assert 0 < results.hypervolume.value < 1


def test_a_study_that_has_just_begun_has_no_front(tmp_path: Path) -> None:
    results = read(write_study(tmp_path, count=0))
    assert (results.settled, results.trials, results.front) == (False, (), ())
    assert (results.knee, results.unpruned, results.hypervolume) == (None, None, None)


def test_what_is_written_meanwhile_is_not_seen_in_parts(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=6, settled=False)
    with Store.open(folder) as reader, reader.snapshot():
        before = len(reader.trials())
        with Store.open(folder, writable=True) as writer:
            writer.record(measured_trial(6, (0, 0, 0), "screen"))
            writer.decide("settled", [])
        assert len(reader.trials()) == before
        assert reader.decided("settled") is None
        assert not of_store(reader).settled
    assert len(read(folder).trials) == before + 1
    assert read(folder).settled


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trials SET record = '{\"a\": 1}' WHERE number = 3",
        "UPDATE trials SET record = 'no JSON' WHERE number = 3",
        "UPDATE trials SET created = 'yesterday' WHERE number = 3",
    ],
)
def test_a_damaged_record_is_one_message(tmp_path: Path, damage: str) -> None:
    folder = write_study(tmp_path, count=6)
    with sqlite3.connect(folder / "study.sqlite") as database:
        database.execute(damage)
    database.close()
    with pytest.raises(StoreError, match="the database holds what no search wrote") as raised:
        read(folder)
    assert "\n" not in str(raised.value)


def test_a_cost_of_nothing_leaves_no_hypervolume(tmp_path: Path) -> None:
    results = read(write_study(tmp_path, count=3, settled=False, latency=lambda widths: 0.0))
    assert results.hypervolume
    assert results.hypervolume.value == 0.0


def test_a_visit_is_kept_with_its_samples(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=6)
    trial = measured_trial(9, (1, 2, 3), "full")
    assert trial.candidate
    visit = Visit("2026-01-01T00:00:00+00:00", "elsewhere", 9, trial.candidate, trial.artifact, trial.measurement)
    with Store.open(folder, writable=True) as store:
        store.add_visits([visit])
        assert store.visits(samples=True) == [visit]
    (known,) = read(folder).visits
    assert known.measurement
    assert trial.measurement
    assert known.measurement == replace(trial.measurement, repeats_s=())
    assert not any(
        trial.number == 9 and trial.fidelity == "full" and trial.genome == (1, 2, 3) for trial in read(folder).trials
    )


def test_a_study_of_the_format_before_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=6)
    with sqlite3.connect(folder / "study.sqlite") as database:
        database.executescript("DROP TABLE visit_samples; DROP TABLE visits; PRAGMA user_version = 1")
    database.close()
    assert read(folder).visits == ()
    with Store.open(folder, writable=True) as store:
        assert store.visits() == []
    assert read(folder).visits == ()


def test_a_study_that_knew_of_widths_alone_is_read(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=6)
    today = read(folder)
    with sqlite3.connect(folder / "study.sqlite") as database:
        for number, text in database.execute("SELECT number, record FROM trials").fetchall():
            record = json.loads(text)
            if record["candidate"]:
                record["candidate"]["widths"] = record["candidate"].pop("pruning")["widths"]
                for name in ("loss", "macro"):
                    del record["candidate"]["score"][name]
                for name in ("latency_p99_s", "latency_p99_reason", "memory_b", "memory_reason"):
                    del record["measurement"][name]
                del record["artifact"]["packed_b"]
            database.execute("UPDATE trials SET record = ? WHERE number = ?", (json.dumps(record), number))
        genes = [{"name": gene.name, "widths": list(gene.options)} for gene in today.space.genes]
        database.execute("UPDATE facts SET value = ? WHERE name = 'space'", (json.dumps({"genes": genes}),))
        database.execute("PRAGMA user_version = 2")
    database.close()
    then = read(folder)
    assert then.space == today.space
    assert then.trials == today.trials
    assert then.unpruned
    assert then.unpruned.measurement
    assert then.unpruned.measurement.memory_reason == "the version that recorded it did not tell"


def test_the_knee_is_the_nearest_to_the_ideal() -> None:
    trials = [
        replace(measured_trial(number, (0, 0, number), "full"), objectives={"error": error, "latency_s": latency})
        for number, (error, latency) in enumerate([(0.01, 1.0), (0.02, 0.2), (0.10, 0.1), (0.9, 0.09)])
    ]
    names = ("error", "latency_s")
    assert knee_of(trials, names) is trials[2]
    # By hand: ranges 0.89 and 0.91.
    expected = [math.hypot(0.0, 1.0), math.hypot(0.01 / 0.89, 0.11 / 0.91), math.hypot(0.09 / 0.89, 0.01 / 0.91), 1.0]
    assert distances_to_ideal(trials, trials, names) == pytest.approx(expected)
    # Without the hopeless one the ranges are 0.09 and 0.9.
    bounded = distances_to_ideal(trials, trials, names, {"error": 0.2, "latency_s": 1.1})
    assert bounded[:3] == pytest.approx([1.0, math.hypot(0.01 / 0.09, 0.1 / 0.9), 1.0])
    assert bounded[3] == math.inf
    assert knee_of(trials, names, {"error": 0.2, "latency_s": 1.1}) is trials[1]
    assert knee_of([], names) is None
    assert knee_of(trials[:1], names) is trials[0]
    assert knee_of(trials[:1], names, {"error": 0.001, "latency_s": 0.5}) is trials[0]  # nothing lies within
