"""The picture of what is left of each layer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from command_line import joulefront
from joulefront.errors import ConfigError
from joulefront.report.widths_figure import draw
from joulefront.space_records import Pruning

FULL = {"conv1": 16, "stage.1.conv": 32, "stage.2.conv": 32}


def texts(file: Path) -> list[str]:
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", file.read_text())]


def test_every_group_has_its_widths(tmp_path: Path) -> None:
    pruning = Pruning({"conv1": 5, "stage.2.conv": 8}, dropped=("stage.2",))
    draw(FULL, pruning, "net: 40 % of the multiply-accumulates left", tmp_path / "widths.svg")
    written = texts(tmp_path / "widths.svg")
    assert {*FULL, "5 of 16", "32 of 32", "0 of 32: block taken out"} <= set(written)
    assert "net: 40 % of the multiply-accumulates left" in written


def test_what_has_no_widths_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no widths to draw"):
        draw({}, Pruning(), "net", tmp_path / "widths.png")


def test_a_figure_that_cannot_be_written_is_told_before_anything_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert joulefront(monkeypatch, "prune", "nothing", "--ratio", "0.5", "--figure", "widths.gif") == 2
    assert "widths.gif: expected a file that ends in" in capfd.readouterr().err
