"""Each device that is refused is told why, and what to do about it."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from joulefront.bench.provision import provision
from joulefront.bench.suitable import reason_against, reason_no_room
from joulefront.cache import Cache
from joulefront.errors import TransportError
from joulefront.records import Executed

FACTS: dict[str, Any] = {
    "python": [3, 11],
    "executable": "/usr/bin/python3",
    "implementation": "cpython",
    "free_threaded": False,
    "bits": 64,
    "machine": "aarch64",
    "libc": "glibc 2.36",
    "modules": {"ctypes": True, "zlib": True},
    "libraries": {"libstdc++.so.6": True, "libgcc_s.so.1": True},
    "home": "/home/pi",
    "work": "/home/pi/.cache/joulefront",
    "free_b": 10**9,
    "free_inodes": 10**5,
    "noexec": False,
    "uid": 1000,
    "held": None,
}


def test_a_usual_board_is_suitable() -> None:
    assert reason_against(FACTS) is None
    assert reason_against(FACTS | {"python": [3, 9], "libc": "glibc 2.28", "machine": "x86_64"}) is None
    assert reason_against(FACTS | {"python": [3, 14], "libc": "glibc 2.41"}) is None


@pytest.mark.parametrize(
    ("changed", "reason", "fix"),
    [
        ({"python": [3, 8]}, "/usr/bin/python3 is Python 3.8", "CPython 3.9 to 3.14; name one that it has by --python"),
        ({"python": [3, 15]}, "is Python 3.15", "CPython 3.9 to 3.14"),
        ({"implementation": "pypy"}, "/usr/bin/python3 is pypy", "apt install python3"),
        ({"free_threaded": True}, "is a free-threaded build", "not free-threaded"),
        ({"libc": "glibc 2.27"}, "C library is glibc 2.27", "needs 2.28 or later: install a newer system"),
        ({"libc": "glibc 2"}, "C library is glibc 2,", "install a newer system"),
        ({"libc": "musl"}, "C library is musl", "install a system with glibc"),
        ({"libc": None}, "C library is unknown", "glibc 2.28 or later"),
        ({"bits": 32}, "32-bit one on a 64-bit kernel", "install the 64-bit system image"),
        ({"bits": 32, "machine": "armv7l"}, "32-bit one on armv7l", "64-bit system image"),
        ({"machine": "riscv64"}, "architecture is riscv64", "aarch64 and x86_64 only"),
        ({"libraries": {"libstdc++.so.6": False, "libgcc_s.so.1": True}}, "no libstdc++.so.6", "libstdc++6"),
        ({"libraries": {"libstdc++.so.6": True, "libgcc_s.so.1": False}}, "no libgcc_s.so.1", "libgcc-s1"),
        ({"modules": {"ctypes": False, "zlib": True}}, "without the module ctypes", "apt install python3"),
        ({"modules": {"ctypes": True, "zlib": False}}, "without the module zlib", "apt install python3"),
        ({"noexec": True}, "/home/pi/.cache/joulefront is on a file system mounted noexec", "XDG_CACHE_HOME"),
    ],
)
def test_each_refusal_says_why_and_what_to_do(changed: dict[str, Any], reason: str, fix: str) -> None:
    said = reason_against(FACTS | changed)
    assert said is not None
    assert reason in said
    assert fix in said
    assert "\n" not in said


def test_what_is_hardest_to_change_is_said_first() -> None:
    old = FACTS | {"bits": 32, "python": [3, 7], "libc": "glibc 2.24"}
    assert "32-bit" in (reason_against(old) or "")


def test_no_room_says_how_much_is_needed() -> None:
    assert reason_no_room(FACTS, 10**8, 50) is None
    assert "8.0 MB free, and 28.0 MB are needed" in (reason_no_room(FACTS | {"free_b": 8e6}, 28_000_000, 50) or "")
    assert "12 free inodes, and 50 files" in (reason_no_room(FACTS | {"free_inodes": 12}, 10**8, 50) or "")
    assert reason_no_room(FACTS | {"free_inodes": None}, 10**8, 50) is None


class Told:
    """A device that only answers what it is told to."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def execute(self, command: Sequence[str], *, given: bytes = b"", timeout_s: float = 60.0) -> Executed:
        if command[0] == "sh":
            return Executed(0, b"joulefront:3.11:/usr/bin/python3\n", b"")
        answer = self._facts if "probe" in command else dict.fromkeys(command[4:], False)
        return Executed(0, json.dumps(answer).encode(), b"")

    def upload(self, source: Path, path: str) -> int:
        raise AssertionError("nothing is shipped to a device that is refused")


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"libc": "musl"}, "the device cannot run the agent: its C library is musl"), ({"free_b": 1}, "0.0 MB free")],
)
def test_a_device_is_refused_before_anything_is_shipped(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    here = {"python": list(sys.version_info[:2]), "machine": platform.machine()}
    with pytest.raises(TransportError, match=said):
        provision(Told(FACTS | here | changed), python=None, wheels=None, cache=Cache(tmp_path), say=print)


class Babbling(Told):
    """A device whose Python answers ``said`` to everything, and whose shell says ``found`` of its Pythons."""

    def __init__(self, said: bytes, found: bytes = b"joulefront:3.11:/usr/bin/python3\n") -> None:
        super().__init__({})
        self._said, self._found = said, found

    def execute(self, command: Sequence[str], *, given: bytes = b"", timeout_s: float = 60.0) -> Executed:
        return Executed(0, self._found if command[0] == "sh" else self._said, b"")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"[1]", r"answers something else than it was asked for: \[1\]"),
        (b"1", "answers something else"),
        (b"[" * 100_000, "failed to probe"),
        (b"{}", "does not say what it is: executable is 'missing'"),
        (json.dumps(FACTS | {"python": [3]}).encode(), r"python is \[3\]"),
        (json.dumps(FACTS | {"python": "3.11"}).encode(), "python is '3.11'"),
        (json.dumps(FACTS | {"free_b": "much"}).encode(), "free_b is 'much'"),
        (json.dumps(FACTS | {"libraries": {"libx.so": False}}).encode(), "it tells of 'libx.so'"),
        (json.dumps(FACTS | {"work": "../x"}).encode(), "work is '../x'"),
    ],
)
def test_an_answer_that_is_none_is_the_devices_fault(tmp_path: Path, said: bytes, reason: str) -> None:
    with pytest.raises(TransportError, match=reason):
        provision(Babbling(said), python=None, wheels=None, cache=Cache(tmp_path), say=print)


@pytest.mark.parametrize("found", [b"joulefront:hello\n", b"joulefront:3.x:/bin/python\n", b"joulefront:3.11:\n"])
def test_a_python_that_does_not_say_its_version_is_none(tmp_path: Path, found: bytes) -> None:
    with pytest.raises(TransportError, match="the device has no Python to use"):
        provision(Babbling(b"{}", found), python=None, wheels=None, cache=Cache(tmp_path), say=print)
