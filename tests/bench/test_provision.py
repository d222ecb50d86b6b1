"""A device is given what the agent needs, once and whole, or refused with the reason; the device is this machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from elsewhere import Elsewhere

from joulefront.bench.provision import Provisioned, provision, remove
from joulefront.cache import Cache
from joulefront.errors import ConnectionLost, DeviceBusy, TransportError
from joulefront.records import Executed
from joulefront_agent import wire

ON_DEVICE = """
import ctypes, importlib.metadata, sys
import joulefront_agent.wire, tvm_ffi
ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
assert tvm_ffi.get_global_func("runtime.TVMTensorAllocWithScope")
print(importlib.metadata.version("apache-tvm-ffi"), tvm_ffi.__file__, joulefront_agent.__file__)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def set_up(cache: Cache) -> Callable[[Elsewhere], Provisioned]:
    """Provisions a device as this Python's, all of it taken from what is installed here."""
    return lambda device: provision(device, python=sys.executable, wheels=None, cache=cache, say=lambda _: None)


def device(home: Path, **given: bytes) -> Elsewhere:
    return Elsewhere(home, **given)


def test_a_device_is_given_all_it_needs_once(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    first = set_up(device(tmp_path))
    assert 1_000_000 < first.moved_b < 6_000_000
    assert stat.S_IMODE(Path(first.folder).stat().st_mode) == 0o700
    assert Path(first.folder) == tmp_path / ".cache/joulefront"
    second = set_up(device(tmp_path))
    assert second.moved_b == 0
    assert second.packages == first.packages

    # Without the site's packages, where all of it is installed as well.
    command = [first.python, "-S", "-c", ON_DEVICE, first.runtime]
    environment = {"PYTHONPATH": ":".join(first.packages)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "0.1.14.post1"
    assert done.stdout.count(first.folder) == 2


def test_only_what_is_new_is_shipped(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    first = set_up(device(tmp_path))
    Path(first.packages[1]).rename(tmp_path / "gone")
    assert 0 < set_up(device(tmp_path)).moved_b < 100_000


def empty(file: Path) -> None:
    file.write_bytes(b"")


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", [empty, zero, Path.unlink])
@pytest.mark.parametrize("name", ["joulefront_agent/wire.py", "manifest.json"])
def test_a_damaged_folder_is_unpacked_again(
    tmp_path: Path, set_up: Callable[..., Provisioned], damage: Callable[[Path], None], name: str
) -> None:
    agent = Path(set_up(device(tmp_path)).packages[1])
    sound = (agent / name).read_bytes()
    damage(agent / name)
    assert set_up(device(tmp_path)).moved_b > 0
    assert (agent / name).read_bytes() == sound
    assert set_up(device(tmp_path)).moved_b == 0


class Noisy(Elsewhere):
    """The first ``times`` uploads arrive damaged."""

    times = 1

    def upload(self, source: Path, path: str) -> int:
        size_b = super().upload(source, path)
        if self.times > 0:
            self.times -= 1
            with Path(path).open("r+b") as file:
                file.write(b"noise")
        return size_b


def test_an_archive_that_arrives_damaged_is_shipped_again(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    set_up(Noisy(tmp_path))
    assert set_up(device(tmp_path)).moved_b == 0


def test_one_that_arrives_damaged_twice_is_refused(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    noisy = Noisy(tmp_path)
    noisy.times = 2
    with pytest.raises(TransportError, match=r"runtime-\w+\.\w+\.tar\.gz arrived damaged on the device, twice"):
        set_up(noisy)
    assert list((tmp_path / ".cache/joulefront").iterdir()) == []


def test_of_older_versions_the_one_last_used_stays(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    work = tmp_path / ".cache/joulefront"
    names_by_age = ("agent-now", "agent-new", "agent-old", "agent-older", "agent-part.tar.gz", "files-of-a-session")
    for age_d, name in enumerate(names_by_age):
        (work / name).mkdir(parents=True) if "part" not in name else (work / name).write_bytes(b"half")
        os.utime(work / name, (time.time() - 90_000 * age_d,) * 2)
    here = set_up(device(tmp_path))
    names = {Path(package).name for package in here.packages}
    assert {path.name for path in work.iterdir()} == {*names, "agent-now", "files-of-a-session"}


def test_other_versions_that_were_used_within_a_day_all_stay(
    tmp_path: Path, set_up: Callable[..., Provisioned]
) -> None:
    work = tmp_path / ".cache/joulefront"
    for hours, name in enumerate(("agent-a", "agent-b", "agent-c")):
        (work / name).mkdir(parents=True)
        os.utime(work / name, (time.time() - 3600 * hours,) * 2)
    set_up(device(tmp_path))
    assert {"agent-a", "agent-b", "agent-c"} < {path.name for path in work.iterdir()}


class Meeting(Elsewhere):
    """A device that another one's provisioning waits for at every step of its own, so that they meet at all of them."""

    barrier = threading.Barrier(2)

    def upload(self, source: Path, path: str) -> int:
        half = source.stat().st_size // 2
        self.barrier.wait(60)
        with source.open("rb") as data, Path(path).open("ab") as file:  # as SFTP does: both append
            file.write(data.read(half))
            file.flush()
            self.barrier.wait(60)
            file.write(data.read())
        self.barrier.wait(60)
        return source.stat().st_size


def test_two_may_set_up_a_device_at_once(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(set_up, [Meeting(tmp_path), Meeting(tmp_path)])
    assert first.packages == second.packages
    assert set_up(device(tmp_path)).moved_b == 0
    assert {path.name for path in Path(first.folder).iterdir()} == {Path(path).name for path in first.packages}


class Cut(Elsewhere):
    """Uploads go on from what is there, and the first is cut off after ``left_b`` bytes."""

    left_b = 1_000_000

    def upload(self, source: Path, path: str) -> int:
        there_b = Path(path).stat().st_size if Path(path).exists() else 0
        data = source.read_bytes()[there_b:]
        with Path(path).open("ab") as file:
            file.write(data[: self.left_b] if self.left_b else data)
        if self.left_b:
            self.left_b = 0
            raise ConnectionLost("gone")
        return len(data)


@pytest.mark.parametrize("age_s", [1.0, 1000.0])
def test_what_another_session_gave_up_is_gone_on_with_and_what_it_is_at_is_not(
    tmp_path: Path, set_up: Callable[..., Provisioned], age_s: float
) -> None:
    cut = Cut(tmp_path)
    with pytest.raises(ConnectionLost):
        set_up(cut)
    (part,) = (tmp_path / ".cache/joulefront").glob("*.tar.gz")
    os.utime(part, (time.time() - age_s,) * 2)
    whole = set_up(device(tmp_path / "whole")).moved_b
    assert set_up(cut).moved_b == whole - (1_000_000 if age_s > 500 else 0)
    assert part.exists() == (age_s < 500)


def test_a_session_goes_on_with_its_own_upload(tmp_path: Path, cache: Cache) -> None:
    def own(device: Elsewhere) -> int:
        return provision(
            device, python=sys.executable, wheels=None, cache=cache, say=lambda _: None, session="ours"
        ).moved_b

    cut = Cut(tmp_path)
    with pytest.raises(ConnectionLost):
        own(cut)
    assert own(cut) == own(device(tmp_path / "whole")) - 1_000_000


class Full(Elsewhere):
    """A disk that fills up while something is written: what is said of it then."""

    def __init__(self, home: Path, free_b: int) -> None:
        super().__init__(home)
        self.free_b = free_b
        self.is_full = False

    def execute(self, command: Sequence[str], *, given: bytes = b"", timeout_s: float = 60.0) -> Executed:
        done = super().execute(command, given=given, timeout_s=timeout_s)
        if self.is_full and "probe" in command:
            said = json.dumps({**json.loads(done.stdout), "free_b": self.free_b}).encode()
            return Executed(0, said, b"")
        return done

    def upload(self, source: Path, path: str) -> int:
        self.is_full = True
        raise TransportError(f"{path} was not written whole")


def test_an_upload_onto_a_full_disk_says_so(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    with pytest.raises(TransportError, match=r"was not written whole; no room: 0\.3 MB free"):
        set_up(Full(tmp_path, 300_000))
    with pytest.raises(TransportError, match=r"was not written whole$"):
        set_up(Full(tmp_path, 10**9))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts an agent of a session, which then holds the device."""
    agents = []

    def start(session: str) -> subprocess.Popen[bytes]:
        lock = tmp_path / ".cache/joulefront/lock"
        command = ["-m", "joulefront_agent", "--runtime", "none.so", "--lock", str(lock), "--session", session]
        agent = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        agents.append(agent)
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(wire.encode_request(wire.Request(1, "ping", {})) + b"\n")
        agent.stdin.flush()
        assert wire.decode_answer(agent.stdout.readline()).error is None
        return agent

    yield start
    for agent in agents:
        agent.kill()
        agent.communicate()


def test_a_device_that_another_session_holds_is_not_worked_on(
    tmp_path: Path, cache: Cache, holder: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    def set_up(session: str | None) -> Elsewhere:
        there = device(tmp_path)
        provision(there, python=sys.executable, wheels=None, cache=cache, say=lambda _: None, session=session)
        return there

    set_up("ours")
    agent = holder("theirs")
    there = device(tmp_path)
    ends = "one whose host is gone ends by itself within a minute: wait for it, or end it"
    with pytest.raises(DeviceBusy, match=rf"another session measures on it since 20.*; {ends}"):
        provision(there, python=sys.executable, wheels=None, cache=cache, say=lambda _: None, session="ours")
    assert [command[3] for command in there.executed if "-I" in command] == ["probe"]
    set_up("theirs")  # its own agent, left over
    set_up(None)
    agent.kill()
    agent.wait()
    set_up("ours")


def test_what_a_session_uses_is_not_removed(
    tmp_path: Path, set_up: Callable[..., Provisioned], holder: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    packages = set_up(device(tmp_path)).packages
    agent = holder("theirs")
    with pytest.raises(DeviceBusy, match="another session measures on it since"):
        remove(device(tmp_path), sys.executable)
    assert all(Path(package).is_dir() for package in packages)
    agent.kill()
    agent.wait()
    remove(device(tmp_path), sys.executable)
    assert list((tmp_path / ".cache").iterdir()) == []


def test_a_folder_that_others_may_read_is_closed(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    work = tmp_path / ".cache/joulefront"
    work.mkdir(mode=0o755, parents=True)
    set_up(device(tmp_path))
    assert stat.S_IMODE(work.stat().st_mode) == 0o700


def test_a_folder_that_is_somewhere_else_is_refused(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".cache/joulefront").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TransportError, match=r"cannot be set up: .*/\.cache/joulefront is not a folder: remove it"):
        set_up(device(tmp_path))
    with pytest.raises(TransportError, match="is a symbolic link"):
        remove(device(tmp_path), sys.executable)


def test_remove_leaves_nothing(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    set_up(device(tmp_path))
    for _ in range(2):
        remove(device(tmp_path), sys.executable)
        assert list((tmp_path / ".cache").iterdir()) == []


def test_what_a_shell_says_at_first_is_passed_over(tmp_path: Path, set_up: Callable[..., Provisioned]) -> None:
    set_up(device(tmp_path, greeting=b"Welcome to the board: {}\n"))


def python(folder: Path, name: str, version: str) -> None:
    """A Python that only tells its version."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\necho "joulefront:{version}:{folder / name}"\n', encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3": "3.11", "python3.14": "3.14"}, "python3"),
        ({"python3": "3.7", "python3.12": "3.12", "python3.9": "3.9"}, "python3.12"),
        ({"python3": "3.15", "python3.13": "3.13"}, "python3.13"),
        ({"python3": "3.7"}, "python3"),  # which the probe then finds more reasons against
    ],
)
def test_a_python_that_fits_is_found(tmp_path: Path, cache: Cache, there: dict[str, str], taken: str) -> None:
    for name, version in there.items():
        python(tmp_path / "bin", name, version)
    board = Elsewhere(tmp_path, path=f"{tmp_path / 'bin'}:/nowhere")
    with pytest.raises(TransportError, match="failed to probe"):
        provision(board, python=None, wheels=None, cache=cache, say=print)
    assert board.executed[-1][0] == str(tmp_path / "bin" / taken)


def test_without_a_python_it_says_what_to_install(tmp_path: Path, cache: Cache) -> None:
    bare = Elsewhere(tmp_path, path="/nowhere")
    with pytest.raises(TransportError, match=r"python3 is not to be found there; install CPython 3\.9 or later"):
        provision(bare, python=None, wheels=None, cache=cache, say=print)
    with pytest.raises(TransportError, match=r"/opt/python is no Python there, or does not run; install CPython"):
        provision(bare, python="/opt/python", wheels=None, cache=cache, say=print)
    python(tmp_path / "bin", "python3", "2.7")
    with pytest.raises(TransportError, match=r"bin/python3 on the device is Python 2\.7; install CPython 3\.9"):
        provision(Elsewhere(tmp_path, path=str(tmp_path / "bin")), python=None, wheels=None, cache=cache, say=print)
