"""A study of other objectives than the usual ones: each is a column, an axis, a panel and a word, with its unit."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from joulefront.front import judged
from joulefront.objectives import MACRO, NAMES
from joulefront.records import Estimate, Trial
from joulefront.report import documents, tables
from joulefront.report.axes import AXES, default_axes
from joulefront.report.figure import draw
from joulefront.report.headline import headline
from joulefront.report.hover import hover
from joulefront.report.plots import front_plot, front_plot_3d
from joulefront.report.rows import columns
from joulefront.report.scatter import scatter
from joulefront.report.study_contents import study_contents
from joulefront.report.units import quantities
from joulefront.results import Results, read
from written import write_study

ASKED = ("f1_error", "latency_p99_s", "memory_b", "packed_b")


def whole(trial: Trial) -> Trial:
    """The trial with everything that can be told of one."""
    if not (trial.candidate and trial.artifact and trial.measurement):
        return trial
    error, latency_s = trial.candidate.score.error, trial.measurement.latency_s
    tail = Estimate(2 * latency_s.value, 2 * latency_s.low, 2 * latency_s.high)
    memory_b = Estimate(4e6 * error.value, 3e6 * error.value, 5e6 * error.value)
    score = replace(trial.candidate.score, loss=3 * error.value, macro=dict.fromkeys(MACRO, error))
    told = replace(
        trial,
        candidate=replace(trial.candidate, score=score),
        artifact=replace(trial.artifact, packed_b=int(1e6 * latency_s.value * 1e5)),
        measurement=replace(trial.measurement, latency_p99_s=tail, memory_b=memory_b),
    )
    return judged(told, ASKED, {"memory_b": 1e9})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    study = read(write_study(tmp_path_factory.mktemp("studies"), "odd", count=12))
    facts = {**study.facts, "objectives": {"names": list(ASKED)}}
    return replace(study, facts=facts, trials=tuple(map(whole, study.trials)))


def test_every_objective_has_an_axis() -> None:
    assert set(NAMES) < set(AXES)
    assert quantities({"loss": 0.25, "memory_b": 4.5e6, "f1_error": 0.0321, "macs": 12345.0}) == (
        "loss 0.25, memory 4.5 MB, F1 error 3.21 %, MACs 12,345"
    )


def test_the_table_has_a_column_for_each(results: Results) -> None:
    file = io.StringIO()
    Console(width=200, file=file).print(tables.front(documents.front(results)))
    text = file.getvalue()
    for heading in ("F1 error, %", "latency p99, ms", "memory, MB", "packed, MB"):
        assert heading in text
    assert results.knee
    memory = AXES["memory_b"].bare(results.knee.objectives["memory_b"])
    assert f"{memory} ±25.0%" in text


def test_a_measurement_has_one_99th_percentile_or_none(results: Results) -> None:
    found = results.front[0].measurement
    assert found is not None
    assert found.latency_p99_s is not None
    many = replace(found, repeats_s=((1e-3,) * 2000, (1e-3,) * 50))
    document = documents.measurement("board", many)
    assert document["latency_s"]["p99"] == document["latency_p99_s"]["median"] == found.latency_p99_s.value
    # Of many samples, too, where one repeat has too few.
    document = documents.measurement("board", replace(many, latency_p99_s=None, latency_p99_reason="50 of one"))
    assert (document["latency_s"]["p99"], document["latency_p99_reason"]) == (None, "50 of one")


def test_the_document_has_all_of_them_in_si_units(results: Results) -> None:
    point = documents.front(results)["front"][0]
    trial = results.front[0]
    assert {name: point["metrics"][name] for name in ASKED} == trial.objectives
    assert point["metrics"]["loss"] == trial.candidate.score.loss  # type: ignore[union-attr]
    assert point["provenance"]["memory_b"] == point["provenance"]["latency_p99_s"] == "simulated"
    assert point["intervals"]["memory_b"] == list(trial.intervals["memory_b"])


def test_rows_have_them_with_their_intervals(results: Results) -> None:
    rows = {column.name: column for column in columns(results)}
    at = next(index for index, trial in enumerate(results.trials) if trial.failure is None)
    trial = results.trials[at]
    assert trial.measurement
    assert trial.measurement.memory_b
    assert rows["memory_b_high"].values[at] == trial.measurement.memory_b.high
    for name in ASKED:
        assert rows[name].values[at] == trial.objectives[name]


def test_plots_are_over_what_the_study_minimises(results: Results, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert default_axes(results) == ("latency_p99_s", "f1_error")
    flat, deep = front_plot(results), front_plot_3d(results)
    assert (flat.layout.xaxis.title.text, flat.layout.yaxis.title.text) == (
        "latency p99, ms (simulated)",
        "F1 error (validation), %",
    )
    assert deep.layout.scene.zaxis.title.text == "peak memory, MB (simulated)"
    assert "F1 error, %; latency p99, ms, simulated" in scatter(results, 100, 20).plain
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    draw([results], tmp_path / "x.svg")
    panels = drawn[0].axes
    assert panels[0].get_ylabel() == "F1 error (validation), %"
    assert [panel.get_xlabel() for panel in panels] == [
        "99th percentile of the latency of one inference, ms (simulated; logarithmic)",
        "peak memory, MB (simulated; logarithmic)",
        "packed library, MB (logarithmic)",
    ]


def test_words_name_them(results: Results) -> None:
    assert results.knee
    assert "latency p99" in headline(results)
    assert "packed library" in headline(results)
    assert "peak memory" in hover(results, results.knee)
    contents = study_contents(results)
    assert contents["provenance"]["memory_b"] == "simulated"
    assert set(ASKED) <= {axis["name"] for axis in contents["axes"]}
