"""What tuning found, kept: it comes back as it went in, from any process, and whatever else is there is refused."""

import pickle
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from joulefront.errors import ConfigError, StoreError
from joulefront.kernel_records import Variant, Workload
from joulefront.records import Target
from joulefront.tuning.database import Choice, Database, Snapshot
from joulefront_devices import registry

TARGET = Target("x86_64-linux-gnu", "x86-64-v3", ("+avx2",), 8, 16)
CONV = Workload("conv2d", (("data", (1, 7, 7, 512)), ("weight", (3, 3, 512, 512))))
DENSE = Workload("dense", (("data", (1, 512)), ("weight", (512, 10))))
TILED = Variant("conv2d", (("tile", (4, 4)), ("rows_outside", (0,)), ("a", ())))
CHOICE = Choice(TILED, 1e-3, 1.25e-3, "2026-11-22T10:00:00+00:00", "measured")
VERSION = "kernels 0123"


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path / "devices"))
    return Database.of("pi5")


def test_what_was_found_comes_back_for_that_and_nothing_else(database):
    database.record(TARGET, VERSION, CONV, CHOICE)
    assert Database.of("pi5").best(TARGET, VERSION, CONV) == CHOICE
    assert database.best(TARGET, VERSION, DENSE) is None
    assert database.best(TARGET, "another", CONV) is None
    for other in (replace(TARGET, threads=2), replace(TARGET, cpu="znver4"), replace(TARGET, features=())):
        assert database.best(other, VERSION, CONV) is None
    assert Database.of("pi4").best(TARGET, VERSION, CONV) is None


def test_what_is_found_later_takes_its_place(database):
    later = replace(CHOICE, variant=Variant("winograd", ()), latency_s=5e-4, provenance="simulated")
    for choice in (CHOICE, later):
        database.record(TARGET, VERSION, CONV, choice)
    assert database.best(TARGET, VERSION, CONV) == later


def test_nothing_is_found_nor_made_where_nothing_was_recorded(database):
    assert database.best(TARGET, VERSION, CONV) is None
    assert len(database.snapshot(TARGET, VERSION)) == 0
    database.drop()
    assert not database.file.parent.exists()


def test_it_is_for_the_users_eyes_alone_beside_the_device(database):
    database.record(TARGET, VERSION, CONV, CHOICE)
    assert database.file.parent == registry.folder()
    assert database.file.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in registry.folder().iterdir()] == ["pi5.kernels"]
    assert registry.names() == ()


def test_what_was_found_for_a_file_of_the_users_own_is_beside_it(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    Database.of("board.toml", tmp_path / "there").record(TARGET, VERSION, CONV, CHOICE)
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["board.kernels"]
    assert Database.of("there/board.toml").best(TARGET, VERSION, CONV) == CHOICE
    assert Database.of(f"{tmp_path}/there/board.toml").best(TARGET, VERSION, CONV) == CHOICE
    assert Database.of("board.toml").best(TARGET, VERSION, CONV) is None


def test_names_with_dots_are_different_devices(database):
    assert Database.of("pi.5").file.name == "pi.5.kernels"
    with pytest.raises(ConfigError, match="expected a name"):
        Database.of("../pi5")


def test_dropping_forgets(database):
    database.record(TARGET, VERSION, CONV, CHOICE)
    database.file.with_name("pi5.kernels-journal").write_bytes(b"")
    database.drop()
    assert database.best(TARGET, VERSION, CONV) is None
    assert list(registry.folder().iterdir()) == []


def test_a_snapshot_is_the_variants_of_one_target_and_version(database):
    dense = replace(CHOICE, variant=Variant("dense", (("tile", (1, 2)),)))
    database.record(TARGET, VERSION, DENSE, dense)
    database.record(TARGET, VERSION, CONV, CHOICE)
    database.record(TARGET, "another", CONV, dense)
    snapshot = database.snapshot(TARGET, VERSION)
    database.drop()
    assert dict(snapshot) == {CONV.text: TILED, DENSE.text: dense.variant}
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot


def test_a_snapshots_key_is_that_of_its_variants_alone(database):
    database.record(TARGET, VERSION, CONV, CHOICE)
    before = database.snapshot(TARGET, VERSION)
    database.record(TARGET, VERSION, CONV, replace(CHOICE, latency_s=2e-3, at="2027-01-01T00:00:00+00:00"))
    again = database.snapshot(TARGET, VERSION)
    assert (again, hash(again), again.key) == (before, hash(before), before.key)
    other = Snapshot({CONV.text: Variant("conv2d", (("tile", (4, 5)),))})
    assert len({before.key, other.key, Snapshot({}).key}) == 3
    one, two = (Snapshot(dict(items)) for items in ([("a", TILED), ("b", TILED)], [("b", TILED), ("a", TILED)]))
    assert one.key == two.key


WRITER = """
import sys
from pathlib import Path
from joulefront.kernel_records import Variant, Workload
from joulefront.records import Target
from joulefront.tuning.database import Choice, Database
database, target = Database(Path(sys.argv[1])), Target("x86_64-linux-gnu", "x86-64-v3", ("+avx2",), 8, 16)
for step in range(20):
    workload = Workload("dense", (("data", (int(sys.argv[2]), step)),))
    database.record(target, "kernels 0123", workload, Choice(Variant("dense", ()), 1.0, 1.0, "", "measured"))
"""


def test_processes_that_write_at_once_lose_nothing(database):
    commands = [[sys.executable, "-c", WRITER, database.file, str(number)] for number in range(3)]
    writers = [subprocess.Popen(command) for command in commands]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(database.snapshot(TARGET, VERSION)) == 60


@pytest.fixture
def written(database):
    database.record(TARGET, VERSION, CONV, CHOICE)
    return database


def change(database, statement, *values):
    connection = sqlite3.connect(database.file)
    with connection:
        connection.execute(statement, values)
    connection.close()


GOOD = (
    '{"kernel": "conv2d", "parameters": {"tile": [4, 4]}, "latency_s": 1.0, "untuned_s": 1.0, "at": "", '
    '"provenance": "measured"}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[4, 4]", '["4", 4]'),
        ("[4, 4]", "4"),
        ('"latency_s": 1.0', '"latency_s": 0.0'),
        ('"latency_s": 1.0', '"latency_s": "1"'),
        ('"untuned_s": 1.0, ', ""),
        ('"untuned_s": 1.0', '"untuned_s": NaN'),
        ("measured", "guessed"),
        ('{"kernel"', '{"surplus": 1, "kernel"'),
        ('"conv2d"', "null"),
        (GOOD, "\0\1"),
        (GOOD, ""),
    ],
)
def test_what_tuning_did_not_write_is_refused_with_what_to_do(written, old, new):
    change(written, "UPDATE choices SET choice = ?", GOOD)
    assert written.best(TARGET, VERSION, CONV).variant.kernel == "conv2d"
    change(written, "UPDATE choices SET choice = ?", GOOD.replace(old, new))
    for look in (lambda: written.best(TARGET, VERSION, CONV), lambda: written.snapshot(TARGET, VERSION)):
        with pytest.raises(StoreError, match=r"pi5\.kernels: not what tuning has written \(.*remove the file and tune"):
            look()


@pytest.mark.parametrize("statement", ["DROP TABLE choices", "UPDATE choices SET choice = 7"])
def test_so_is_a_table_of_another_kind(written, statement):
    change(written, statement)
    with pytest.raises(StoreError, match="remove the file and tune again"):
        written.snapshot(TARGET, VERSION)


def test_a_file_that_is_no_database_is_refused_and_left_alone(written):
    written.file.write_bytes(b"Once upon a time there was a kernel" * 100)
    for work in (
        lambda: written.best(TARGET, VERSION, CONV),
        lambda: written.record(TARGET, VERSION, CONV, CHOICE),
    ):
        with pytest.raises(StoreError, match=r"not a database.*remove the file and tune again"):
            work()
    assert written.file.read_bytes().startswith(b"Once")


def test_an_empty_file_as_a_power_cut_leaves_it_is_an_empty_database(written):
    written.file.write_bytes(b"")
    assert written.best(TARGET, VERSION, CONV) is None
    written.record(TARGET, VERSION, CONV, CHOICE)
    assert written.best(TARGET, VERSION, CONV) == CHOICE


def test_another_versions_file_is_refused(written):
    change(written, "PRAGMA user_version = 7")
    with pytest.raises(StoreError, match=r"another version of Joulefront .format 7, expected 1"):
        written.best(TARGET, VERSION, CONV)
    with pytest.raises(StoreError, match="another version of Joulefront"):
        written.record(TARGET, VERSION, CONV, CHOICE)


def test_a_disk_that_refuses_is_named(database):
    database.file.parent.write_text("a file where the folder would be")
    with pytest.raises(StoreError, match=r"pi5\.kernels cannot be written: "):
        database.record(TARGET, VERSION, CONV, CHOICE)
    database.file.parent.unlink()
    database.file.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"pi5\.kernels cannot be read: "):
        database.best(TARGET, VERSION, CONV)
