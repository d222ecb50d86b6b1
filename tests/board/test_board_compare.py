"""The demo's network searched on this machine and on the virtual board, and the two compared, by the command line."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_board_devices import fingerprint
from virtual_board import Board

from joulefront.results import read
from joulefront.trials import BLOCK
from recomputed import Study
from test_comparison import agrees

pytestmark = pytest.mark.board
LIMIT_S = 1800.0

STUDY = """
name = "{name}"
device = "{device}"
objectives = ["error", "latency_s"]
[task]
kind = "mnist5k"
model = "cnn_bn"
[space]
multiple = 4
floor = 0.0625
[recover]
screen_epochs = 0.5
full_epochs = 1.0
[measure]
repeats = 2
interval = 0.9
time_s = 0.5
full_repeats = 3
full_interval = 0.9
full_time_s = 0.5
energy_s = 1.0
energy_updates = 10
energy_interval = 0.9
energy_time_s = 2.0
[search]
kind = "random"
evaluations = 6
seed = {seed}
"""
# This machine, as busy as it is with a board to emulate.
HERE = 'name = "here"\n[settle]\ntime_s = 0.0\n'


@pytest.fixture(scope="module")
def joulefront(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a verb in a folder of its own; returns its JSON."""
    folder = tmp_path_factory.mktemp("user")
    # Two searches that differ whatever they measure, so that neither has settled all that the other finds.
    (folder / "demo.toml").write_text(STUDY.format(name="demo", device="here.toml", seed=0))
    (folder / "demo-board.toml").write_text(STUDY.format(name="demo-board", device="board", seed=1))
    (folder / "here.toml").write_text(HERE)
    environment = {**os.environ, "JOULEFRONT_DEVICES": str(folder / "devices")}
    environment.pop("SSH_AUTH_SOCK", None)

    def run(*arguments: str) -> Any:
        command = [str(Path(sys.executable).with_name("joulefront")), *arguments, "--json"]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    run.folder = folder  # type: ignore[attr-defined]
    return run


def test_fronts_of_two_devices_are_compared_with_and_without_measuring_again(
    board: Board, joulefront: Callable[..., Any]
) -> None:
    where = f"edge@{board.address}:{board.port}"
    joulefront("devices", "add", "board", where, "--key", str(board.key), "--accept-host-key", fingerprint(board))
    joulefront("search", "demo.toml")
    joulefront("search", "demo-board.toml")
    results = joulefront.folder / "results"  # type: ignore[attr-defined]
    studies = [results / "demo", results / "demo-board"]
    folders = [str(folder) for folder in studies]

    before = joulefront("compare", *folders)
    agrees(before, studies)
    assert before["drift"] == {"demo": [], "demo-board": []}
    guests = [
        sum(widths not in Study(host).known for widths in Study(home).front) for home, host in (studies, studies[::-1])
    ]
    assert min(guests) > 0

    made = joulefront("compare", *folders, "--remeasure")
    agrees(made, studies)
    for one, other in (("demo", "demo-board"), ("demo-board", "demo")):
        counts = made["survival_counts"][one][other]
        assert counts["judged"] == counts["front"] >= before["survival_counts"][one][other]["judged"]
    for point in made["points"]:
        assert point["measured"]["demo"]["provenance"]["latency_s"] == "measured"
        there = point["measured"]["demo-board"]["provenance"]
        assert (there["latency_s"], there["energy_j"]) == ("simulated", "simulated")
        assert point["measured"]["demo-board"]["metrics"]["energy_j"] > 0
    assert "the figures are of different kinds: measured on demo; simulated on demo-board" in made["warnings"]

    # The board's own network beside the visitors of each block; and nothing is left to measure.
    visits = {folder.name: read(folder).visits for folder in studies}
    blocks = [math.ceil(count / BLOCK) for count in guests]
    assert [len(visits[name]) for name in ("demo-board", "demo")] == [
        sum(both) for both in zip(guests, blocks, strict=True)
    ]
    assert {visit.artifact.target.triple for visit in visits["demo-board"] if visit.artifact} == {"aarch64-linux-gnu"}
    assert joulefront("compare", *folders, "--remeasure") == made
    joulefront("devices", "remove", "board")
