"""What was recorded comes back as it was; another study, a full disk and a damaged file are refused with a reason."""

import os
import sqlite3
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from joulefront.errors import ConfigError, StoreError
from joulefront.records import Artifact, Candidate, Estimate, Failure, Measurement, Score, Target, Trial
from joulefront.space_records import Pruning
from joulefront.store import Store

TEXT = 'name = "x"\n[task]\nkind = "digits"\n'


def whole_trial(number: int = 0) -> Trial:
    score = Score("validation", 0.9, Estimate(0.1, 0.05, 0.2), 360)
    target = Target("x86_64-linux-gnu", "x86-64-v4", ("+neon",), 16, 32)
    return Trial(
        number,
        (1, number),
        "screen",
        candidate=Candidate("k", "aa", Pruning({"conv": 8}), "screen", score, 100, 1000),
        artifact=Artifact("k2", "bb", 4096, target),
        measurement=Measurement(
            grade="screening",
            provenance="simulated",
            latency_s=Estimate(0.1 + 0.2, 0.29, 0.31),
            repeats_s=((0.1, 1 / 3), (0.3,)),
            energy_j=None,
            energy_provenance=None,
            energy_reason="no meter",
            conditions={"before": {"temperature_c": 40.5, "governor": "performance"}, "after": {"temperature_c": None}},
            warnings=("it was warm",),
        ),
        objectives={"error": 0.1, "latency_s": 0.3},
        intervals={"latency_s": (0.29, 0.31)},
        violation=0.5,
    )


def test_trials_come_back_as_they_were(tmp_path: Path) -> None:
    trials = [whole_trial(), Trial(1, (0, 0), "screen", failure=Failure("Hung", "it hung")), whole_trial(2)]
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        for trial in trials:
            store.record(trial)
        assert store.trials(samples=True) == trials
    with Store.open(tmp_path / "x") as store:
        assert store.trials("screen", samples=True) == trials
        assert store.trials("full") == []


def test_the_test_score_is_added_to_a_trial(tmp_path: Path) -> None:
    score = Score("test", 0.8, Estimate(0.2, 0.1, 0.3), 360)
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        trial = store.record(whole_trial())
        store.add_test(trial, score)
        (found,) = store.trials(samples=True)
        assert found.test == score
        assert found.measurement == trial.measurement


def test_a_study_can_be_read_where_nothing_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a study?"
    with Store.create_or_resume(folder, TEXT, "study.toml") as store:
        store.record(whole_trial())
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.setattr("joulefront.database.os.access", lambda path, mode: mode != os.W_OK)
    with Store.open(folder) as store:
        assert [trial.number for trial in store.trials()] == [0]
        with pytest.raises(StoreError, match="readonly"):
            store.decide("x", 1)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_medians_are_taken_without_holding_every_sample(tmp_path: Path) -> None:
    trial = whole_trial()
    assert trial.measurement
    large = replace(trial, measurement=replace(trial.measurement, repeats_s=((0.5,) * 10_000,)))
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        for number in range(200):  # of 80 kB each
            store.record(replace(large, number=number, genome=(1, number)))
        tracemalloc.start()
        try:
            medians_s = store.repeat_medians_s()
            _, peak_b = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert medians_s == dict.fromkeys(range(200), (0.5,))
    assert peak_b < 12e6


def test_what_stands_in_the_log_alone_is_read_where_nothing_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x"
    with Store.create_or_resume(folder, TEXT, "study.toml") as store:
        store.record(whole_trial())
        other = sqlite3.connect(folder / "study.sqlite")  # while somebody reads, the log is not emptied
        other.execute("SELECT * FROM trials").fetchall()
        store.record(whole_trial(1))
    monkeypatch.setattr("joulefront.database.os.access", lambda path, mode: mode != os.W_OK)
    with Store.open(folder) as store:
        assert [trial.number for trial in store.trials()] == [0, 1]
    other.close()


def test_a_study_that_changed_while_it_was_read_as_one_that_never_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as writer:
        writer.record(whole_trial())
        with monkeypatch.context() as patched:
            patched.setattr("joulefront.database.os.access", lambda path, mode: mode != os.W_OK)
            reader = Store.open(tmp_path / "x")

        def read_while_it_is_written() -> None:
            with reader.snapshot():
                reader.trials()
                writer.record(whole_trial(1))

        with pytest.raises(StoreError, match="was written to while it was read"):
            read_while_it_is_written()
        reader.close()


def test_a_folder_that_may_not_be_looked_into_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(ConfigError, match=r"x: cannot be read: Permission denied"):
        Store.open(tmp_path / "x")


def test_a_trial_is_recorded_once(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        store.record(whole_trial())
        with pytest.raises(StoreError, match="trial 0 was recorded already"):
            store.record(whole_trial())


def test_a_decision_is_taken_once(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        assert store.decided("finalists") is None
        assert store.decide("finalists", [(1, 2)]) == [[1, 2]]
        assert store.decide("finalists", [(3, 4)]) == [[1, 2]]
        assert store.decided("finalists") == [[1, 2]]


def test_a_fact_must_not_change(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        store.freeze("versions", {"torch": "1", "nested": {"a": 1}})
        store.freeze("versions", {"torch": "1", "nested": {"a": 1}})
        with pytest.raises(ConfigError, match=r"another versions: nested.a was 1, is 2; torch was '1', is '2'"):
            store.freeze("versions", {"torch": "2", "nested": {"a": 2}})
        with pytest.raises(ConfigError, match="another versions: torch was '1', is None"):
            store.freeze("versions", {"nested": {"a": 1}})
        assert store.fact("versions")["torch"] == "1"
        assert store.fact("nothing") == {}


def test_what_an_older_version_did_not_record_is_no_change(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        store.freeze("device", {"model": "a"})
        store.freeze("device", {"model": "a", "l2_b": 1 << 20})
        with pytest.raises(ConfigError, match=r"another device: model was 'a', is 'b'\."):
            store.freeze("device", {"model": "b", "l2_b": 1 << 20})


def test_several_trials_are_recorded_together_or_not_at_all(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        store.record(whole_trial(1))
        with pytest.raises(StoreError, match="trial 0, 1, 2 was recorded already"):
            store.record_all([whole_trial(number) for number in range(3)])
        assert store.trials(samples=True) == [whole_trial(1)]
        assert store.record_all([whole_trial(2), whole_trial(3)]) == store.trials(samples=True)[1:]


def test_decisions_are_told_by_name(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        store.decide("one", [1])
        store.decide("two", {"b": None})
        assert store.decide("one", [2]) == [1]
        assert store.decisions() == {"one": [1], "two": {"b": None}}


def test_another_study_is_refused_and_what_changed_is_said(tmp_path: Path) -> None:
    Store.create_or_resume(tmp_path / "x", TEXT, "study.toml").close()
    Store.create_or_resume(tmp_path / "x", TEXT + "\n# a comment changes nothing\n", "study.toml").close()
    with pytest.raises(ConfigError, match=r"holds another study: measure.repeats was 5, is 9; search.seed was 0, is 1"):
        Store.create_or_resume(tmp_path / "x", TEXT + "[search]\nseed = 1\n[measure]\nrepeats = 9\n", "study.toml")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="holds something that is no study"):
        Store.create_or_resume(tmp_path, TEXT, "study.toml")
    with pytest.raises(ConfigError, match="is a file"):
        Store.create_or_resume(tmp_path / "thesis.txt", TEXT, "study.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no study there"):
        Store.open(tmp_path / "absent")


def test_two_searches_do_not_write_to_one_study(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml"):
        with pytest.raises(StoreError, match="another process is searching there"):
            Store.create_or_resume(tmp_path / "x", TEXT, "study.toml")
        Store.open(tmp_path / "x").close()  # reading is always possible
    Store.create_or_resume(tmp_path / "x", TEXT, "study.toml").close()


def test_a_full_disk_stops_with_a_reason_and_loses_nothing(tmp_path: Path) -> None:
    with Store.create_or_resume(tmp_path / "x", TEXT, "study.toml") as store:
        store.record(whole_trial())
        # SQLite itself says "database or disk is full" when it may not grow.
        from sqlalchemy import event

        @event.listens_for(store._database.engine, "connect")
        def no_room(connection: sqlite3.Connection, _: object) -> None:
            connection.execute("PRAGMA max_page_count = 1")

        big = Trial(1, (0, 0), "screen", failure=Failure("Hung", "x" * 100_000))
        with pytest.raises(StoreError, match=r"database or disk is full.*run the same command again"):
            store.record(big)
    with Store.open(tmp_path / "x") as store:
        assert [trial.number for trial in store.trials()] == [0]


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    Store.create_or_resume(tmp_path / "x", TEXT, "study.toml").close()
    (tmp_path / "x" / "study.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match=r"study.sqlite: file is not a database"):
        Store.open(tmp_path / "x")


def test_another_format_is_refused(tmp_path: Path) -> None:
    Store.create_or_resume(tmp_path / "x", TEXT, "study.toml").close()
    connection = sqlite3.connect(tmp_path / "x" / "study.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match=r"another version of Joulefront \(format 99, expected 3\)"):
        Store.open(tmp_path / "x")
