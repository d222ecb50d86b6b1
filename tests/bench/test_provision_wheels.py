"""What a device is given comes out of pinned wheels, from wherever they are to be had, and is the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import platform
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from joulefront.bench import pins, wheels
from joulefront.bench.archives import Archive, agent
from joulefront.bench.wheels import Wheels
from joulefront.cache import Cache
from joulefront.errors import ConfigError, JoulefrontError, TransportError

FOREIGN = "aarch64" if platform.machine() == "x86_64" else "x86_64"
FFI = {"tvm_ffi/__init__.py": b"1", "tvm_ffi/core.so": b"2", "tvm_ffi/include/tvm.h": b"3"}


def zipped(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as members:
        for name, data in files.items():
            members.writestr(zipfile.ZipInfo(name), data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small wheels for the other architecture, pinned; nothing that is installed here is of any use."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for make, files in (
        (lambda: pins.tvm(FOREIGN), {pins.RUNTIME: b"runtime", "tvm/lib/libtvm_compiler.so": b"compiler"}),
        (lambda: pins.tvm_ffi(9, FOREIGN), FFI),
        (pins.typing_extensions, {"typing_extensions.py": b"5"}),
    ):
        real = make()
        information = f"{real.file.partition('-')[0]}-{real.version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {real.distribution}\nVersion: {real.version}\n"
        described = {f"{information}/METADATA": metadata.encode(), f"{information}/WHEEL": b"Wheel-Version: 1.0\n"}
        sha256 = zipped(folder / real.file, files | described)
        pinned = pins.Wheel(real.distribution, real.version, real.tags, sha256)
        monkeypatch.setattr(pins, real.distribution.removeprefix("apache-").replace("-", "_"), lambda *_, p=pinned: p)
    monkeypatch.setitem(pins.RUNTIME_SHA256, FOREIGN, hashlib.sha256(b"runtime").hexdigest())
    monkeypatch.setattr(wheels, "_installed", lambda *_: None)
    return folder


@pytest.fixture
def offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip with no index but that folder."""
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def made(cache: Path, folder: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Archive:
    return Wheels(9, FOREIGN, folder, Cache(cache), say).runtime()


def content(archive: Archive) -> set[str]:
    with tarfile.open(archive.path) as members:
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
        return set(members.getnames())


def test_only_what_the_agent_needs_is_packed(tmp_path: Path, folder: Path) -> None:
    archive = made(tmp_path / "cache", folder)
    metadata = "apache_tvm_ffi-0.1.14.post1.dist-info/METADATA"
    needed = {"tvm_ffi/__init__.py", "tvm_ffi/core.so", metadata, "typing_extensions.py"}
    assert content(archive) == needed | {"libtvm_runtime.so", "manifest.json"}
    assert archive.name == f"runtime-{hashlib.sha256(archive.path.read_bytes()).hexdigest()[:16]}"
    assert (archive.files, archive.size_b) == (5, archive.path.stat().st_size)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, offline: Path) -> None:
    said: list[str] = []
    ways = [made(tmp_path / "one", offline), made(tmp_path / "two", None, said.append)]
    assert len({archive.sha256 for archive in ways}) == 1
    assert [line.split(" for ")[0].split()[:2] for line in said] == [
        ["fetching", "apache-tvm"],
        ["fetching", "typing-extensions"],
        ["fetching", "apache-tvm-ffi"],
    ]
    made(tmp_path / "two", None, pytest.fail)  # cached: nothing is fetched again
    assert agent(Cache(tmp_path / "one")).sha256 == agent(Cache(tmp_path / "two")).sha256


def refused(tmp_path: Path, folder: Path | None, kind: type[JoulefrontError]) -> str:
    with pytest.raises(kind) as caught:
        made(tmp_path / "cache", folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_wheel_that_is_missing_is_named_with_the_way_to_get_it(tmp_path: Path, folder: Path) -> None:
    file = pins.tvm_ffi(9, FOREIGN).file
    (folder / file).unlink()
    said = refused(tmp_path, folder, ConfigError)
    assert f"{folder} holds no {file}" in said
    assert f"-m pip download --no-deps --only-binary=:all: --platform manylinux_2_28_{FOREIGN}" in said
    assert f"--python-version 3.9 --dest {folder} apache-tvm==" in said
    assert "apache-tvm-ffi==0.1.14.post1" in said


def test_a_wheel_that_is_another_one_is_refused(tmp_path: Path, folder: Path) -> None:
    zipped(folder / pins.tvm(FOREIGN).file, {pins.RUNTIME: b"another"})
    assert "is not the file that is pinned: remove it" in refused(tmp_path, folder, ConfigError)


@pytest.mark.parametrize(
    ("files", "said"),
    [(None, "cannot be unpacked"), ({"tvm/other": b""}, "other files"), ({"../METADATA": b"x"}, "other files")],
)
def test_a_wheel_that_is_none_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes] | None, said: str
) -> None:
    real = pins.tvm_ffi(9, FOREIGN)
    path = folder / real.file
    if files is None:
        path.write_bytes(b"PK")
    else:
        zipped(path, files)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    pinned = pins.Wheel(real.distribution, real.version, real.tags, sha256)
    monkeypatch.setattr(pins, "tvm_ffi", lambda *_: pinned)
    assert said in refused(tmp_path, folder, TransportError)


def test_a_runtime_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pins.RUNTIME_SHA256, FOREIGN, "0" * 64)
    assert "is not the one that is pinned" in refused(tmp_path, folder, TransportError)


def test_what_pip_cannot_fetch_is_named_with_the_way_round(tmp_path: Path, offline: Path) -> None:
    (offline / pins.tvm(FOREIGN).file).unlink()
    said = refused(tmp_path, None, TransportError)
    assert f"pip cannot fetch {pins.tvm(FOREIGN).file}: ERROR: No matching distribution found" in said
    assert "--dest DIR" in said
    assert "--wheels" in said


def test_what_pip_fetches_is_checked(tmp_path: Path, offline: Path) -> None:
    zipped(offline / pins.tvm(FOREIGN).file, {pins.RUNTIME: b"another"})
    assert "has another apache_tvm-" in refused(tmp_path, None, TransportError)


def test_without_pip_it_says_how_to_get_it(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho $0: No module named pip >&2; exit 1\n", encoding="utf-8")
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    assert f"{bare} -m ensurepip" in refused(tmp_path, None, ConfigError)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution in a folder on the path, as pip would install it."""
    folder = tmp_path / "site"
    information = folder / "small-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / "small.py").write_bytes(b"x = 1\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: small\nVersion: 1.0\n", encoding="utf-8")
    (information / "RECORD").write_text(f"small.py,sha256={digest},6\nother.py,,\n", encoding="utf-8")
    python = f"cp3{sys.version_info.minor}"
    tags = f"Tag: py3-none-any\nTag: {python}-{python}-manylinux_2_28_{platform.machine()}\n"
    (information / "WHEEL").write_text(tags, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return folder


def test_what_is_installed_here_is_taken_if_it_is_the_same(installed: Path) -> None:
    def found(version: str = "1.0", tags: str = "py3-none-any") -> dict[str, bytes] | None:
        return wheels._installed(pins.Wheel("small", version, tags, ""), lambda name: name == "small.py")

    python = f"cp3{sys.version_info.minor}"
    assert found() == {"small.py": b"x = 1\n"}
    assert found(tags=f"{python}-{python}-manylinux_2_28_{platform.machine()}") == {"small.py": b"x = 1\n"}
    assert found(tags=f"{python}-{python}-manylinux_2_28_{FOREIGN}") is None
    assert found(tags=f"cp38-cp38-manylinux_2_28_{platform.machine()}") is None
    assert found(tags=f"{python}-{python}-manylinux_2_17_{platform.machine()}") is None  # of another build
    assert found(version="1.1") is None
    (installed / "small.py").write_bytes(b"x = 2\n")
    assert found() is None
    (installed / "small.py").unlink()
    assert found() is None


def test_every_python_has_a_pinned_wheel() -> None:
    for architecture in ("aarch64", "x86_64"):
        files = [pins.tvm_ffi(minor, architecture) for minor in range(pins.OLDEST, pins.NEWEST + 1)]
        hashes = {wheel.sha256 for wheel in [*files, pins.tvm(architecture)]}
        assert len(hashes) == 7
        assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in hashes)
    assert pins.tvm_ffi(11, "aarch64").file == (
        "apache_tvm_ffi-0.1.14.post1-cp311-cp311-manylinux_2_24_aarch64.manylinux_2_28_aarch64.whl"
    )
