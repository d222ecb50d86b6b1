"""A Joulescope's joules, by what the makers' driver publishes: both of its generations, all three models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from joulefront.bench import meters
from joulefront.config import Plugin
from joulefront.errors import MeterError
from joulefront.records import Stretch
from joulescopes import SUMS_S, Instrument

MODELS = ["js110", "js220", "js320"]


def rising(wall_s):
    """A power that makes it matter when a window begins: 1 W a second."""
    return wall_s - 1_800_000_098.0


def opened(**arguments):
    plugin = Plugin(kind="joulescope", **arguments)
    return meters.build(plugin, folder=Path(), where="device board: [meter]")


def recorded(plugged, meter, window_s=2.0, *, lead_s=0.6, edges_s=1e-4):
    """The stretch of so many seconds that was recorded, and what the wall clock was when it began."""
    meter.begin()
    plugged.pass_by(lead_s)
    begin_s, wall_s = plugged.raw_s, plugged.now_s
    plugged.pass_by(window_s)
    stretch = Stretch(begin_s, plugged.raw_s, edges_s, 50, None, 4)
    plugged.pass_by(0.1)
    meter.end()
    return stretch, wall_s


@pytest.mark.parametrize("generation", ["2.2", "2.5"])
@pytest.mark.parametrize("model", MODELS)
def test_streamed_power_times_time_is_the_energy_of_the_very_window(plug, model, generation):
    plugged = plug(Instrument(f"u/{model}/000123", power_w=rising, ppm=40), generation=generation)
    with_meter = opened()
    stretch, begin_s = recorded(plugged, with_meter)
    window = with_meter.energy(stretch)
    assert window.energy_j == pytest.approx(2.0 * rising(begin_s + 1.0), rel=1e-4)
    assert (window.window_s, window.inferences, window.gain) == (pytest.approx(2.0, abs=1e-5), 50, None)
    assert window.period_s == pytest.approx(1e-4, rel=1e-3)
    # What the clocks of the device, the host and the instrument leave open.
    assert window.edges_s == pytest.approx(1e-4 + 1e-3, rel=0.01)
    assert with_meter.name == f"joulescope:u/{model}/000123"
    assert with_meter.provenance == "measured"


@pytest.mark.parametrize("model", MODELS)
def test_the_instruments_own_sums_are_enough_for_a_window_that_is_long_against_them(plug, model):
    plugged = plug(Instrument(f"u/{model}/000123", power_w=rising))
    meter = opened(mode="statistics")
    stretch, begin_s = recorded(plugged, meter, 10.0)
    window = meter.energy(stretch)
    assert window.energy_j == pytest.approx(10.0 * rising(begin_s + 5.0), rel=1e-3)
    assert window.period_s == pytest.approx(SUMS_S[model])
    # Nothing is streamed, so that a host however busy loses nothing.
    assert "s/p/ctrl" not in plugged.instruments[f"u/{model}/000123"].settings


def test_a_js110_is_asked_for_what_it_summed_up_itself(plug):
    """Its s/stats is summed up on the host from what came over USB, and leaves out what did not."""
    plugged = plug(Instrument("u/js110/000123"))
    opened(mode="statistics")
    settings = plugged.instruments["u/js110/000123"].settings
    assert settings == {"s/i/range/select": "auto", "s/v/range/select": "15 V", "s/sstats/ctrl": 1}


@pytest.mark.parametrize("model", ["js220", "js320"])
def test_the_current_is_measured_which_it_is_not_unless_it_is_asked_for(plug, model):
    """The instrument's own default is to have the current's range off."""
    plugged = plug(Instrument(f"u/{model}/000123"))
    opened()
    settings = plugged.instruments[f"u/{model}/000123"].settings
    assert (settings["s/i/range/mode"], settings["s/v/range/mode"]) == ("auto", "auto")


def test_two_recordings_one_after_the_other_know_nothing_of_each_other(plug):
    plugged = plug(Instrument(power_w=rising))
    meter = opened()
    first, _ = recorded(plugged, meter)
    once = meter.energy(first)
    plugged.pass_by(5.0)
    second, begin_s = recorded(plugged, meter)
    assert meter.energy(second).energy_j == pytest.approx(2.0 * rising(begin_s + 1), rel=1e-4)
    assert once.energy_j < meter.energy(second).energy_j
    with pytest.raises(MeterError, match="told no sums while the window lasted"):
        meter.energy(first)


def spoiled(topic_part, change):
    """A change of the one block in the middle of a recording."""
    seen = []

    def changed(topic, value):
        if topic_part in topic:
            seen.append(value)
            if len(seen) == 30:
                return change(value)
        return value

    return changed


def with_first_sample(value, watts):
    data = value["data"].copy()
    data[7] = watts
    return {**value, "data": data}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spoiled("s/p/", lambda value: None), r"lost samples: none for 0\.0501 s, .* s into the window"),
        (
            spoiled("s/p/", lambda value: with_first_sample(value, np.nan)),
            r"1 of the window's \d+ samples are no numbers",
        ),
        (spoiled("s/p/", lambda value: with_first_sample(value, np.inf)), "no numbers, as beyond its range"),
        (
            spoiled("s/p/", lambda value: {**value, "data": value["data"][:-3]}),
            r"lost samples: none for 0\.0004 s",
        ),
    ],
)
def test_samples_that_are_missing_or_no_numbers_are_no_measurement(plug, change, said):
    one = Instrument(power_w=rising)
    plugged = plug(one)
    one.change = change
    meter = opened()
    stretch, _ = recorded(plugged, meter)
    with pytest.raises(MeterError, match=said):
        meter.energy(stretch)


def test_what_is_spoiled_outside_of_the_window_does_no_harm(plug):
    one = Instrument()
    plugged = plug(one)
    one.change = spoiled("s/p/", lambda value: None)  # the thirtieth block: 1.5 s after the beginning
    meter = opened()
    stretch, _ = recorded(plugged, meter, lead_s=2.0)
    assert meter.energy(stretch).energy_j == pytest.approx(4.0, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spoiled("s/stats", lambda value: None), "some of its sums did not come"),
        (
            spoiled("s/stats", lambda value: {**value, "accumulators": {"energy": {"value": float("nan")}}}),
            "its sums are no numbers",
        ),
        (
            spoiled("s/stats", lambda v: {**v, "time": {**v["time"], "accum_samples": {"value": [5, 6]}}}),
            "began anew.*another program",
        ),
    ],
)
def test_sums_that_are_missing_or_began_anew_are_no_measurement(plug, change, said):
    one = Instrument()
    plugged = plug(one)
    one.change = change
    meter = opened(mode="statistics")
    stretch, _ = recorded(plugged, meter, 5.0)
    with pytest.raises(MeterError, match=said):
        meter.energy(stretch)


@pytest.mark.parametrize("mode", ["stream", "statistics"])
@pytest.mark.parametrize("power_w", [0.0, -2.0])
def test_no_power_through_it_is_an_error_and_not_zero_joules(plug, mode, power_w):
    plugged = plug(Instrument(power_w=lambda wall_s: power_w))
    meter = opened(mode=mode)
    stretch, _ = recorded(plugged, meter)
    with pytest.raises(MeterError, match=r"not supplied through it, or the wires are the wrong way round"):
        meter.energy(stretch)


@pytest.mark.parametrize(
    ("model", "volts", "watts", "said"),
    [
        ("js110", 19.0, 20.0, r"voltage went from 19 to 19 V, and a JS110 measures -1.16 to 16.8 V. docs/wiring.md"),
        ("js110", 5.0, 55.0, r"current went from 11 to 11 A, and a JS110 measures -1.8 to 10.4 A"),
        ("js220", 15.0, 20.0, r"a JS220 measures -15 to 15 V"),
        ("js220", 5.0, 52.0, r"a JS220 measures -10 to 10 A"),
        ("js320", 19.0, 20.0, r"a JS320 measures -15 to 15 V"),
    ],
)
@pytest.mark.parametrize("mode", ["stream", "statistics"])
def test_what_the_model_cannot_measure_is_an_error_with_its_limits(plug, mode, model, volts, watts, said):
    plugged = plug(Instrument(f"u/{model}/000123", volts=volts, power_w=lambda wall_s: watts))
    meter = opened(mode=mode)
    stretch, _ = recorded(plugged, meter)
    with pytest.raises(MeterError, match=said):
        meter.energy(stretch)


@pytest.mark.parametrize("mode", ["stream", "statistics"])
@pytest.mark.parametrize("model", MODELS)
def test_statistics_that_are_missing_hide_nothing(plug, mode, model):
    """What clipped shows there alone."""
    one = Instrument(f"u/{model}/000123")
    plugged = plug(one)
    lost = []
    meter = opened(mode=mode)
    meter.begin()
    plugged.pass_by(1.0)
    begin_s = plugged.raw_s
    plugged.pass_by(1.0)
    one.change = lambda topic, value: lost.append(topic) if "stats" in topic and not lost else value
    plugged.pass_by(2.0)
    stretch = Stretch(begin_s, plugged.raw_s, 1e-4, 50, None, 4)
    plugged.pass_by(0.1)
    meter.end()
    assert lost
    with pytest.raises(MeterError, match="some of its sums did not come"):
        meter.energy(stretch)


@pytest.mark.parametrize("mode", ["stream", "statistics"])
@pytest.mark.parametrize(("model", "amperes", "said"), [("js110", 2.9, 0), ("js110", 3.1, 1), ("js220", 3.1, 0)])
def test_more_current_than_the_maker_recommends_is_a_doubt(plug, mode, model, amperes, said):
    plugged = plug(Instrument(f"u/{model}/000123", volts=5.0, power_w=lambda wall_s: 5.0 * amperes))
    meter = opened(mode=mode)
    stretch, _ = recorded(plugged, meter)
    doubts = meter.energy(stretch).doubts
    assert [doubt.partition(",")[0] for doubt in doubts] == ["the current was above 3 A"] * said


@pytest.mark.parametrize("mode", ["stream", "statistics"])
@pytest.mark.parametrize(("begin_s", "end_s"), [(-5.0, 0.0), (0.0, 5.0)])
def test_a_window_that_was_not_recorded_as_a_whole_is_an_error(plug, mode, begin_s, end_s):
    plugged = plug(Instrument())
    meter = opened(mode=mode)
    stretch, _ = recorded(plugged, meter)
    with pytest.raises(MeterError, match=r"not covered|do not cover"):
        meter.energy(replace(stretch, begin_s=stretch.begin_s + begin_s, end_s=stretch.end_s + end_s))


@pytest.mark.parametrize("model", MODELS)
def test_edges_of_an_input_say_when_the_window_was(plug, model):
    """The device's clock is off by 20 ms; its pin is not."""
    begun_s = 1_800_000_100.0
    # The first statistics come after up to half a second, and the window 0.6 s behind them.
    level = {"begin": 0.0, "end": 0.0}
    one = Instrument(f"u/{model}/000123", power_w=rising, level=lambda at: (level["begin"] <= at) & (at < level["end"]))
    plugged = plug(one)
    meter = opened(gpi=0)
    meter.begin()
    plugged.pass_by(0.5)
    level["begin"] = plugged.now_s + 0.013
    level["end"] = level["begin"] + 1.0
    plugged.pass_by(1.3)
    meter.end()
    begin_raw_s = level["begin"] - plugged.now_s + plugged.raw_s + 0.02
    window = meter.energy(Stretch(begin_raw_s, begin_raw_s + 1.0, 1e-3, 50, None, 4))
    assert window.energy_j == pytest.approx(rising(level["begin"] + 0.5), rel=1e-4)
    assert window.window_s == pytest.approx(1.0, abs=2e-5)
    assert window.edges_s < 2e-5
    assert begun_s < level["begin"]


def test_an_input_that_nobody_raises_is_an_error(plug):
    plugged = plug(Instrument())
    meter = opened(gpi=0)
    stretch, _ = recorded(plugged, meter)
    with pytest.raises(MeterError, match=r"input was to rise once within 0\.05\d* s .* and did 0 times\. Is it wired"):
        meter.energy(stretch)


def test_bits_that_are_missing_from_an_input_are_an_error(plug):
    one = Instrument(level=lambda at: at % 1 < 0.5)
    plugged = plug(one)
    one.change = spoiled("s/gpi/", lambda value: None)
    meter = opened(gpi=0)
    stretch, _ = recorded(plugged, meter)
    with pytest.raises(MeterError, match=r"input lost \d+ samples"):
        meter.energy(stretch)


def test_nothing_that_comes_is_an_error(plug):
    one = Instrument()
    plugged = plug(one)
    meter = opened()
    one.change = lambda topic, value: None
    with pytest.raises(MeterError, match="sends nothing under u/js220/000123/s/stats/value: is it still plugged in"):
        meter.begin()
    assert not plugged.heard


def test_one_that_is_unplugged_meanwhile_is_an_error(plug):
    one = Instrument()
    plugged = plug(one)
    meter = opened()
    meter.begin()
    one.change = lambda topic, value: None
    plugged.pass_by(1.0)
    with pytest.raises(MeterError, match="sends no more"):
        meter.end()
    assert not plugged.heard


@pytest.mark.parametrize("off_s", [-3, 3])
def test_times_that_are_none_of_this_hosts_are_an_error(plug, off_s):
    one = Instrument()
    plugged = plug(one)
    moved = {**one.time_map, "offset_time": one.time_map["offset_time"] + (off_s << 30)}
    one.change = lambda topic, value: {**value, "time_map": moved} if "s/p/" in topic else value
    meter = opened()
    stretch, _ = recorded(plugged, meter)
    with pytest.raises(MeterError, match=r"come -?[23].* s after they were taken.* its clock and this host's differ"):
        meter.energy(stretch)


def test_an_instrument_whose_time_is_behind_says_so_in_the_edges(plug):
    """As a JS220's does that has run for an hour, whose driver took the time once: 20 millionths are 72 ms."""
    one = Instrument(power_w=rising)
    plugged = plug(one)
    behind = {**one.time_map, "offset_time": one.time_map["offset_time"] - round(0.072 * 2**30)}
    one.change = lambda topic, value: {**value, "time_map": behind} if "s/p/" in topic else value
    meter = opened()
    stretch, begin_s = recorded(plugged, meter)
    window = meter.energy(stretch)
    true_j = 2.0 * rising(begin_s + 1)
    assert abs(window.energy_j - true_j) == pytest.approx(0.072 * 2, rel=0.05)
    assert window.edges_s == pytest.approx(0.072, rel=0.05)


def test_a_driver_that_learns_the_time_meanwhile_widens_the_edges(plug):
    """The maker's time map may move from block to block."""
    one = Instrument(power_w=rising)
    plugged = plug(one)

    def learning(topic, value):
        moved = round((plugged.now_s - 1_800_000_100.0) * 1e-3 * 2**30)  # 1 ms each second
        if "s/p/" not in topic:
            return value
        return {**value, "time_map": {**value["time_map"], "offset_time": value["time_map"]["offset_time"] - moved}}

    one.change = learning
    meter = opened()
    stretch, begin_s = recorded(plugged, meter)
    window = meter.energy(stretch)
    assert window.edges_s == pytest.approx(1.1e-3 + 2e-3, rel=0.1)
    true_j = 2.0 * rising(begin_s + 1)
    assert abs(window.energy_j - true_j) <= 2 * window.edges_s * rising(begin_s + 2)


def test_a_wall_clock_that_is_set_meanwhile_is_an_error(plug, monkeypatch):
    plugged = plug(Instrument())
    meter = opened()
    meter.begin()
    plugged.pass_by(1.0)
    begin_s = plugged.raw_s
    plugged.pass_by(1.0)
    end_s = plugged.raw_s
    monkeypatch.setattr("joulefront.bench.meters.wall.wall_s", lambda: plugged.now_s + 30.0)
    meter.end()
    with pytest.raises(MeterError, match="wall clock was set by 30 s"):
        meter.energy(Stretch(begin_s, end_s, 1e-4, 1, None, 4))
