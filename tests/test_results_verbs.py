"""What shows results, by the command line: all trials, one trial's journey, a figure, a picture of a study."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import joulefront
from joulefront.records import Failure, Trial
from joulefront.results import read
from joulefront.space_records import Pruning
from joulefront.store import Store
from written import SPACE, measured_trial, write_study


def test_all_trials_as_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, count=12, fails=lambda number: number == 4)
    assert joulefront(monkeypatch, "trials", folder) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 120
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip() and line.split()[0].isdigit()}
    assert len(lines) == len(read(folder).trials)
    assert "failed: CompileError" in lines["4"]
    assert "unpruned" in lines["0"]
    assert "warned" in lines["3"]
    knee = read(folder).knee
    assert knee
    assert "front, knee" in lines[str(knee.number)]
    assert "±" in lines[str(knee.number)]
    assert "Latency: simulated." in table


def test_all_trials_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, count=12, energy=True, fails=lambda number: number == 4)
    assert joulefront(monkeypatch, "trials", folder, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    results = read(folder)
    assert [row["trial"] for row in document] == [trial.number for trial in results.trials]
    assert {row["trial"] for row in document if "front" in row["roles"]} == {trial.number for trial in results.front}
    assert document[4]["failure"]["kind"] == "CompileError"
    assert document[4]["widths"] == SPACE.pruning(results.trials[4].genome).widths
    assert document[4]["violation"] is None
    assert document[5]["metrics"]["energy_j"] == results.trials[5].objectives["energy_j"]
    assert document[5]["recorded"] == results.recorded[5].isoformat()


def test_csv_and_parquet_go_to_stdout_as_bytes(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=5)
    run = [sys.executable, "-c", "from joulefront.cli import main; main()", "trials", str(folder)]
    as_csv = subprocess.run([*run, "--csv"], capture_output=True, check=True).stdout
    assert len(as_csv.splitlines()) == 1 + len(read(folder).trials)
    parquet = subprocess.run([*run, "--parquet"], capture_output=True, check=True).stdout
    assert (parquet[:4], parquet[-4:]) == (b"PAR1", b"PAR1")


@pytest.mark.parametrize("more", [["--json"], ["3"]])
def test_rows_are_of_all_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert joulefront(monkeypatch, "trials", write_study(tmp_path, count=5), "--csv", *more) == 2
    assert "--csv is of all trials" in capsys.readouterr().err


def test_a_trials_journey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path, count=12)
    results = read(folder)
    settled = results.front[0]
    (screened,) = (trial for trial in results.trials if trial.genome == settled.genome and trial.fidelity == "screen")

    assert joulefront(monkeypatch, "trials", folder, settled.number, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["same_network"] == [{"trial": screened.number, "fidelity": "screen"}]
    assert document["widths"] == SPACE.pruning(settled.genome).widths
    assert document["roles"][-1] in ("front", "knee")
    assert document["front"] == {"fidelity": "full", "on_front": True, "beaten_by": [], "reason": None}
    measured = document["measurement"]
    assert [repeat["median"] for repeat in measured["repeats"]] == pytest.approx(
        results.repeat_medians_s[settled.number]
    )
    assert measured["latency_s"]["samples"] == 15
    assert measured["latency_s"]["p99"] is None  # of too few samples
    assert document["scores"]["test"]["metric"] == settled.test.metric  # type: ignore[union-attr]
    assert document["hashes"]["library_sha256"] == settled.artifact.sha256  # type: ignore[union-attr]
    assert document["kernels"] == [
        {"workload": "conv2d data=1,8,8,1", "kernel": "winograd", "tuned": True, "calls": 2},
        {"workload": "dense data=1,64", "kernel": "dense", "tuned": False, "calls": 1},
    ]
    assert document["fallbacks"] == [{"operators": "cumsum", "function": "fused_cumsum1", "calls": 1}]
    assert document["kernels_reason"] is None

    assert joulefront(monkeypatch, "trials", folder, screened.number) == 0
    shown = capsys.readouterr().out
    for expected in (
        f"trial {settled.number}: settled",
        "simulated, screening grade",
        "no p99: the version that recorded it did not tell",
        "none: a written device has no meter",
        "2 of ours, 1 of them tuned; 1 function of TVM's own loops: cumsum",
        "temperature_c",
        "on the search's front",
    ):
        assert expected in shown


def test_a_journey_says_what_beats_a_trial_and_what_limits_it_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, count=1, settled=False)
    slow = measured_trial(1, (0, 0, 0), "screen", latency=lambda widths: 1.0)
    with Store.open(folder, writable=True) as store:
        store.record(slow)
        store.record(measured_trial(2, (0, 0, 1), "screen", limits={"latency_s": 1e-6}))
        store.record(Trial(3, (0, 0, 2), "screen", failure=Failure("Hung", "it hung")))
    assert joulefront(monkeypatch, "trials", folder, 1) == 0
    assert "not on the search's front: beaten by trial 0" in capsys.readouterr().out
    assert joulefront(monkeypatch, "trials", folder, 2, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["violation"] > 0
    assert document["front"]["reason"] == "it breaks the study's limits"
    assert joulefront(monkeypatch, "trials", folder, 3) == 0
    shown = capsys.readouterr().out
    assert "Hung: it hung" in shown
    assert "none: it was never measured" in shown


def test_a_front_that_is_being_settled_is_not_called_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, count=5, settled=False)
    with Store.open(folder, writable=True) as store:
        store.record(measured_trial(5, SPACE.full, "full"))
    assert joulefront(monkeypatch, "trials", folder, 5) == 0
    assert "on the front of what is settled so far" in capsys.readouterr().out


def test_many_widths_hide_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, count=3, energy=True)
    with Store.open(folder, writable=True) as store:
        usual = measured_trial(99, (0, 0, 0), "screen", energy=True)
        assert usual.candidate
        many = {f"layer{at}": 100 + at for at in range(60)}
        store.record(replace(usual, candidate=replace(usual.candidate, pruning=Pruning(many))))
    assert joulefront(monkeypatch, "trials", folder) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 120
    (line,) = (line for line in table.splitlines() if line.split()[:1] == ["99"])
    for expected in ("screen", " %", "±", "100 101"):
        assert expected in line
    assert line.count("…") == 1  # the widths alone are cut


def test_a_trial_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, count=5, settled=False)
    assert joulefront(monkeypatch, "trials", folder, 9) == 2
    assert "there is no trial 9; expected 0 to 4" in capsys.readouterr().err
    assert joulefront(monkeypatch, "trials", write_study(tmp_path, "empty", count=0), 0) == 2
    assert "none is recorded yet" in capsys.readouterr().err


def test_a_figure_is_drawn_alone_and_beside_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, figure = write_study(tmp_path, count=5), tmp_path / "front.svg"
    assert joulefront(monkeypatch, "report", folder, "--figure", figure) == 0
    assert capsys.readouterr().out == f"{figure} is drawn\n"
    assert figure.is_file()
    assert not (folder / "report.html").exists()
    assert joulefront(monkeypatch, "report", folder, "--figure", tmp_path / "front.gif") == 2
    assert "expected a file that ends in .png, .svg or .pdf" in capsys.readouterr().err


def _until(terminal: int, expected: bytes) -> bytes:
    """What was written to a terminal until, and with, what is expected; all of it where that never comes."""
    written = b""
    while expected not in written:
        try:
            read_now = os.read(terminal, 65536)
        except OSError:  # nobody holds the other end any more
            return written
        written += read_now
    return written


# Where a suite runs in the background, Ctrl-C is ignored, and so it would be by what the suite starts.
_WATCH = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from joulefront.cli import main; main()"
)


@pytest.mark.parametrize("how", ["settled", "Ctrl-C"])
def test_watching_ends_by_itself_or_by_ctrl_c(tmp_path: Path, how: str) -> None:
    folder = write_study(tmp_path, count=6, settled=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    watching = subprocess.Popen(
        [sys.executable, "-c", _WATCH, "watch", str(folder)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    try:
        assert b"searching" in _until(ours, b"Ctrl-C ends watching")
        if how == "settled":
            with Store.open(folder, writable=True) as store:
                store.decide("settled", [])
            assert b"settled" in _until(ours, b"settled")
        else:
            os.write(ours, b"\x03")
        rest = _until(ours, b"never written")
        assert watching.wait(60) == 0
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)
    assert b"Traceback" not in rest
    assert b"\x1b[?1049l" in rest  # the terminal's own screen is back
