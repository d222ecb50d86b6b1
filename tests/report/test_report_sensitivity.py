"""Sensitivities as a table and as a picture: what stands in them, for few parts and for many."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from joulefront.records import Energy, Estimate, Failure, Measurement, Score
from joulefront.report.sensitivity_document import document
from joulefront.report.sensitivity_figure import draw
from joulefront.report.sensitivity_table import compact, points, table
from joulefront.report.visible import all_visible
from joulefront.sensitivity_records import Cut, Measured, Part, Sensitivity
from joulefront.space_records import Pruning
from joulefront.terminal import show


def measurement(seconds: float, warnings: tuple[str, ...] = ()) -> Measurement:
    latency_s = Estimate(seconds, 0.99 * seconds, 1.01 * seconds)
    reason = "no meter"
    return Measurement("screening", "measured", latency_s, ((seconds,),), None, None, reason, {}, warnings)


def score(metric: float) -> Score:
    return Score("validation", metric, Estimate(1 - metric, 0, 1), 2000, loss=0.1)


def found(parts: int = 2, *, device: bool = True, prefix: str = "layer", last_s: float = 2e-3) -> Sensitivity:
    """``parts`` groups of 64 channels at two widths, and a block."""
    names = [f"{prefix}{number}" for number in range(parts)]
    cuts = [
        Cut(
            name,
            width,
            Pruning({name: width}),
            score(0.98 - lost),
            -lost,
            (-lost - 0.01, -lost + 0.01),
            1234,
            56789,
            0.25,
            None,
            measurement(1e-3) if device else None,
        )
        for name in names
        for width, lost in ((8, 0.5), (40, 0.001))
    ]
    cuts.append(
        Cut("block", 0, Pruning(dropped=("block",)), failure=Failure("PruneError", "it does not run")),
    )
    whole = tuple(measurement(seconds, ("it was warm",)) for seconds in (2e-3, 2e-3, last_s))
    return Sensitivity(
        "net",
        "l2",
        score(0.98),
        13_754,
        4_090_000_000,
        (*(Part(name, 64, 0.5, None, 0.5) for name in names), Part("block", None, None, "nobody knows", 0.1)),
        tuple(cuts),
        None,
        {},
        Measured("board", whole, Estimate(2e-3, 1.98e-3, 2.02e-3)) if device else None,
    )


def shown(capsys: pytest.CaptureFixture[str], sensitivity: Sensitivity) -> list[str]:
    show(document(sensitivity), False, table)
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_the_table_has_a_row_for_each_part_and_width(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, found())
    assert max(map(len, lines)) <= 120
    (unpruned,) = [line for line in lines if line.startswith("unpruned")]
    assert unpruned.split() == ["unpruned", "98.00", "13.8k", "4.09G", "2", "±1.0%", "1.00"]
    rows = [line.split() for line in lines if line.startswith("layer")]
    assert " ".join(rows[0]) == "layer0 8 of 64 48.00 -50.00 (-51.00, -49.00) 1.23k 56.8k 1 ±1.0% 0.50 +0.5 50%"
    assert " ".join(rows[1]) == "layer0 40 of 64 97.90 -0.10 (-1.10, +0.90) 1.23k 56.8k 1 ±1.0% 0.50 50%"
    assert len(rows) == 4
    (block,) = [line for line in lines if line.startswith("block")]
    assert block.split() == ["block", "out", "failed", "none"]
    text = " ".join(lines)
    assert "without block failed: PruneError: it does not run" in text
    assert "none, of block: nobody knows." in text
    assert "Latency: measured. Energy: none: no meter." in text
    assert "carry 1 warnings" in text


def test_drift_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the device drifted" not in " ".join(shown(capsys, found()))
    drifted = " ".join(shown(capsys, found(last_s=2.2e-3)))
    assert "changed by +10.0% (+8.5% to +11.6%) from first to last: the device drifted" in drifted


def metered(whole: Measurement, joules: float, indicative: str | None = None) -> Measurement:
    """With joules of which ± 10 % are the meter's scale, and ± 1 % their own."""
    energy = Energy(
        "wattmeter", "all", None, "no baseline", Estimate(2, 2, 2), None, {"gain": 0.1, "repeats": 0.01}, ()
    )
    energy_j = Estimate(joules, 0.9 * joules, 1.1 * joules, indicative)
    return replace(whole, energy_j=energy_j, energy_provenance="measured", energy_reason=None, energy=energy)


def test_a_share_of_the_joules_leaves_out_what_is_off_in_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    without = found()
    assert without.measured
    cuts = [
        replace(cut, measurement=metered(cut.measurement, 1e-3, "of a single window")) if cut.measurement else cut
        for cut in without.cuts
    ]
    whole = [metered(one, joules) for one, joules in zip(without.measured.unpruned, (2e-3, 5e-3, 1e-3), strict=True)]
    both = replace(without, cuts=tuple(cuts), measured=replace(without.measured, unpruned=tuple(whole)))
    share = document(both)["cuts"][0]["energy_share"]
    assert share["ratio"] == pytest.approx(0.5)
    assert share["interval"] == pytest.approx([0.4929, 0.5071], abs=1e-4)
    lines = shown(capsys, both)
    assert next(line for line in lines if line.startswith("layer0")).split()[-4:-2] == ["1", "0.50"]
    assert any("~±10.0%" in line for line in lines)  # wrapped below it
    assert "~: the interval is only indicative; one says: of a single window." in " ".join(lines)


def test_columns_of_what_was_not_measured_are_absent(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(shown(capsys, found(device=False)))
    assert "latency, ms" not in text
    assert "mJ" not in text
    assert "no device was named, and nothing is estimated" in " ".join(text.split())


@pytest.mark.parametrize(
    ("count", "text"), [(None, ""), (999, "999"), (1000, "1k"), (999_960, "1M"), (25_557_032, "25.6M")]
)
def test_counts_have_three_digits(count: int | None, text: str) -> None:
    assert compact(count) == text


def test_points_have_a_sign() -> None:
    assert [points(change) for change in (None, 0.01, -0.0123)] == ["", "+1.00", "-1.23"]


def texts(file: Path) -> list[str]:
    """The texts of an SVG, which draws letters as curves and says in a comment what they are."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", file.read_text())]


def drawn(tmp_path: Path, what: dict[str, Any]) -> list[str]:
    draw(what, tmp_path / "figure.svg")
    return texts(tmp_path / "figure.svg")


def test_the_picture_says_what_it_shows(tmp_path: Path) -> None:
    written = drawn(tmp_path, document(found()))
    assert "net on board: each part cut alone, by l2, and not fine-tuned (2,000 validation examples)" in written
    assert "points of the metric lost, of 98.0 (logarithmic beyond ±1)" in written
    assert "share of the 2 ms left (measured)" in written
    assert {"layer0", "layer1", "block", "the whole block taken out", "share of channels kept"} <= set(written)
    assert "not all shown: 1 of the networks failed" in written
    without = drawn(tmp_path, document(found(device=False)))
    assert "share of the multiply-accumulates left (counted)" in without
    assert not any(" ms " in text for text in without)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_document_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    what = document(found())
    for name in "ab":
        draw(what, tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_every_one_of_many_parts_has_its_row(tmp_path: Path) -> None:
    written = drawn(tmp_path, document(found(12, prefix="a.very.long.name.of.a.module.in.a.network.")))
    assert sum(text.startswith("…") for text in written) == 12
    assert "…f.a.module.in.a.network.11" in [f"…{text[-26:]}" for text in written]


def test_names_from_elsewhere_do_no_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = found(1, prefix="$x_1$\x1b[2J")
    assert "\x1b" not in "\n".join(shown(capsys, hostile))
    assert "$x_1$\\x1b[2J0" in drawn(tmp_path, all_visible(document(hostile)))
