"""A study followed on a terminal: what is drawn, when it is read again, when it ends."""

import io
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from joulefront.errors import ConfigError, StoreError
from joulefront.records import Failure, Trial
from joulefront.report.live import LiveListener, Watched, follow, live_progress, watch
from joulefront.report.picture import Picture, Progress
from joulefront.report.progress import ProgressLines
from joulefront.results import read
from joulefront.space_records import Pruning
from joulefront.store import Store
from written import SPACE, failed_trial, measured_trial, write_study


def _lines(shown: object, width: int, height: int, *, colours: bool = False) -> list[str]:
    """What stands on a terminal of this size, with a last line left for the cursor."""
    file = io.StringIO()
    Console(
        file=file, width=width, height=height, force_terminal=colours, color_system="256" if colours else None
    ).print(shown)
    return file.getvalue().splitlines()


def _picture(folder: Path, doing: str = "", notes: tuple[str, ...] = ()) -> Picture:
    progress = Watched(folder).look()
    assert progress
    return Picture(progress, datetime.now(UTC), doing, notes)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 40), (160, 50)])
@pytest.mark.parametrize("settled", [True, False])
def test_a_picture_fills_the_terminal_and_no_more(tmp_path: Path, width: int, height: int, settled: bool) -> None:
    folder = write_study(tmp_path, count=24, settled=settled, fails=lambda number: number == 4)
    lines = _lines(_picture(folder, notes=("one note",)), width, height)
    assert len(lines) == height - 1
    assert max(map(len, lines)) <= width
    shown = "\n".join(lines)
    for expected in ("written on board", "hypervolume 0.", "latency, ms, simulated", "1 CompileError", "one note", "◆"):
        assert expected in shown
    assert ("settled" if settled else "24/24") in lines[0]
    assert "★" in shown.partition("valid.")[2]  # the knee is in the table


@pytest.mark.parametrize("height", [10, 12, 14])
@pytest.mark.parametrize("count", [0, 24])
def test_a_low_terminal_has_the_front_and_the_last_note(tmp_path: Path, height: int, count: int) -> None:
    lines = _lines(_picture(write_study(tmp_path, count=count, settled=False), notes=("one note",)), 40, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= 40
    assert lines[-1] == "one note"
    assert any("valid." in line for line in lines)
    assert any("★" in line for line in lines) == (count > 0)


def test_many_widths_hide_no_number(tmp_path: Path) -> None:
    progress = Watched(write_study(tmp_path, count=1, settled=False)).look()
    assert progress
    (trial,) = progress.results.trials
    assert trial.candidate
    many = {f"layer{at}": 100 + at for at in range(60)}
    trial = replace(trial, candidate=replace(trial.candidate, pruning=Pruning(many)))
    for width in (80, 160):
        shown = Picture(replace(progress, results=replace(progress.results, trials=(trial,))), datetime.now(UTC))
        (line,) = (line for line in _lines(shown, width, 24) if "±" in line)
        assert "★0" in line
        assert "98.30 %" in line
        assert "100 101" in line
        assert line.rstrip().endswith("…")


def test_colours_are_only_where_a_terminal_has_them(tmp_path: Path) -> None:
    picture = _picture(write_study(tmp_path, count=12))
    assert "\x1b[" not in "".join(_lines(picture, 80, 24))
    coloured = _lines(picture, 80, 24, colours=True)
    assert "\x1b[" in "".join(coloured)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in coloured] == [
        line.rstrip() for line in _lines(picture, 80, 24)
    ]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_study_that_has_hardly_begun_is_drawn(tmp_path: Path, count: int) -> None:
    lines = _lines(_picture(write_study(tmp_path, count=count, settled=False)), 80, 24)
    assert len(lines) == 23
    assert f"{count}/1" in lines[0] or f"{count}/2" in lines[0]
    assert any("no network has been measured yet" in line for line in lines) == (count == 0)


def test_nothing_but_failures_is_drawn(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=0)
    with Store.open(folder, writable=True) as store:
        store.record(Trial(0, SPACE.full, "screen", failure=Failure("Hung", "a \x1b[2J hostile\nmessage " * 20)))
    lines = _lines(_picture(folder), 80, 24)
    assert len(lines) == 23
    assert any(line.startswith("failures  1 Hung; trial 0: a \\x1b[2J hostile message") for line in lines)
    assert "\x1b" not in "".join(lines)
    assert any("none before the unpruned network" in line for line in lines)


def test_values_that_a_logarithm_lacks_are_left_out(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=1, settled=False)
    with Store.open(folder, writable=True) as store:
        store.record(measured_trial(1, (0, 0, 0), "screen", latency=lambda widths: 0.0))
    assert len(_lines(_picture(folder), 80, 24)) == 23


def test_the_hypervolume_grows_to_what_the_front_has(tmp_path: Path) -> None:
    results = read(write_study(tmp_path, count=150, settled=False))
    growth = Progress.of(results, None).growth
    assert len(growth) == 60
    assert list(growth) == sorted(growth)
    assert results.hypervolume
    assert growth[-1] == pytest.approx(results.hypervolume.value)


def test_a_study_is_read_again_only_when_it_was_written_to(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=4, settled=False)
    watched = Watched(folder)
    first = watched.look()
    assert watched.look() is first
    with Store.open(folder, writable=True) as store:
        store.record(failed_trial(4, (1, 1, 1)))
    second = watched.look()
    assert second
    assert second is not first
    assert len(second.results.trials) == 5
    with Store.open(folder, writable=True) as store:
        store.decide("finalists", [[0, 0, 0], [1, 1, 1]])
    third = watched.look()
    assert third
    assert third.finalists == 2
    assert "settling the front" in _lines(Picture(third, datetime.now(UTC)), 80, 24)[0]


def test_what_has_not_begun_is_waited_for_and_what_is_settled_ends(tmp_path: Path) -> None:
    folder = tmp_path / "written"
    folder.mkdir()
    pictures = follow(Watched(folder))
    waiting = next(pictures)
    assert isinstance(waiting, Text)
    assert "waiting for a search to begin" in waiting.plain
    (folder / "study.sqlite").touch()  # it has just been made
    assert isinstance(next(pictures), Text)
    (folder / "study.sqlite").unlink()
    write_study(tmp_path, count=4, settled=False)
    assert isinstance(next(pictures), Picture)
    with Store.open(folder, writable=True) as store:
        store.decide("settled", [])
    assert isinstance(next(pictures), Picture)
    assert next(pictures, None) is None


def test_a_folder_that_goes_away_while_it_is_looked_at_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    watched = Watched(tmp_path)
    monkeypatch.setattr(Path, "iterdir", gone)
    with pytest.raises(ConfigError, match="no study there"):
        watched.look()


def test_a_store_that_cannot_be_read_is_tried_again_and_at_last_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, count=4, settled=False)
    watched = Watched(folder)
    pictures = follow(watched)
    next(pictures)

    def locked() -> None:
        raise StoreError("the database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(watched, "look", locked)
        for _ in range(5):
            shown = next(pictures)
            assert isinstance(shown, Picture)  # the last one that could be read
            assert shown.notes == ("the database is locked",)
    assert "Ctrl-C" in next(pictures).notes[0]  # type: ignore[union-attr]
    monkeypatch.setattr(watched, "look", locked)
    with pytest.raises(StoreError, match="locked"):
        list(islice(pictures, 100))


def test_without_a_terminal_there_is_one_plain_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(write_study(tmp_path, count=6, settled=False))
    shown = capsys.readouterr().out
    assert "searching" in shown
    assert "\x1b" not in shown
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(live_progress(tmp_path), ProgressLines)  # nothing can be drawn over there
    watch(tmp_path / "written")
    assert "searching" in capsys.readouterr().out
    monkeypatch.delenv("FORCE_COLOR")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no search has begun there yet"):
        watch(tmp_path / "empty")
    with pytest.raises(ConfigError, match="no study there"):
        watch(tmp_path / "absent")
    (tmp_path / "empty" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="no study there"):
        watch(tmp_path / "empty")


def test_a_search_shows_its_store_its_stage_and_what_it_says(tmp_path: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, height=30, force_terminal=True, color_system=None)
    with LiveListener(console, tmp_path / "written") as listener:
        listener.stage("opening the board")
        listener.say("energy: none, because")
        write_study(tmp_path, count=6, settled=False)
        listener.stage("searching", 6)
        listener.doing("measuring on the board")
        listener.step(failed_trial(1, (0, 0, 0)), None)
    said = file.getvalue()
    for expected in (
        "opening the board",
        "energy: none, because",
        "written on board",
        "searching: measuring on the board",
        "trial 1 failed: CompileError: written to fail",
    ):
        assert expected in said


def test_a_search_that_is_no_study_yet_disturbs_nobody(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=4, settled=False)
    shutil.copy(folder / "study.toml", tmp_path / "kept")
    (folder / "study.sqlite").write_bytes(b"not a database" * 1000)
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    with LiveListener(console, folder) as listener:
        listener.stage("searching", 6)


def test_live_where_no_terminal_is_gives_lines(tmp_path: Path) -> None:
    assert isinstance(live_progress(tmp_path), ProgressLines)
