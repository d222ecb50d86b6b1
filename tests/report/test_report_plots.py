"""The plots: each point where it was measured, its interval as its bars, and texts that nothing can break out of."""

import json
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import pytest

from joulefront.comparison import compare
from joulefront.errors import ConfigError
from joulefront.front import hypervolume, reference_point
from joulefront.report.comparison_document import document as comparison_document
from joulefront.report.comparison_plots import agreement_plot, comparison_plot, disagreement_plot
from joulefront.report.course_plots import hypervolume_plot, session_plot, widths_plot
from joulefront.report.plots import front_plot, front_plot_3d
from joulefront.results import Results, read
from odd_studies import ODD, hostile
from written import write_study


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read(write_study(tmp_path_factory.mktemp("settled"), fails=lambda number: number == 5))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    """The same networks on two devices, of which the second is 3 times as fast for all and hardly minds conv1."""
    folder = tmp_path_factory.mktemp("two")
    fast = write_study(folder, "fast", device="fast", latency=lambda widths: 1e-7 * (4 + 0.3 * widths["conv2"]))
    return [read(write_study(folder, "slow", device="slow")), read(fast)]


def trace(figure: go.Figure, name: str) -> go.Scatter:
    (found,) = [one for one in figure.data if one.name == name]
    return found


def test_the_front_is_drawn_where_it_was_measured(settled: Results) -> None:
    figure = front_plot(settled)
    front = trace(figure, "front")
    assert list(front.customdata) == [trial.number for trial in settled.front]
    for place, trial in enumerate(settled.front):
        latency_s, error = trial.measurement.latency_s, trial.candidate.score.error
        assert front.x[place] == pytest.approx(latency_s.value * 1e3)
        assert front.y[place] == pytest.approx(error.value * 100)
        assert front.error_x.array[place] == pytest.approx((latency_s.high - latency_s.value) * 1e3)
        assert front.error_x.arrayminus[place] == pytest.approx((latency_s.value - latency_s.low) * 1e3)
        assert front.error_y.array[place] == pytest.approx((error.high - error.value) * 100)
        assert f"<b>trial {trial.number}</b>" in front.hovertext[place]
        assert "ms" in front.hovertext[place]
        assert ", simulated" in front.hovertext[place]
    assert list(trace(figure, "knee").customdata) == [settled.knee.number]
    assert list(trace(figure, "unpruned").customdata) == [settled.unpruned.number]
    assert 5 not in trace(figure, "search").customdata  # it failed
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == (
        "latency, ms (simulated)",
        "validation error, %",
    )


def test_the_border_joins_only_what_nothing_is_better_than_by_value(settled: Results) -> None:
    border = trace(front_plot(settled), "border")
    assert list(border.x) == sorted(border.x)
    assert list(border.y) == sorted(border.y, reverse=True)
    assert len(set(border.y)) == len(border.y)
    assert not [one for one in front_plot(settled, "params", "error").data if one.name == "border"]


def test_other_quantities_are_drawn_on_demand(settled: Results) -> None:
    front = trace(front_plot(settled, "size_b", "test_accuracy"), "front")
    assert front.x[0] == pytest.approx(settled.front[0].artifact.size_b / 1e6)
    assert front.y[0] == pytest.approx(settled.front[0].test.metric * 100)
    assert set(front.error_x.array) == {0.0}  # what is counted has no interval
    with pytest.raises(ConfigError, match="no quantity is called 'latency'; did you mean 'latency_s'"):
        front_plot(settled, "latency")


def test_limits_are_drawn(settled: Results) -> None:
    limits = settled.study.limits.model_copy(update={"latency_s": 2e-5})
    figure = front_plot(replace(settled, study=settled.study.model_copy(update={"limits": limits})))
    assert [line.x0 for line in figure.layout.shapes] == [pytest.approx(0.02)]


def test_the_third_axis_is_energy_or_else_parameters(settled: Results, tmp_path: Path) -> None:
    assert front_plot_3d(settled).layout.scene.zaxis.title.text == "parameters"
    energy = ODD["energy"](tmp_path)
    figure = front_plot_3d(energy)
    assert figure.layout.scene.zaxis.title.text == "energy, mJ (simulated)"
    front = trace(figure, "front")
    assert list(front.z) == pytest.approx([trial.objectives["energy_j"] * 1e3 for trial in energy.front])
    assert front.error_z.array[0] == pytest.approx(
        (energy.front[0].intervals["energy_j"][1] - energy.front[0].objectives["energy_j"]) * 1e3
    )


@pytest.mark.parametrize("energy", [False, True])
def test_the_hypervolume_is_that_of_all_so_far(energy: bool, tmp_path: Path) -> None:
    results = read(write_study(tmp_path, energy=energy, settled=False, fails=lambda number: number == 5))
    searched = [trial for trial in results.trials if trial.fidelity == "screen"]
    point = reference_point(searched[0], results.objectives)  # the unpruned network is the first
    (drawn,) = hypervolume_plot(results).data
    for count in (1, 7, 15, len(searched)):
        ran = [trial for trial in searched[:count] if trial.failure is None]
        assert drawn.y[count - 1] == pytest.approx(hypervolume(ran, point).value)
    assert list(drawn.x) == list(range(1, 25))


def test_what_there_is_nothing_to_draw_of_is_not_drawn(settled: Results, tmp_path: Path) -> None:
    assert hypervolume_plot(ODD["no unpruned network"](tmp_path / "a")) is None
    nothing = ODD["nothing yet"](tmp_path / "b")
    assert widths_plot(nothing) is None
    assert session_plot(nothing) is None
    unread = {"after": {"temperature_c": None}}
    blind = tuple(
        replace(trial, measurement=trial.measurement and replace(trial.measurement, conditions=unread))
        for trial in settled.trials
    )
    assert session_plot(replace(settled, trials=blind)) is None


def test_widths_are_shares_of_the_unpruned_ones(settled: Results) -> None:
    (heat,) = widths_plot(settled).data
    for column, trial in enumerate(settled.front):
        kept = settled.space.pruning(trial.genome).widths
        assert [row[column] for row in heat.z] == pytest.approx(
            [kept["conv1"] / 32, kept["conv2"] / 64, kept["fc1"] / 128]
        )


def test_the_session_is_drawn_as_the_device_told_it(settled: Results) -> None:
    temperature, frequency = session_plot(settled).data
    measured = [trial for trial in settled.trials if trial.measurement]
    assert list(temperature.y) == [trial.measurement.conditions["after"]["temperature_c"] for trial in measured]
    assert set(frequency.y) == {1.5}
    assert temperature.x[0] == settled.recorded[measured[0].number].isoformat()


def texts(value: object) -> list[str]:
    """Every text in a figure."""
    if isinstance(value, str):
        return [value]
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for member in members for text in texts(member)]


def test_no_text_of_others_is_markup_to_plotly(tmp_path: Path) -> None:
    results = hostile(tmp_path)
    figures = [front_plot(results), front_plot_3d(results), widths_plot(results), session_plot(results)]
    shown = [text for figure in figures for text in texts(json.loads(figure.to_json()))]
    assert any("&lt;img" in text for text in shown)
    assert not [text for text in shown if "<img" in text or "<a " in text or "\x1b" in text]


def test_fronts_are_overlaid_and_the_same_network_is_joined(two: list[Results]) -> None:
    document = comparison_document(compare(two))
    figure = comparison_plot(document)
    assert [one.name for one in figure.data] == ["slow", "fast"]
    for place, study in enumerate(two):
        drawn = figure.data[place]
        numbers = [
            document["points"][int(one.split("-")[1])]["measured"][study.name]["trial"] for one in drawn.customdata
        ]
        assert sorted(numbers) == sorted(trial.number for trial in study.front)
        assert sorted(drawn.x) == pytest.approx(sorted(trial.objectives["latency_s"] * 1e3 for trial in study.front))
    joints = trace(comparison_plot(document, joined=True), "the same network")
    for begin, end, gap in zip(joints.customdata[::3], joints.customdata[1::3], joints.customdata[2::3], strict=True):
        assert (begin[0], end[0], gap) == ("0", "1", None)
        assert begin.split("-")[1] == end.split("-")[1]


def test_latencies_of_two_devices_are_drawn_against_one_another(two: list[Results]) -> None:
    document = comparison_document(compare(two))
    figure = agreement_plot(document, two, 0, 1)
    drawn = [one for one in figure.data if one.mode == "markers"]
    assert sum(len(one.x) for one in drawn) == document["latency_rank_correlation"]["slow"]["fast"]["networks"]
    of_fronts = trace(figure, "of a front")
    for x, y, key in zip(of_fronts.x, of_fronts.y, of_fronts.customdata, strict=True):
        measured = document["points"][int(key.split("-")[1])]["measured"]
        for value, label in ((x, "slow"), (y, "fast")):
            if measured[label]:
                assert value == pytest.approx(measured[label]["metrics"]["latency_s"] * 1e3)


def test_disagreement_is_drawn_with_its_intervals(two: list[Results]) -> None:
    document = comparison_document(compare(two))
    layers = document["disagreement"]["slow"]["fast"]["layers"]
    (bars,) = disagreement_plot(document, "slow", "fast").data
    ends = [base + length for base, length in zip(bars.base, bars.x, strict=True)]
    assert ends == pytest.approx(sorted(effect["factor"] for effect in layers.values()))
    assert max(bars.error_x.array) > 0
    document["disagreement"]["slow"]["fast"]["layers"] = {}
    assert disagreement_plot(document, "slow", "fast") is None
