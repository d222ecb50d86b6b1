"""Recordings that are replayed, the model of the processor's use, the wall clock, and what is found on this host."""

import sys

import numpy as np
import pytest

from joulefront.bench import meters
from joulefront.bench.meters.cpu_model import CpuModel
from joulefront.bench.meters.recordings import recording
from joulefront.bench.meters.replay import Replay
from joulefront.bench.meters.trace import Trace
from joulefront.bench.meters.wall import Wall
from joulefront.config import Plugin
from joulefront.errors import ConfigError, MeterError
from joulefront.records import Stretch
from joulescopes import Instrument, Plugged

# A trace of power


def trace(watts, times=None, most_step_s=1.5):
    watts = np.asarray(watts, dtype=float)
    return Trace(
        "meter", np.arange(len(watts), dtype=float) if times is None else np.asarray(times), watts, most_step_s
    )


def test_a_window_between_samples_has_their_interpolated_power_at_its_ends():
    # 0, 1, 2, … W at 0, 1, 2, … s: the integral of t from 1.25 to 3.5.
    assert trace([0, 1, 2, 3, 4]).energy_j(1.25, 3.5) == pytest.approx((3.5**2 - 1.25**2) / 2)
    assert trace([0, 1, 2, 3, 4]).energy_j(0.0, 4.0) == pytest.approx(8)
    assert trace([0, 1, 2, 3, 4]).energy_j(2.25, 2.5) == pytest.approx((2.5**2 - 2.25**2) / 2)


@pytest.mark.parametrize(("begin_s", "end_s"), [(-0.1, 2), (2, 4.1), (3, 3), (3, 2), (5, 6)])
def test_a_window_beyond_the_samples_is_not_covered(begin_s, end_s):
    with pytest.raises(MeterError, match=r"meter recorded from 0 to 4 s, and the window is from .*: not covered"):
        trace([1] * 5).energy_j(begin_s, end_s)


def test_no_samples_cover_nothing():
    with pytest.raises(MeterError, match="recorded nothing"):
        trace([]).energy_j(0, 1)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (trace([1, np.nan, 1, 1]), "1 of the window's 4 samples are no numbers"),
        (trace([1, 1, -np.inf, 1]), "1 of the window's 4 samples are no numbers"),
        (trace([1] * 4, [0.0, 1.0, 2.6, 3.0]), r"lost samples: none for 1\.6 s, 0\.5 s into the window"),
        (trace([1] * 4, [0.0, 1.0, 1.0, 3.0], 9.0), "times of its samples do not rise"),
    ],
)
def test_samples_that_are_missing_or_none_are_errors(made, said):
    with pytest.raises(MeterError, match=said):
        made.energy_j(0.5, 2.5)


def test_what_is_bad_beside_the_window_does_no_harm():
    assert trace([np.nan, 2, 2, 2, np.nan]).energy_j(1.0, 3.0) == pytest.approx(4)


# Recordings


@pytest.fixture
def written(tmp_path):
    def write(text, name="power.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_csv_file_begins_when_it_begins(written):
    made = recording(written("time_s,note,power_w\n100.5,a,1\n101.5,b,3\n102.5,c,5\n"))
    assert made.energy_j(0.0, 2.0) == pytest.approx(6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", r"power.csv: its first line is to name the columns time_s and power_w"),
        ("", "its first line is to name"),
        ("time_s,power_w\n1,2\n2,x\n", "power.csv, line 3: expected two numbers"),
        ("time_s,power_w\n1,2\n2\n", "line 3: expected two numbers"),
        ("time_s,power_w\n1,2\n1,2\n", "line 3: time_s does not rise"),
        ("time_s,power_w\n1,2\nnan,2\n", "line 3: time_s does not rise"),
        ("time_s,power_w\n1,2\n", "expected two samples or more, not 1"),
    ],
)
def test_a_csv_file_that_is_wrong_is_named_with_its_line(written, text, said):
    with pytest.raises(ConfigError, match=said):
        recording(written(text))


def test_a_csv_file_with_a_hole_in_it_is_no_measurement_there(written):
    lines = [f"{at / 10},2.0" for at in range(100) if not 50 <= at < 60]
    made = recording(written("\n".join(["time_s,power_w", *lines])))
    assert made.energy_j(0.0, 4.0) == pytest.approx(8)
    with pytest.raises(MeterError, match=r"lost samples: none for 1\.1 s"):
        made.energy_j(4.0, 8.0)


@pytest.mark.parametrize(
    ("name", "said"), [("power.jls", "not a JLS file"), ("power.txt", "expected a .jls file, or a")]
)
def test_a_file_of_another_kind_is_named(written, name, said):
    with pytest.raises(ConfigError, match=said):
        recording(written("time_s,power_w\n1,2\n", name))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.csv: no such file"):
        recording(tmp_path / "none.csv")


@pytest.fixture
def jls(tmp_path):
    """Write signals of one rate, given as names with their samples, into a JLS file by the makers' library."""
    from pyjls import DataType, SignalType, Writer

    def write(*, rate_hz=10_000, **signals):
        with Writer(str(tmp_path / "power.jls")) as writer:
            writer.source_def(source_id=1, name="JS220-000123", vendor="Jetperch", model="JS220")
            for number, (name, parts) in enumerate(signals.items(), start=1):
                writer.signal_def(number, source_id=1, signal_type=SignalType.FSR, data_type=DataType.F32,
                                  sample_rate=rate_hz, name=name)  # fmt: skip
                for first, samples in parts if isinstance(parts, list) else [(0, parts)]:
                    writer.fsr_f32(number, first, np.asarray(samples, dtype=np.float32))
        return tmp_path / "power.jls"

    return write


def test_a_jls_file_with_the_power(jls):
    made = recording(jls(power=np.linspace(0, 4, 40_001)))
    assert made.energy_j(0.5, 3.5) == pytest.approx((3.5**2 - 0.5**2) / 2, rel=1e-4)


def test_a_jls_file_with_current_and_voltage(jls):
    """The mean of the products, not the product of the means."""
    current = np.tile([0.0, 2.0], 500_000)
    made = recording(jls(rate_hz=500_000, current=current, voltage=np.tile([1.0, 5.0], 500_000)))
    assert made.energy_j(0.5, 1.5) == pytest.approx(5.0, rel=1e-6)


def test_a_jls_file_that_lost_samples_is_no_measurement_there(jls):
    made = recording(jls(power=[(0, np.full(20_000, 2.0)), (25_000, np.full(20_000, 2.0))]))
    assert made.energy_j(0.1, 1.9) == pytest.approx(3.6)
    with pytest.raises(MeterError, match=r"\d+ of the window's \d+ samples are no numbers|lost samples"):
        made.energy_j(0.1, 3.0)


def test_a_jls_file_without_power(jls):
    with pytest.raises(ConfigError, match=r"expected a signal called power, or both current and voltage; it has"):
        recording(jls(current=np.ones(1000)))


@pytest.mark.parametrize("model", ["js110", "js220"])
def test_the_makers_own_recorder_and_this_reader_agree_with_the_stand_in(tmp_path, monkeypatch, model):
    """pyjoulescope_driver.Record writes what the stand-in publishes: the shapes of its blocks are those that it expects."""
    from pyjoulescope_driver import Record

    plugged = Plugged(Instrument(f"u/{model}/000123", power_w=lambda wall_s: wall_s - 1_800_000_098.0))
    driver = plugged.driver.Driver()
    driver.open(f"u/{model}/000123")
    accepting = Accepting(driver)
    recorder = Record(accepting, f"u/{model}/000123", signals=["power"])
    recorder.open(str(tmp_path / "power.jls"))
    begin_s = plugged.now_s
    plugged.pass_by(3.0)
    recorder.close()
    energy_j = recording(tmp_path / "power.jls").energy_j(0.5, 2.5)
    assert energy_j == pytest.approx(2 * (begin_s + 1.5 - 1_800_000_098.0), rel=1e-3)


class Accepting:
    """The recorder gives time limits and lists of flags, which Joulefront does not."""

    def __init__(self, driver):
        self._driver = driver

    def subscribe(self, topic, flags, fn):
        self._driver.subscribe(topic, *flags, fn)

    def unsubscribe(self, topic, fn):
        self._driver.unsubscribe(topic, fn)

    def publish(self, topic, value, timeout=None):
        self._driver.publish(topic, value)


def test_a_replay_is_called_simulated_and_begins_anew_each_time(written, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("joulefront.bench.meters.span.clock_gettime", lambda clock: now[0])
    meter = Replay(str(written("time_s,power_w\n0,0\n10,10\n")), covers="a Pi 5's supply")
    assert (meter.provenance, meter.name, meter.covers) == ("simulated", "replay:power.csv", "a Pi 5's supply")
    for begin_s in (1000.0, 5000.0):
        now[0] = begin_s
        meter.begin()
        now[0] += 8
        meter.end()
        assert meter.energy(Stretch(begin_s + 2, begin_s + 4, 0, 1, None, 4)).energy_j == pytest.approx(6)


def test_a_replay_that_is_too_short_is_an_error(written, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("joulefront.bench.meters.span.clock_gettime", lambda clock: now[0])
    meter = Replay(str(written("time_s,power_w\n0,1\n10,1\n")))
    meter.begin()
    now[0] += 60
    meter.end()
    with pytest.raises(MeterError, match="recorded from 0 to 10 s, and the window is from 2 to 40 s"):
        meter.energy(Stretch(1002, 1040, 0, 1, None, 4))


# The model of the processor's use


@pytest.mark.parametrize(("busy_cores", "watts"), [(0.0, 2.0), (1.0, 3.0), (4.0, 6.0), (4.2, 6.0)])
def test_a_line_between_two_powers(monkeypatch, busy_cores, watts):
    now = [1000.0]
    monkeypatch.setattr("joulefront.bench.meters.span.clock_gettime", lambda clock: now[0])
    meter = CpuModel(idle_w=2.0, busy_w=6.0)
    meter.begin()
    now[0] += 20
    meter.end()
    window = meter.energy(Stretch(1001, 1011, 1e-3, 5, busy_cores, 4))
    assert (window.energy_j, meter.provenance) == (pytest.approx(10 * watts), "estimated")


def test_without_the_cores_use_there_is_no_estimate(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("joulefront.bench.meters.span.clock_gettime", lambda clock: now[0])
    meter = CpuModel(idle_w=2.0, busy_w=6.0)
    meter.begin()
    now[0] += 20
    meter.end()
    with pytest.raises(MeterError, match="does not tell how busy its cores were"):
        meter.energy(Stretch(1001, 1011, 1e-3, 5, None, 4))


@pytest.mark.parametrize(("idle_w", "busy_w"), [(3.0, 3.0), (-1.0, 3.0), (0.0, 1.0)])
def test_powers_that_are_none_are_the_users_mistake(tmp_path, idle_w, busy_w):
    with pytest.raises(ConfigError, match=r"device x: \[meter\] cpu-model: expected 0 < idle_w < busy_w"):
        meters.build(Plugin(kind="cpu-model", idle_w=idle_w, busy_w=busy_w), folder=tmp_path, where="device x: [meter]")


def test_a_kind_that_is_none_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"device x: \[meter\] unknown kind 'joulscope'; did you mean 'joulescope'"):
        meters.build(Plugin(kind="joulscope"), folder=tmp_path, where="device x: [meter]")


# The wall clock


@pytest.fixture
def clocks(monkeypatch):
    """The raw clock and the wall clock, as they are."""
    now = {"raw_s": 100.0, "wall_s": 1.8e9}
    monkeypatch.setattr("joulefront.bench.meters.wall.clock_gettime", lambda clock: now["raw_s"])
    monkeypatch.setattr("joulefront.bench.meters.wall.wall_s", lambda: now["wall_s"])
    return now


def test_a_wall_clock_that_is_slewed_is_followed_and_what_is_not_known_is_said(clocks):
    wall = Wall()
    wall.look()
    clocks.update(raw_s=110.0, wall_s=1.8e9 + 10.0 + 0.005)
    wall.look()
    at_s, off_s = wall.at(105.0)
    assert at_s == pytest.approx(1.8e9 + 5.0025, abs=1e-6)
    assert off_s == pytest.approx(0.005, abs=1e-6)


@pytest.mark.parametrize("step_s", [0.02, -0.02, 3600.0])
def test_a_wall_clock_that_was_set_is_an_error(clocks, step_s):
    wall = Wall()
    wall.look()
    clocks.update(raw_s=110.0, wall_s=1.8e9 + 10.0 + step_s)
    wall.look()
    with pytest.raises(MeterError, match="wall clock was set by"):
        wall.at(105.0)


# What is found


def found(kind):
    (one,) = [row for row in meters.survey() if row.kind == kind]
    return one


def test_what_is_plugged_in_is_found(monkeypatch):
    plugged = Plugged(Instrument("u/js220/000123"), Instrument("u/js110/7"))
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", plugged.driver)
    rows = [row for row in meters.survey() if row.kind == "joulescope"]
    assert [(row.name, row.reason) for row in rows] == [
        ("joulescope:u/js110/7", None),
        ("joulescope:u/js220/000123", None),
    ]
    assert plugged.finalized == 1
    # It is not opened, so that nothing is known of it, and what it supplies goes on.
    assert {row.seen.period_s for row in rows} == {None}
    assert all("only where a device's file names it" in row.seen.unseen["period_s"] for row in rows)
    assert not any(one.opened for one in plugged.instruments.values())


def test_what_is_not_plugged_in_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", Plugged().driver)
    row = found("joulescope")
    assert row.reason == "no Joulescope is there"
    assert "99-joulescope.rules" in row.fix
    assert "plugdev" in row.fix


def test_what_is_not_installed_says_how(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", None)
    assert "pip install 'joulefront[joulescope]'" in found("joulescope").fix


def test_a_driver_that_does_not_start_is_no_traceback(monkeypatch):
    plugged = Plugged()
    plugged.driver.Driver = lambda: (_ for _ in ()).throw(RuntimeError("jsdrv_initialize failed 4 IO"))
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", plugged.driver)
    assert "does not start: jsdrv_initialize failed 4 IO" in found("joulescope").reason


def test_what_needs_arguments_says_which():
    assert 'file = "PATH.jls"' in found("replay").fix
    assert "idle_w" in found("cpu-model").fix
    assert found("cpu-model").provenance == "estimated"
