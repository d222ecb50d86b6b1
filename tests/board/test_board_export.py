"""A network that was searched on the board, exported here, and run there by its own program: nothing else is on the board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from test_board_devices import LIMIT_S, fingerprint
from virtual_board import Board

pytestmark = pytest.mark.board

STUDY = """
name = "shipped"
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
evaluations = 4
population = 4
"""


def joulefront(folder: Path, *arguments: str) -> Any:
    """A verb, in a process of its own, and its JSON."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("joulefront")), *arguments, "--json"],
        cwd=folder,
        env={**os.environ, "JOULEFRONT_DEVICES": str(folder / "devices")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shipped(board: Board, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder, and what the verb said."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "study.toml").write_text(STUDY)
    where, key = f"edge@{board.address}:{board.port}", str(board.key)
    joulefront(folder, "devices", "add", "board", where, "--key", key, "--accept-host-key", fingerprint(board))
    joulefront(folder, "search", "study.toml", "--device", "board")
    document = joulefront(folder, "export", "results/shipped-board", "--pick", "params>0", "--out", "ship")
    # What the search has put there goes: the folder is to be enough by itself.
    joulefront(folder, "devices", "remove", "board")
    assert board.ssh("edge", "ls -A ~/.cache").strip() == ""
    return folder / "ship", document


@pytest.fixture(scope="module")
def there(board: Board, shipped: tuple[Path, dict[str, Any]]) -> str:
    """Its path on the board."""
    copy = ["scp", "-q", "-r", "-F", str(board.ssh_config), str(shipped[0]), "edge@board:ship"]
    subprocess.run(copy, check=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    return "ship"


def test_the_card_says_what_it_is_for(shipped: tuple[Path, dict[str, Any]]) -> None:
    _, document = shipped
    assert document["target"]["architecture"] == "aarch64"
    assert document["target"]["cpu"] == "cortex-a72"
    assert document["latency_s"]["provenance"] == "simulated"
    assert (document["latency_s"]["grade"], document["device"]["name"]) == ("full", "board")
    assert document["scores"]["test"]["examples"] == 360


def test_its_program_runs_there_and_gives_torchs_output(
    board: Board, shipped: tuple[Path, dict[str, Any]], there: str
) -> None:
    checked = board.ssh("edge", f"cd / && python3 -I -S ~/{there}/run.py", LIMIT_S)
    assert "outputs agree with torch's" in checked
    assert "no benchmark" in checked
    arrays = safetensors.numpy.load_file(shipped[0] / "check.safetensors")
    values = ",".join(map(repr, arrays["input0"].flatten().tolist()))
    board.ssh("edge", f"python3 -c \"import array; open('image.raw', 'wb').write(array.array('f', [{values}]))\"")
    returned = np.array(json.loads(board.ssh("edge", f"python3 {there}/run.py image.raw", LIMIT_S)))
    expected = arrays["output0"]
    assert returned.shape == expected.shape
    assert np.abs(returned - expected).max() <= shipped[1]["check"]["tolerance"] * np.abs(expected).max()


def test_a_program_of_the_users_own_runs_it_there(board: Board, there: str) -> None:
    loads = f"import sys; sys.path.append('{there}'); from network import Network"
    program = f"{loads}; print(Network('{there}')(bytes(256))[0].shape)"
    assert board.ssh("edge", f'python3 -c "{program}"', LIMIT_S).strip() == "(1, 10)"


def test_here_it_says_that_it_is_the_boards(shipped: tuple[Path, dict[str, Any]]) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(shipped[0] / "run.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is for 64-bit Linux on aarch64 with glibc 2.28 or later and libstdc++; this is Linux on" in done.stderr


def test_its_onnx_gives_the_same_here(shipped: tuple[Path, dict[str, Any]]) -> None:
    import onnxruntime

    out, document = shipped
    assert document["onnx"]["verified_by"] == f"onnxruntime {onnxruntime.__version__}"
    arrays = safetensors.numpy.load_file(out / "check.safetensors")
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (returned,) = session.run(["output0"], {"input0": arrays["input0"]})
    expected = arrays["output0"]
    assert np.abs(returned - expected).max() <= document["check"]["tolerance"] * np.abs(expected).max()
