"""An entry is made once, checked at every use, and made again where it is damaged."""

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from joulefront.cache import Cache, disk, key_of, write_durably
from joulefront.errors import StoreError

KEY = key_of(x=1)


def maker(calls: list[str], text: str = "hello") -> Any:
    def make(folder: Path) -> dict[str, Any]:
        calls.append(text)
        (folder / "file").write_text(text)
        return {"length": len(text)}

    return make


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    calls: list[str] = []
    cache = Cache(tmp_path)
    first = cache.entry("things", KEY, maker(calls))
    again = cache.entry("things", KEY, maker(calls))
    assert calls == ["hello"]
    assert first == again
    assert again.path("file").read_text() == "hello"
    assert again.meta == {"length": 5}


@pytest.mark.parametrize("damage", ["change", "remove", "manifest", "truncate the manifest"])
def test_a_damaged_entry_is_made_again_and_said_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    cache = Cache(tmp_path)
    entry = cache.entry("things", KEY, maker(calls))
    match damage:
        case "change":
            entry.path("file").write_text("hellO")
        case "remove":
            entry.path("file").unlink()
        case "manifest":
            entry.path("entry.json").write_text("[]")
        case _:
            entry.path("entry.json").write_text('{"meta')
    with caplog.at_level(logging.WARNING):
        again = cache.entry("things", KEY, maker(calls))
    assert calls == ["hello", "hello"]
    assert again.path("file").read_text() == "hello"
    assert "damaged" in caplog.text


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("x")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 -- the very one that was raised
        Cache(tmp_path).entry("things", KEY, fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_cap_drops_what_was_used_longest_ago_and_spares_what_was_used_today(tmp_path: Path) -> None:
    cache = Cache(tmp_path, size_cap_b=3_000)
    keys = [key_of(x=number) for number in range(6)]
    for age, key in enumerate(keys):
        entry = cache.entry("things", key, maker([], "x" * 1_000))
        if age < 3:
            os.utime(entry.path("entry.json"), (age, age))
    left = [key for key in keys if (tmp_path / "things" / key[:2] / key).exists()]
    assert left == keys[3:]  # over the cap, and in use


def test_an_interrupted_drop_is_no_obstacle(tmp_path: Path) -> None:
    calls: list[str] = []
    cache = Cache(tmp_path)
    cache.entry("things", KEY, maker(calls)).path("entry.json").unlink()
    assert cache.entry("things", KEY, maker(calls)).path("file").read_text() == "hello"
    assert calls == ["hello", "hello"]


def test_a_full_disk_is_a_store_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("joulefront.cache.write_durably", full)
    with pytest.raises(StoreError, match="No space left on device; make room, then run the same command again"):
        Cache(tmp_path).entry("things", KEY, maker([]))


def test_a_durable_write_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError), disk("it"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_keys_are_of_values_not_of_their_order() -> None:
    assert key_of(a=1, b={"c": 2, "d": 3}) == key_of(b={"d": 3, "c": 2}, a=1)
    assert key_of(a=1) != key_of(a=2)


def test_what_is_written_may_be_read_as_the_users_umask_says(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"x")
    usual = tmp_path / "usual"
    usual.write_bytes(b"x")
    assert (tmp_path / "file").stat().st_mode == usual.stat().st_mode
