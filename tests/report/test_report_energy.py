"""What reports say of joules: gross and net, in watts and by the joule, how sure, by which meter; and how they came about."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from joulefront.canary import Canary
from joulefront.records import Estimate, Measurement
from joulefront.report import documents, energy, tables
from joulefront.report.axes import AXES, interval, provenance, titled, value
from joulefront.report.headline import headline, remarks
from joulefront.report.hover import hover
from joulefront.report.journey import document as journey
from joulefront.report.journey import lines
from joulefront.report.plots import front_plot
from joulefront.report.rows import columns
from joulefront.report.study_contents import study_contents
from joulefront.results import Results, read
from written import SPACE, measured_trial, write_study


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read(write_study(tmp_path_factory.mktemp("study"), energy=True, count=8))


def measured(**changes: object) -> Measurement:
    found = measured_trial(0, SPACE.full, "full", energy=True).measurement
    assert found is not None
    return replace(found, **changes)  # type: ignore[arg-type]


def said(measurement: Measurement) -> dict[str, str]:
    return dict(energy.rows(energy.document(measurement)))


def test_a_document_has_what_follows_from_the_joules() -> None:
    found = measured(energy_j=Estimate(0.002, 0.001, 0.004), latency_s=Estimate(0.001, 0.0005, 0.002))
    document = documents.measurement("board", found)
    assert document["inferences_per_j"]["median"] == pytest.approx(500)
    assert document["inferences_per_j"]["interval"] == pytest.approx([250, 1000])
    # The two err together: twice the joules are twice the seconds.
    assert document["energy_delay_js"]["median"] == pytest.approx(2e-6)
    assert document["energy_delay_js"]["interval"] == pytest.approx([0.5e-6, 8e-6])
    made = document["energy"]
    assert (made["meter"], made["covers"], made["factor"]) == ("hwmon:ina3221/VDD_IN", "module input VDD_IN", 1.25)
    assert (made["power_w"]["median"], made["idle_w"]["median"]) == (3.0, 1.0)
    assert (len(made["windows"]), len(made["baselines"])) == (5, 2)
    assert document["provenance"]["net_j"] == document["provenance"]["energy_delay_js"] == "simulated"


def test_what_an_earlier_version_recorded_still_shows() -> None:
    document = energy.document(measured(energy=None))
    assert document["energy"] is None
    assert document["energy_reason"] == "the version that recorded it did not tell"
    words = said(measured(energy=None))
    assert words["energy"].endswith("an inference, gross, simulated")
    assert words["meter"] == "not known: the version that recorded it did not tell"
    assert "net" not in words


def test_without_a_meter_there_is_a_reason_and_no_zero() -> None:
    none = measured(energy_j=None, energy=None, energy_provenance=None, energy_reason="no sensor")
    document = energy.document(none)
    assert document["energy_reason"] == document["reason"] == "no sensor"
    assert document["inferences_per_j"] is document["energy_delay_js"] is None
    assert energy.rows(document) == [("energy", "none: no sensor")]


def test_what_reading_the_meter_cost_is_said() -> None:
    made = measured().energy
    assert made is not None
    windows = tuple(replace(window, cost_s=0.05) for window in made.windows)  # of 10 s each
    words = said(measured(energy=replace(made, windows=windows)))
    assert words["reading it"] == "took 0.50% of a core meanwhile: that is in the joules"
    free = tuple(replace(window, cost_s=0.0) for window in made.windows)
    assert "reading it" not in said(measured(energy=replace(made, windows=free)))


def test_net_joules_that_are_not_known_say_why() -> None:
    made = measured().energy
    assert made is not None
    words = said(measured(energy=replace(made, net_j=None, net_reason="screening has no baselines", idle_w=None)))
    assert words["net"] == "none: screening has no baselines"
    assert "idle" not in words["power"]


def test_words_tell_the_meter_its_factor_the_windows_and_the_parts() -> None:
    words = said(measured())
    assert (
        words["meter"] == "hwmon:ina3221/VDD_IN: module input VDD_IN; joules multiplied by 1.25, as it was calibrated"
    )
    assert words["windows"] == "5 of 10 s, 2 idle ones of 5 s"
    assert words["interval from"].startswith("repeats 1.00%, edges 0.10%, gain 9.95%")
    assert words["power"].startswith("3 W, 95 % interval 2.7 to 3.3 W; idle 1 W")
    assert "scale" not in words


def test_each_reason_for_doubt_is_told_once() -> None:
    made = measured().energy
    assert made is not None
    assert made.net_j is not None
    assert made.idle_w is not None
    why = "two idle windows are too few"
    doubted = replace(made, net_j=replace(made.net_j, indicative=why), idle_w=replace(made.idle_w, indicative=why))
    rows = energy.rows(energy.document(measured(energy=doubted)))
    assert [text for label, text in rows if label == "indicative"] == [why]
    assert "indicative interval" in dict(rows)["net"]


def test_a_measurement_is_told_line_by_line() -> None:
    sizes = {"size_b": 1e6, "packed_b": 5e5, "kernels": None, "kernels_reason": "not told", "fallbacks": None}
    document = {**documents.measurement("board", measured(warnings=("one doubt " * 20,))), **sizes}
    file = io.StringIO()
    Console(width=100, file=file, markup=False).print(tables.measurement(document))
    lines = file.getvalue().splitlines()
    labels = [line.split("  ")[0] for line in lines if not line.startswith(" ")]
    for label in ("latency", "energy", "net", "power", "per joule", "energy-delay", "meter", "windows", "warning"):
        assert label in labels
    # What is long goes on below itself.
    assert all(len(line) <= 100 for line in lines)


def test_a_gain_that_nobody_states_is_said_to_be_left_out() -> None:
    made = measured().energy
    assert made is not None
    parts = {"repeats": 0.01, "edges": 0.001}
    assert "not in the interval" in said(measured(energy=replace(made, parts=parts, factor=1.0)))["scale"]
    assert "scale" not in said(measured(energy=replace(made, parts={**parts, "calibration": 0.01})))
    assert "multiplied" not in said(measured(energy=replace(made, factor=1.0)))["meter"]


def test_an_interval_without_an_end_is_none_and_is_said_to_be_none() -> None:
    document = energy.document(measured(energy_j=Estimate(0.002, 0.0, float("inf"))))
    assert document["energy_j"]["interval"] == [0.0, None]
    json.dumps(document, allow_nan=False)
    assert "no interval" in dict(energy.rows(document))["energy"]


def test_an_indicative_interval_is_marked_wherever_it_stands(results: Results) -> None:
    why = "the device drifted"
    trial = results.front[0]
    assert trial.measurement is not None
    doubted = replace(trial.measurement.latency_s, indicative=why)
    changed = replace(trial, measurement=replace(trial.measurement, latency_s=doubted))
    point = documents.point(changed)
    assert point["indicative"] == {"latency_s": why}
    assert "~±" in tables._milli(point, "latency_s", 4)
    assert "~±" not in tables._milli(point, "energy_j", 3)
    assert "interval indicative" in hover(results, changed)
    among = replace(results, trials=tuple(changed if one is trial else one for one in results.trials))
    whole = next(one for one in study_contents(among)["trials"] if one["trial"] == trial.number)
    assert whole["indicative"]["latency_s"] == why
    column = next(column for column in columns(among, [changed]) if column.name == "indicative")
    assert column.values == (f"latency_s: {why}",)


def test_estimated_joules_carry_the_word_in_tables_plots_and_figures(results: Results) -> None:
    estimated = tuple(
        replace(trial, measurement=trial.measurement and replace(trial.measurement, energy_provenance="estimated"))
        for trial in results.trials
    )
    among = replace(results, trials=estimated)
    assert titled(AXES["energy_j"], among.trials) == "energy, mJ (estimated)"
    assert front_plot(among, "energy_j", "latency_s").layout.xaxis.title.text == "energy, mJ (estimated)"
    assert provenance(estimated[0], "inferences_per_j") == "estimated"
    # Its latency was simulated.
    assert provenance(estimated[0], "energy_delay_js") == "simulated"
    assert documents.front(among)["front"][0]["provenance"]["power_w"] == "estimated"


def test_a_trial_s_journey_and_its_page_tell_the_same(results: Results) -> None:
    number = results.front[0].number
    told = dict(energy.rows(journey(results, number)["measurement"]))
    page = next(trial for trial in study_contents(results)["trials"] if trial["trial"] == number)
    assert [label for label, _ in page["energy"]] == list(told)
    text = lines(journey(results, number))
    for label in ("net", "power", "per joule", "energy-delay", "meter", "windows"):
        assert f"\n{label}" in text


def test_repeats_that_were_set_aside_are_told_with_their_reasons(results: Results) -> None:
    trial = results.front[0]
    assert trial.measurement is not None
    why = ("the processor was throttled",)
    changed = replace(trial, measurement=replace(trial.measurement, set_aside=why))
    among = replace(results, trials=tuple(changed if one is trial else one for one in results.trials))
    assert documents.point(changed)["set_aside"] == list(why)
    assert "no measurement: the processor was throttled" in lines(journey(among, trial.number))


def test_derived_figures_are_axes_and_columns(results: Results) -> None:
    trial = results.front[0]
    joules = value(trial, "energy_j")
    assert joules is not None
    assert value(trial, "inferences_per_j") == pytest.approx(1 / joules)
    assert interval(trial, "net_j") is not None
    names = {column.name for column in columns(results)}
    assert {
        "net_j",
        "net_j_low",
        "power_w",
        "inferences_per_j",
        "energy_delay_js",
        "idle_w",
        "meter",
        "meter_factor",
    } <= names


def test_the_folder_s_card_has_them_too(tmp_path: Path) -> None:
    from joulefront.export import card

    found = card._energy(measured())
    assert found is not None
    assert found["windows"] == 5
    assert found["net_j"]["provenance"] == found["energy_delay_js"]["provenance"] == "simulated"
    assert card._energy(measured(energy=None)) is None


def test_drift_of_the_reference_is_loud_and_is_in_the_documents(results: Results) -> None:
    quiet = Canary(4, "screen", 0, "2026-01-01T00:00:00+00:00", Estimate(1.001, 0.99, 1.012), None, "simulated")
    drifted = replace(quiet, before=7, latency=Estimate(1.08, 1.06, 1.1), energy=Estimate(1.02, 0.99, 1.05))
    still, moved = replace(results, canaries=(quiet,)), replace(results, canaries=(quiet, drifted))
    assert documents.front(results)["drift"] == []
    assert (
        "",
        "The reference was measured again once, and no drift was seen: 1.001 to 1.001 times its first latency.",
    ) in (remarks(still))
    (loud,) = [text for kind, text in remarks(moved) if kind == "loud" and "drifted" in text]
    assert "2 times, and differed once beyond the intervals, by a factor of 1.08 before trial 7" in loud
    document = documents.front(moved)["drift"]
    assert [again["apart"] for again in document] == [[], ["latency_s"]]
    assert document[1]["latency_ratio"]["interval"] == [1.06, 1.1]
    assert document[0]["energy_ratio"] is None
    rows = dict(next(part["rows"] for part in study_contents(moved)["made"] if part["title"] == "Measuring"))
    assert "by a factor of 1.08" in rows["drift"]


def test_a_study_says_which_meter_and_what_it_covers(results: Results) -> None:
    assert documents.front(results)["meter"] == {
        "name": "hwmon:ina3221/VDD_IN",
        "covers": "module input VDD_IN",
        "factor": 1.25,
    }
    rows = dict(next(part["rows"] for part in study_contents(results)["made"] if part["title"] == "Meter"))
    assert rows == {
        "meter": "hwmon:ina3221/VDD_IN",
        "covers": "module input VDD_IN",
        "joules are": "simulated",
        "multiplied by": "1.25, as it was calibrated",
    }


def test_estimated_joules_are_loud(results: Results) -> None:
    trials = tuple(
        replace(one, measurement=one.measurement and replace(one.measurement, energy_provenance="estimated"))
        for one in results.trials
    )
    among = replace(results, trials=trials)
    assert "of the unpruned network's estimated energy" in headline(among)
    assert any("computed by a model" in text for kind, text in remarks(among) if kind == "loud")
