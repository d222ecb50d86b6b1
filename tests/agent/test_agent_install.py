"""The script that prepares a device: plain Python, all or nothing, in a folder of the user's own."""

from __future__ import annotations

import ast
import errno
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from joulefront_agent import install


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path


def packed(path: Path, *members: tarfile.TarInfo) -> str:
    """An archive of the members, each of one byte if it is a file. Returns its sha256."""
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            member.size = 1 if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"x"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def test_it_is_plain_ascii_for_an_old_python() -> None:
    source = Path(install.__file__).read_text(encoding="ascii")
    ast.parse(source, feature_version=(3, 6))
    imports = {name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for name in node.names}
    assert {one.name for one in imports} <= sys.stdlib_module_names


def test_it_runs_from_stdin_and_answers_in_one_line(tmp_path: Path) -> None:
    source = Path(install.__file__).read_bytes()
    command = [sys.executable, "-I", "-", "probe"]
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "other")}
    done = subprocess.run(command, input=source, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    facts = json.loads(done.stdout)
    assert facts["python"] == list(sys.version_info[:2])
    assert facts["work"] == str(tmp_path / "other/joulefront")
    assert facts["libraries"] == {"libstdc++.so.6": True, "libgcc_s.so.1": True}
    assert facts["modules"] == {"ctypes": True, "zlib": True}
    assert facts["libc"].startswith("glibc 2.")
    assert facts["free_b"] > 0
    assert not (tmp_path / "other").exists()  # it only looks

    done = subprocess.run([*command[:-1], "remove"], input=source, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, b'{"held": null}\n')


def test_musl_is_told_from_an_unknown_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.confstr", unknown)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(["/lib/ld-musl-aarch64.so.1"]))
    assert install._libc() == "musl"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([]))
    assert install._libc() is None


def test_what_was_packed_is_unpacked(home: Path) -> None:
    install.check()
    work = install.work_folder()
    sha256 = packed(work / "a.tar.gz", tarfile.TarInfo("package/module.py"), tarfile.TarInfo("top.py"))
    assert install.unpack(str(work / "a.tar.gz"), sha256, str(work / "agent-1")) == {"unpacked": True}
    assert {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()} == {
        "agent-1/package/module.py",
        "agent-1/top.py",
    }


@pytest.mark.parametrize(
    "evil",
    [
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("/tmp/outside"),
        tarfile.TarInfo("a/../../outside"),
        link("passwd", tarfile.SYMTYPE),
        link("passwd", tarfile.LNKTYPE),
        link("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type.decode()}",
)
def test_an_archive_that_reaches_out_leaves_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], evil: tarfile.TarInfo
) -> None:
    install.check()
    work = install.work_folder()
    sha256 = packed(work / "a.tar.gz", tarfile.TarInfo("good.py"), evil)
    assert install.main("unpack", str(work / "a.tar.gz"), sha256, str(work / "agent-1")) == 1
    assert "is no file of a package" in json.loads(capsys.readouterr().out)["error"]
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert list(work.iterdir()) == []


def test_an_unpacking_that_is_cut_short_leaves_nothing_under_the_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut() -> None:
        raise KeyboardInterrupt

    install.check()
    work = install.work_folder()
    sha256 = packed(work / "a.tar.gz", tarfile.TarInfo("top.py"))
    monkeypatch.setattr("os.sync", cut)
    with pytest.raises(KeyboardInterrupt):
        install.unpack(str(work / "a.tar.gz"), sha256, str(work / "agent-1"))
    assert list(work.iterdir()) == []


def test_what_is_no_archive_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install.check()
    work = install.work_folder()
    (work / "a.tar.gz").write_bytes(b"not at all")
    sha256 = hashlib.sha256(b"not at all").hexdigest()
    assert install.main("unpack", str(work / "a.tar.gz"), sha256, str(work / "agent-1")) == 1
    assert "cannot be unpacked" in capsys.readouterr().out


def test_a_folder_of_another_user_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install.check()
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert install.main("check", "agent-1") == 1
    assert "and we are 4711: remove it, or chown it" in json.loads(capsys.readouterr().out)["error"]


def test_an_unpacking_onto_a_full_disk_says_how_much_room_there_is(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    install.check()
    work = install.work_folder()
    sha256 = packed(work / "a.tar.gz", tarfile.TarInfo("top.py"))
    monkeypatch.setattr("shutil.copyfileobj", full)
    assert install.main("unpack", str(work / "a.tar.gz"), sha256, str(work / "agent-1")) == 1
    said = json.loads(capsys.readouterr().out)["error"]
    assert re.fullmatch(r"\[Errno 28\] No space left on device; no room: \d+\.\d MB free", said)
