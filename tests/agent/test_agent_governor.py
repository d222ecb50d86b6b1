"""The cores' governor: set for a session, undone in the end, or by the next agent, and never after a boot."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys

import pytest
from fake_machine import write

from joulefront_agent import governor, wire

CPU = "sys/devices/system/cpu"
BOOT = "proc/sys/kernel/random/boot_id"


@pytest.fixture
def board(tmp_path):
    """Two clusters, and an agent's folder that is not there yet."""
    names = {"policy0": "ondemand", "policy4": "schedutil"}
    tree = {f"{CPU}/cpufreq/{policy}/scaling_governor": name for policy, name in names.items()}
    return write(tmp_path / "root", {BOOT: "one", **tree}), tmp_path / "work"


def governors(root):
    return {path.parent.name: path.read_text().strip() for path in root.glob(f"{CPU}/cpufreq/*/scaling_governor")}


def change(root, policy, name):
    (root / CPU / "cpufreq" / policy / "scaling_governor").write_text(f"{name}\n")


def killed(root, folder):
    """An agent sets it, and has no time to undo it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(governor, "_undo", lambda root, state: None)
        with governor.hold(root, folder, "performance"):
            pass


@contextlib.contextmanager
def agent(root, work, wanted):
    """A real one, which was greeted; at the end of the context it is killed, if it is there still."""
    work.mkdir(exist_ok=True)
    command = [
        sys.executable, "-m", "joulefront_agent", "--runtime", "none.so", "--root", root, "--lock", work / "lock",
        "--session", "one",
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        hello = wire.Request(1, "hello", wire.Hello(60.0, "none", wanted).to_wire())
        process.stdin.write(wire.encode_request(hello) + b"\n")
        process.stdin.flush()
        facts = wire.decode_answer(process.stdout.readline()).ok
        try:
            yield process, facts
        finally:
            process.kill()


def test_it_is_performance_meanwhile_and_then_what_it_was(board):
    root, work = board
    before = governors(root)
    with governor.hold(root, work, "performance") as facts:
        assert governors(root) == {"policy0": "performance", "policy4": "performance"}
    assert facts == {
        "governor": "performance", "governor_former": "ondemand,schedutil", "governor_reason": None,
    }  # fmt: skip
    assert governors(root) == before
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in work.iterdir()] == [0o600]


def test_it_is_undone_when_a_session_fails(board):
    root, work = board
    before = governors(root)
    with pytest.raises(RuntimeError, match="mine"), governor.hold(root, work, "performance"):
        raise RuntimeError("mine")
    assert governors(root) == before


def test_what_it_was_is_written_down_before_anything_is_changed(board, monkeypatch):
    root, work = board
    before, noted = governors(root), []

    def write(root, policy, name):
        noted.append(json.loads((work / "governor").read_text())["former"])
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(governor, "_write", write)
    with governor.hold(root, work, "performance"):
        pass
    assert noted == [before, before]


def test_who_wants_it_kept_changes_nothing(board):
    root, work = board
    with governor.hold(root, work, "keep") as facts:
        assert facts == {"governor": "ondemand,schedutil", "governor_former": None, "governor_reason": None}
    assert not work.exists()


def test_what_is_as_wanted_is_left_alone(board):
    root, work = board
    for policy in ("policy0", "policy4"):
        change(root, policy, "performance")
    with governor.hold(root, work, "performance") as facts:
        assert facts == {"governor": "performance", "governor_former": None, "governor_reason": None}
    assert governors(root) == {"policy0": "performance", "policy4": "performance"}
    assert not work.exists()


def test_who_sets_another_one_meanwhile_is_heeded(board):
    root, work = board
    with governor.hold(root, work, "performance"):
        change(root, "policy4", "powersave")
    assert governors(root) == {"policy0": "ondemand", "policy4": "powersave"}


def test_a_clock_that_was_set_by_hand_is_left_as_it_is(board):
    root, work = board
    change(root, "policy4", "userspace")
    with governor.hold(root, work, "performance") as facts:
        assert governors(root) == {"policy0": "performance", "policy4": "userspace"}
    assert facts["governor_former"] == "ondemand"
    assert "set by hand" in facts["governor_reason"]
    assert governors(root) == {"policy0": "ondemand", "policy4": "userspace"}


def test_an_agent_sets_it_and_undoes_it_at_the_end_of_its_input(board):
    root, work = board
    before = governors(root)
    with agent(root, work, "performance") as (process, facts):
        assert set(governors(root).values()) == {"performance"}
        assert (facts["governor"], facts["governor_former"]) == ("performance", "ondemand,schedutil")
        process.stdin.close()
        assert process.wait(60) == 0
        assert governors(root) == before


def test_an_agent_that_is_told_to_end_undoes_it(board):
    root, work = board
    before = governors(root)
    with agent(root, work, "performance") as (process, _):
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
        assert governors(root) == before


def test_what_an_agent_that_is_killed_set_is_undone_by_the_next_whatever_that_wants(board):
    root, work = board
    before = governors(root)
    with agent(root, work, "performance") as (process, _):
        process.kill()
        process.wait(60)
    assert set(governors(root).values()) == {"performance"}
    with agent(root, work, "keep") as (_, facts):
        assert governors(root) == before
        assert facts["governor"] == "ondemand,schedutil"


def test_what_a_killed_agent_left_is_undone_by_the_next(board):
    root, work = board
    before = governors(root)
    killed(root, work)
    assert set(governors(root).values()) == {"performance"}
    governor.restore(root, work)
    assert governors(root) == before
    with governor.hold(root, work, "performance") as facts:
        assert facts["governor_former"] == "ondemand,schedutil"
    assert governors(root) == before


def test_what_a_killed_agent_left_before_a_boot_is_forgotten(board):
    root, work = board
    killed(root, work)
    write(root, {BOOT: "two"})  # the user's own choice now, at every boot
    governor.restore(root, work)
    assert set(governors(root).values()) == {"performance"}
    write(root, {BOOT: "one"})
    governor.restore(root, work)  # it is forgotten for good
    assert set(governors(root).values()) == {"performance"}


def test_what_a_living_agent_set_is_not_undone(board, monkeypatch):
    root, work = board
    monkeypatch.setattr(governor, "_LOCK_S", 0.0)
    with governor.hold(root, work, "performance"):
        governor.restore(root, work)
        assert set(governors(root).values()) == {"performance"}
        change(root, "policy4", "powersave")
        with governor.hold(root, work, "performance") as facts:
            assert facts["governor_reason"] == "another session has set it"
        assert governors(root) == {"policy0": "performance", "policy4": "powersave"}


def test_an_agent_that_was_killed_just_now_is_waited_for(board, monkeypatch):
    root, work = board
    before = governors(root)
    held = contextlib.ExitStack()
    held.enter_context(governor.hold(root, work, "performance"))
    monkeypatch.setattr(governor, "_undo", lambda root, state: None)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        held.close()  # as if it had been killed: its lock is free, and nothing is undone
        monkeypatch.undo()

    monkeypatch.setattr(governor, "sleep", sleep)
    governor.restore(root, work)
    assert (len(slept), governors(root)) == (1, before)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"boot": "one"}', '{"boot": "one", "former": ["policy0"]}', '{"boot": "one", "former": 7}',
        '{"boot": "one", "former": {"policy0": 7, "../../x": "ondemand", "policy4": "a b"}}', "\udcff",
    ],
)  # fmt: skip
def test_what_is_no_note_of_ours_changes_nothing(board, text):
    root, work = board
    for policy in ("policy0", "policy4"):
        change(root, policy, "performance")
    work.mkdir()
    (work / "governor").write_bytes(text.encode(errors="surrogateescape"))
    governor.restore(root, work)
    assert set(governors(root).values()) == {"performance"}


def test_what_cannot_be_set_is_said_and_what_can_is_set(board, monkeypatch):
    root, work = board
    open_ = os.open

    def denied(path, flags, *mode):
        if "policy0" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return open_(path, flags, *mode)

    monkeypatch.setattr(governor.os, "open", denied)
    with governor.hold(root, work, "performance") as facts:
        assert governors(root) == {"policy0": "ondemand", "policy4": "performance"}
    assert facts["governor"] == "ondemand,performance"
    assert facts["governor_former"] == "schedutil"
    assert facts["governor_reason"] == f"{root / CPU}/cpufreq/policy0/scaling_governor cannot be set: Permission denied"
    assert governors(root) == {"policy0": "ondemand", "policy4": "schedutil"}


def test_a_kernel_that_takes_it_and_does_as_it_likes_is_found_out(board, monkeypatch):
    root, work = board
    monkeypatch.setattr(
        governor.os, "write", lambda file, text: os.ftruncate(file, 0) or os.pwrite(file, b"sched\n", 0)
    )
    with governor.hold(root, work, "performance") as facts:
        assert "cannot be set: it stays 'sched'" in facts["governor_reason"]
        assert facts["governor_former"] is None


def test_a_folder_that_cannot_be_written_to_is_a_reason(board):
    root, work = board
    work.write_text("a file")
    before = governors(root)
    with governor.hold(root, work, "performance") as facts:
        assert facts["governor_reason"].startswith(f"what it is cannot be noted down in {work}: ")
        assert governors(root) == before


def test_a_link_in_the_folder_is_not_followed(board, tmp_path):
    root, work = board
    work.mkdir()
    (work / "governor").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("precious")
    with governor.hold(root, work, "performance") as facts:
        assert "cannot be noted down" in facts["governor_reason"]
    governor.restore(root, work)
    assert (tmp_path / "precious").read_text() == "precious"


def test_cores_that_are_offline_are_left_alone(board):
    root, work = board
    folder = root / CPU / "cpufreq/policy8/scaling_governor"
    folder.mkdir(parents=True)  # reading it is an error, as the kernel's EBUSY is
    with governor.hold(root, work, "performance") as facts:
        assert facts["governor"] == "performance"
        assert facts["governor_reason"] is None


def test_a_machine_without_governors_says_so(tmp_path):
    with governor.hold(tmp_path, tmp_path / "work", "performance") as facts:
        assert facts == {
            "governor": None, "governor_former": None,
            "governor_reason": "the kernel offers no frequency governor there",
        }  # fmt: skip


def test_intel_offers_two(tmp_path):
    root = write(tmp_path, {BOOT: "one", f"{CPU}/cpufreq/policy0/scaling_governor": "powersave"})
    with governor.hold(root, tmp_path / "work", "performance") as facts:
        assert facts == {"governor": "performance", "governor_former": "powersave", "governor_reason": None}
    assert governors(root) == {"policy0": "powersave"}
