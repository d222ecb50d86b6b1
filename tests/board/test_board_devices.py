"""The first hour with a board, as a user has it: by the command line, on the virtual board."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paramiko
import pytest
from virtual_board import Board

from joulefront.bench.bench import Bench
from joulefront.bench.connection import Connection
from joulefront.bench.provision import provision
from joulefront.bench.ssh_config import Destination
from joulefront.cache import Cache
from joulefront.config import MeasureConfig
from joulefront.records import Measurement
from joulefront.subject import subject
from joulefront.tuning.database import NOTHING
from joulefront_devices.device import load

pytestmark = pytest.mark.board
LIMIT_S = 900.0
WATTS = 3.25
SIMULATED = {"latency_s": "simulated", "energy_j": "simulated"}

MODEL = """
import torch
from torch import nn
from joulefront.tasks import Task

def task():
    torch.manual_seed(0)
    return Task(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)), example=torch.rand(1, 1, 8, 8))
"""
STUDY = """
name = "on-the-board"
device = "local"
[task]
kind = "digits"
model = "tiny"
[recover]
screen_epochs = 0.5
full_epochs = 0.5
[measure]
repeats = 2
interval = 0.9
time_s = 0.5
full_repeats = 2
full_interval = 0.9
full_time_s = 0.5
energy_s = 1.0
energy_updates = 10
energy_interval = 0.9
energy_time_s = 2.0
[search]
evaluations = 12
population = 6
[limits]
error = 0.1
"""
Verb = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def joulefront(folder: Path) -> Verb:
    """Runs a verb there, as a process; returns its JSON, or what it says when it is to fail with ``status``."""
    (folder / "my_model.py").write_text(MODEL)
    (folder / "study.toml").write_text(STUDY)
    environment = {**os.environ, "JOULEFRONT_DEVICES": str(folder / "devices")}
    environment.pop("SSH_AUTH_SOCK", None)

    def run(*arguments: str, status: int = 0) -> Any:
        command = [str(Path(sys.executable).with_name("joulefront")), *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if status else json.loads(done.stdout)

    return run


@pytest.fixture
def measure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Measurement]:
    """Measures the network at full grade by one meter of a device, in no more repeats than it takes."""
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(folder / "devices"))
    monkeypatch.chdir(folder)

    def measured(name: str, meter: str, **config: float) -> Measurement:
        device = load(name).model_copy(update={"meter": meter})
        shortly = MeasureConfig(**{"full_repeats": 3, "full_time_s": 1.0, "energy_time_s": 1.0, **config})
        with Bench(device, shortly, 1) as bench:
            return bench.measure(subject("my_model.py:task", ()).compiled(bench.target, NOTHING).job, "full")

    return measured


def fingerprint(board: Board) -> str:
    kind, blob = board.host_key.split()
    return str(paramiko.PKey.from_type_string(kind, base64.b64decode(blob)).fingerprint)


@pytest.fixture(scope="module", params=["root", "edge"])
def added(request: pytest.FixtureRequest, board: Board, joulefront: Verb) -> Iterator[tuple[str, dict[str, Any]]]:
    """The board as that user's device, its watts fixed; its name, and what adding it said."""
    board.set_watts(WATTS)
    name = f"board-{request.param}"
    where = f"{request.param}@{board.address}:{board.port}"
    said = joulefront(
        "devices", "add", name, where, "--key", str(board.key), "--accept-host-key", fingerprint(board), "--json"
    )
    yield name, said
    removed = joulefront("devices", "remove", name, "--json")
    assert removed["files"] == "removed"
    assert board.ssh(request.param, "ls -A ~/.cache").strip() == ""
    board.set_watts(None)


def test_adding_it_ends_with_joules(added: tuple[str, dict[str, Any]]) -> None:
    _, said = added
    assert said["status"] in ("ready", "incomplete"), said["findings"]
    assert not [finding for finding in said["findings"] if finding["state"] == "bad"]
    assert said["provenance"] == SIMULATED
    facts = said["facts"]
    assert (facts["architecture"], facts["userland_bits"], facts["sensor"]) == ("aarch64", 64, "hwmon:ina226")
    assert facts["cpu_parts"] == "0x41:0xd08"
    assert "simulated" in facts["model"]


def test_it_is_listed_and_shown(added: tuple[str, dict[str, Any]], joulefront: Verb, board: Board) -> None:
    name, said = added
    (listed,) = [one for one in joulefront("devices", "list", "--json") if one["name"] == name]
    assert listed["profile"] == "generic-aarch64"
    assert (listed["transport"], listed["status"]) == ("ssh", said["status"])
    assert board.address in listed["host"]
    assert "cortex-a72" in listed["target"]
    assert joulefront("devices", "show", name, "--json")


# The second chip has steps of 8 mV and 4 mA: it shows 3.24 W.
@pytest.mark.parametrize(("meter", "shown_w"), [("hwmon:ina226", WATTS), ("hwmon:ina3221/1", 3.24)])
@pytest.mark.parametrize("added", ["edge"], indirect=True)
def test_its_joules_are_its_watts_times_seconds(
    added: tuple[str, dict[str, Any]], measure: Callable[..., Measurement], meter: str, shown_w: float, board: Board
) -> None:
    name, _ = added
    measured = measure(name, meter)
    energy, joules = measured.energy, measured.energy_j
    assert energy is not None
    assert joules is not None
    assert energy.meter == meter
    for window in energy.windows:
        assert window.energy_j == pytest.approx(shown_w * window.window_s, rel=0.002)
        assert window.window_s >= 10.0
        assert window.cost_s > 0
    # What is true lies in the intervals.
    true_j = [WATTS * window.window_s / window.inferences for window in energy.windows]
    assert joules.low <= np.median(true_j) <= joules.high
    assert energy.power_w.low <= WATTS <= energy.power_w.high
    # Fixed watts are those of the idle board as well.
    assert energy.idle_w is not None
    assert energy.idle_w.value == pytest.approx(shown_w, rel=0.002)
    if board.ssh("root", "ls /proc/self").split().count("clear_refs"):
        assert measured.memory_b is not None
    else:  # a kernel without CONFIG_PROC_PAGE_MONITOR
        assert measured.memory_b is None
        assert "clear_refs" in str(measured.memory_reason)


@pytest.mark.parametrize("added", ["edge"], indirect=True)
def test_a_sensor_of_five_updates_a_second_has_longer_windows(
    added: tuple[str, dict[str, Any]], measure: Callable[..., Measurement], board: Board
) -> None:
    name, _ = added
    board.set_watts(None)  # they follow the processor's use, five times a second
    measured = measure(name, "hwmon:ina226", energy_interval=0.2, energy_time_s=110.0)
    board.set_watts(WATTS)
    energy, joules = measured.energy, measured.energy_j
    assert energy is not None
    assert joules is not None
    assert all(window.window_s >= 17.0 for window in energy.windows)
    assert all(window.window_s >= 0.9 * 100 * window.period_s for window in energy.windows)
    narrow = joules.high - joules.low <= 2 * 0.2 * joules.value
    assert narrow or any("the joules' interval is" in warning for warning in measured.warnings)
    assert energy.net_j is not None
    assert 0 < energy.net_j.value < joules.value


def test_its_meters_are_listed(added: tuple[str, dict[str, Any]], joulefront: Verb) -> None:
    name, _ = added
    listed = {meter["name"]: meter for meter in joulefront("devices", "meters", name, "--json")["meters"]}
    for meter in ("hwmon:ina226", "hwmon:ina3221/1"):
        assert listed[meter]["reason"] is None
        assert listed[meter]["read_s"] > 0
    assert listed["hwmon:ina226"]["used"]


def test_a_search_there_has_joules_among_its_objectives(added: tuple[str, dict[str, Any]], joulefront: Verb) -> None:
    name, _ = added
    front = joulefront("search", "study.toml", "--device", name, "--json")
    assert front["study"] == f"on-the-board-{name}"
    assert front["devices"] == [name]
    assert front["objectives"] == ["error", "latency_s", "energy_j"]
    assert front["state"] == "settled"
    assert front["trials"]["failed"] == 0
    assert front["trials"]["ok"] >= 13
    for point in front["front"]:
        assert point["objectives"]["energy_j"] > 0
        assert point["provenance"].items() >= SIMULATED.items()
        # Windows and samples are of other moments of a host that has other things to do than to emulate.
        assert 0.3 < point["metrics"]["energy_j"] / (WATTS * point["metrics"]["latency_s"]) < 10


def test_checking_it_again_moves_nothing_and_stores_what_it_said(
    added: tuple[str, dict[str, Any]], joulefront: Verb
) -> None:
    name, said = added
    assert joulefront("devices", "check", name, "--json")["status"] == said["status"]


@pytest.mark.parametrize("user", ["root", "edge"])
def test_what_it_takes_is_moved_once_and_little(board: Board, user: str) -> None:
    where = Destination(board.address, user, board.port, board.key, board.host_key)
    with Connection.open(where) as connection:
        connection.execute(["rm", "-rf", board.ssh(user, "echo ~").strip() + "/.cache/joulefront"])
        first = provision(connection, python=None, wheels=None, cache=Cache(), say=lambda text: None)
        again = provision(connection, python=None, wheels=None, cache=Cache(), say=lambda text: None)
    assert 1_000_000 < first.moved_b <= 6_000_000
    assert again.moved_b == 0
    assert board.ssh(user, f"stat -c %a {first.folder}").strip() == "700"


def test_what_is_wrong_is_said(board: Board, joulefront: Verb, folder: Path) -> None:
    where, key = f"edge@{board.address}:{board.port}", str(board.key)
    said = joulefront("devices", "add", "other", where, "--key", key, status=2)
    assert fingerprint(board) in said
    assert "--accept-host-key" in said
    wrong = joulefront("devices", "add", "other", where, "--key", key, "--accept-host-key", "SHA256:wrong", status=2)
    assert fingerprint(board) in wrong
    open_key = folder / "open_key"
    open_key.write_bytes(board.key.read_bytes())
    open_key.chmod(0o644)
    accepted = ("--accept-host-key", fingerprint(board))
    assert "chmod 600" in joulefront("devices", "add", "other", where, "--key", str(open_key), *accepted, status=2)
    nobody = joulefront(
        "devices", "add", "other", f"nobody@{board.address}:{board.port}", "--key", key, *accepted, status=3
    )
    assert "ssh-copy-id" in nobody
    assert "cannot be reached" in joulefront(
        "devices", "add", "other", f"edge@{board.address}:9", "--key", key, status=3
    )
    assert not (folder / "devices" / "other.toml").exists()


def test_two_boards_are_two_devices(two_boards: tuple[Board, Board], joulefront: Verb) -> None:
    said = []
    for number, board in enumerate(two_boards):
        where = f"edge@{board.address}:{board.port}"
        joulefront(
            "devices",
            "add",
            f"twin{number}",
            where,
            "--key",
            str(board.key),
            "--accept-host-key",
            fingerprint(board),
            "--json",
        )
        said.append(joulefront("devices", "show", f"twin{number}", "--json")["facts"]["machine"])
    assert said[0] != said[1]
    for number in range(2):
        joulefront("devices", "remove", f"twin{number}", "--json")
