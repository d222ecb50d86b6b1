"""What happens to boards: they boot in mid-search, their cable is pulled, their power fails, they hang."""

import threading
from pathlib import Path

import pytest
from virtual_board import Board

from joulefront.bench import Bench
from joulefront.bench.connection import SILENCE_S
from joulefront.config import MeasureConfig
from joulefront.errors import ConnectionLost, DeviceBusy, TransportError
from joulefront.records import Trial
from joulefront.store import Store
from joulefront.study import open_bench, run
from joulefront_devices.device import Device, load
from simulated import Silent

pytestmark = pytest.mark.board

AS_EDGE = "setpriv --reuid 1000 --regid 1000 --clear-groups sh -c"
STUDY = """
name = "disturbed"
device = "board.toml"
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
evaluations = 6
population = 6
[limits]
error = 0.05
"""


def device_file(board: Board, **changes: object) -> str:
    arguments = {
        "host": board.address, "user": "edge", "port": board.port, "key": str(board.key), "host_key": board.host_key, **changes
    }  # fmt: skip
    return 'name = "board"\n[transport]\nkind = "ssh"\n' + "".join(
        f"{key} = {value!r}\n" for key, value in arguments.items()
    )


def device(board: Board, folder: Path, **changes: object) -> Device:
    (folder / "board.toml").write_text(device_file(board, **changes))
    return load("board.toml", folder=folder)


class Mishaps(Silent):
    """Does something to the board while the trial after a certain number is measured."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board = board
        self.others: list[threading.Thread] = []

    def step(self, trial: Trial, hypervolume: float | None) -> None:
        super().step(trial, hypervolume)
        mishap = {1: self.board.reset, 3: self.pull_and_plug}.get(self.steps)
        if mishap:
            # In the middle of what is measured next, whatever that is at just then.
            self.others.append(threading.Timer(1.5, mishap))
            self.others[-1].start()

    def pull_and_plug(self) -> None:
        self.board.pull_cable()
        threading.Event().wait(SILENCE_S + 5.0)  # until the connection counts as lost
        self.board.plug_cable()


def test_a_search_outlasts_a_boot_and_a_pulled_cable(fresh_board: Board, tmp_path: Path) -> None:
    fresh_board.wait_for_sensors()
    (tmp_path / "board.toml").write_text(device_file(fresh_board))
    (tmp_path / "study.toml").write_text(STUDY)
    boot = fresh_board.ssh("edge", "cat /proc/sys/kernel/random/boot_id")
    mishaps = Mishaps(fresh_board)
    results = run(tmp_path / "study.toml", tmp_path / "results", mishaps, open_bench)
    for other in mishaps.others:
        other.join()
    assert len(mishaps.others) == 2
    assert fresh_board.ssh("edge", "cat /proc/sys/kernel/random/boot_id") != boot
    with Store.open(results) as store:
        trials = store.trials(samples=True)
        assert store.decided("settled")
    assert len([trial for trial in trials if trial.fidelity == "screen"]) == 6
    for trial in trials:
        assert trial.failure is None
        assert trial.measurement is not None
        assert trial.measurement.energy_j is not None
        # No sample was taken while the board was away, when everything would have stood still.
        assert max(map(max, trial.measurement.repeats_s)) < 5.0


def test_a_board_that_hangs_is_lost_and_found_again(fresh_board: Board, tmp_path: Path) -> None:
    with Bench(device(fresh_board, tmp_path), MeasureConfig(), 1) as bench:
        fresh_board.freeze()
        with pytest.raises(ConnectionLost, match="no sign of life"):
            bench._place.session.conditions()
        threading.Timer(2.0, fresh_board.thaw).start()
        bench._place.session.renew()
        assert bench._place.session.conditions()["cpu_cores"] == 2


def test_a_board_that_is_gone_stops_it_with_a_word(fresh_board: Board, tmp_path: Path) -> None:
    there = device(fresh_board, tmp_path, wait_s=2.0)
    with Bench(there, MeasureConfig(), 1) as bench:
        fresh_board.power_off()
        with pytest.raises(ConnectionLost):
            bench._place.session.conditions()
        with pytest.raises(TransportError, match=r"cannot be reached: .*\(tried for 2 s\)"):
            bench._place.session.renew()
    with pytest.raises(TransportError, match="cannot be reached"), Bench(there, MeasureConfig(), 1):
        pass


def test_what_power_took_is_shipped_again(fresh_board: Board, tmp_path: Path) -> None:
    there = device(fresh_board, tmp_path)
    with Bench(there, MeasureConfig(), 1):
        pass
    fresh_board.ssh(
        "edge",
        "cd ~/.cache/joulefront; for f in */tvm_ffi/*.so */joulefront_agent/wire.py; do : > $f; done; sync",
    )
    fresh_board.restart()
    with Bench(there, MeasureConfig(), 1) as bench:
        assert bench.facts["architecture"] == "aarch64"


def test_a_board_measures_for_one_session_at_a_time(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = device(board, tmp_path)
    with Bench(there, MeasureConfig(), 1):
        # As from another host: with locks of its own there.
        (tmp_path / "run").mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
        with pytest.raises(DeviceBusy, match="another session"), Bench(there, MeasureConfig(), 1):
            pass


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        (f"{AS_EDGE} 'dd if=/dev/zero of=/home/edge/full bs=1M 2> /dev/null; truncate -s -6M /home/edge/full'", "free"),
        ("mv /usr/lib/aarch64-linux-gnu/libstdc++.so.6 /usr/lib/aarch64-linux-gnu/gone", r"libstdc\+\+"),
        ("rm -f /usr/bin/python3*", "python3"),
        ("install -d -o root -m 755 /home/edge/.cache/joulefront", "joulefront"),
    ],
)
def test_a_board_that_cannot_be_used_as_it_is_is_refused_with_the_reason(
    fresh_board: Board, tmp_path: Path, doing: str, said: str
) -> None:
    fresh_board.ssh("root", doing)
    with pytest.raises(TransportError, match=said), Bench(device(fresh_board, tmp_path), MeasureConfig(), 1):
        pass
