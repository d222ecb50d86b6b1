"""Figures for papers: what stands in them, and that the same study gives the same file."""

import re
from pathlib import Path

import pytest

from joulefront.errors import ConfigError, StoreError
from joulefront.report.figure import draw
from joulefront.results import Results, read
from joulefront.store import Store
from written import latency_s, measured_trial, write_study


def _texts(file: Path) -> list[str]:
    """The texts of an SVG, which draws letters as curves and says in a comment what they are."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", file.read_text())]


def _drawn(tmp_path: Path, *studies: Results) -> list[str]:
    file = tmp_path / "figure.svg"
    draw(studies, file)
    return _texts(file)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_study_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    study = read(write_study(tmp_path))
    first, second = tmp_path / f"1{suffix}", tmp_path / f"2{suffix.upper()}"
    draw([study], first)
    draw([study], second)
    assert first.read_bytes() == second.read_bytes()
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert first.read_bytes().startswith(magic)


def test_it_says_how_its_numbers_were_come_by(tmp_path: Path) -> None:
    texts = _drawn(tmp_path, read(write_study(tmp_path, "cnn")))
    assert "cnn on board" in texts
    assert "median latency of one inference, ms (simulated; logarithmic)" in texts
    assert "the front: full grade, 95 % intervals" in texts
    assert {"the unpruned network", "the front's knee"} <= set(texts)
    assert not any("energy" in text for text in texts)


def test_what_lies_above_the_axis_is_counted(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=1, settled=False)
    with Store.open(folder, writable=True) as store:
        store.record(
            measured_trial(1, (0, 0, 0), "screen", latency=lambda widths: 1.0)
        )  # far worse than the unpruned one
    assert "screened in the search: 2 (1 above the axis)" in _drawn(tmp_path, read(folder))


def test_a_search_that_goes_on_is_called_so(tmp_path: Path) -> None:
    texts = _drawn(tmp_path, read(write_study(tmp_path, "cnn", settled=False)))
    assert "cnn on board (still searching: screening figures)" in texts
    assert "the front: screening grade, 95 % intervals" in texts


def test_energy_has_a_panel_where_every_study_has_a_meter(tmp_path: Path) -> None:
    metered, other = (
        read(write_study(tmp_path, name, energy=True, latency=latency))
        for name, latency in (("a", latency_s), ("b", lambda widths: 2 * latency_s(widths)))
    )
    unmetered = read(write_study(tmp_path, "c"))
    energy = "energy of one inference, mJ (simulated; logarithmic)"
    assert energy in _drawn(tmp_path, metered)
    both = _drawn(tmp_path, metered, other)
    assert energy in both
    assert "a on board, simulated: full grade, 95 % intervals" in both
    assert energy not in _drawn(tmp_path, metered, unmetered)


def test_names_are_no_formulas(tmp_path: Path) -> None:
    assert "cnn on $x_1$" in _drawn(tmp_path, read(write_study(tmp_path, "cnn", device="$x_1$")))


@pytest.mark.parametrize("count", [0, 1])
def test_a_study_of_nothing_or_of_one_network_is_drawn(tmp_path: Path, count: int) -> None:
    texts = _drawn(tmp_path, read(write_study(tmp_path, count=count)))
    assert ("no network has been measured yet" in texts) == (count == 0)


def test_all_failed(tmp_path: Path) -> None:
    study = read(write_study(tmp_path, count=5, fails=lambda number: True))
    assert "no network has been measured yet" in _drawn(tmp_path, study)


def test_what_cannot_be_drawn_is_one_message(tmp_path: Path) -> None:
    study = read(write_study(tmp_path, count=1))
    with pytest.raises(ConfigError, match=r"figure\.jpg: expected a file that ends in \.png, \.svg or \.pdf"):
        draw([study], tmp_path / "figure.jpg")
    with pytest.raises(ConfigError, match="there is no folder"):
        draw([study], tmp_path / "absent" / "figure.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(StoreError, match=r"folder\.png cannot be written"):
        draw([study], tmp_path / "folder.png")
