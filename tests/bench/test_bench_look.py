"""A look at a meter on this host: what shows of its updates, its steps and its reads, and why the rest does not."""

import sys

import pytest

from adding_a_meter import LIBRARIES, written
from joulefront.bench import meters
from joulefront.bench.meters.look import look
from joulefront.config import Plugin
from joulefront.errors import MeterError
from joulefront.records import Stretch
from joulescopes import Instrument, Plugged
from turns import Turns


def recorded(meter, now_s, pass_by):
    """What has ``meter`` record for so many s; how many each time."""
    asked = []

    def window(least_s):
        asked.append(least_s)
        meter.begin()
        pass_by(0.5)
        begin_s = now_s()
        pass_by(least_s)
        stretch = Stretch(begin_s, now_s(), 1e-4, 0, 0.0, 4)
        pass_by(0.5)
        meter.end()
        return meter.energy(stretch)

    return asked, window


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """What a look at one of the page's meters shows, in virtual time in which a read takes 2 ms, and how long it lasted.

    ``watts`` is what it tells at a time in s.
    """
    written(tmp_path)
    turns = Turns(monkeypatch)

    def looked(name, library, watts, **arguments):
        def told():
            turns._now_s += 2e-3
            return watts(turns.now_s())

        for module, made in LIBRARIES[library](told).items():
            monkeypatch.setitem(sys.modules, module, made)
        meter = meters.build(Plugin(kind=name, **arguments), folder=tmp_path, where="[meter]")
        asked, window = recorded(meter, turns.now_s, turns.pass_by)
        return look(meter, window), asked

    return looked


def scpi(seen, watts, **arguments):
    return seen("scpi.py:Scpi", "pyvisa", watts, address="TCPIP::10.0.0.2::INSTR", **arguments)


def test_what_shows_is_what_the_meter_does(seen):
    found, _ = scpi(seen, lambda now_s: 3.0 + 0.25 * (int(now_s / 0.15) % 4), period_s=0.12)
    assert found.period_s == pytest.approx(0.15, abs=0.013)
    assert (found.resolution, found.resolution_unit) == (0.25, "W")
    assert found.read_s == pytest.approx(2e-3)
    assert (found.unseen, found.doubt) == ({}, None)


def test_a_meter_that_is_slower_than_its_class_says_is_doubtful(seen):
    found, _ = scpi(seen, lambda now_s: 3.0 + 0.25 * (int(now_s / 0.2) % 4), period_s=0.1)
    assert found.period_s == pytest.approx(0.2, abs=0.013)
    assert found.doubt == "its class says 100 ms: correct period_s, or the joules' intervals are too narrow"


def test_a_slow_meter_is_looked_at_for_a_dozen_of_its_updates(seen):
    found, asked = scpi(seen, lambda now_s: 3.0 + 0.25 * (int(now_s / 0.5) % 4), period_s=0.5)
    assert asked == [6.0]
    assert found.period_s == pytest.approx(0.5, abs=0.06)


def test_what_is_known_of_its_step_counts_where_it_is_coarser_than_what_showed(seen):
    found, asked = seen("ina226.py:Ina226", "smbus2", lambda now_s: 3.0, shunt_ohm=0.01)
    assert asked == [pytest.approx(12 * 0.141)]
    assert (found.resolution, found.resolution_unit) == (pytest.approx(1.25e-3), "W")


def test_a_value_that_never_changes_tells_neither_period_nor_step(seen):
    found, _ = scpi(seen, lambda now_s: 3.25)
    assert (found.period_s, found.resolution, found.resolution_unit) == (None, None, None)
    assert found.read_s == pytest.approx(2e-3)
    assert found.unseen["period_s"].startswith("its value changed 0 times in 2.2 s")
    assert found.unseen["period_s"].endswith("its class says 100 ms")
    assert "its class says none" in found.unseen["resolution"]


def test_a_meter_that_fails_while_it_is_looked_at_is_an_error(seen):
    with pytest.raises(MeterError, match="no numbers"):
        scpi(seen, lambda now_s: float("nan"))


@pytest.mark.parametrize(
    ("arguments", "period_s"), [({"fs": 5000}, 2e-4), ({"fs": 20_000}, 5e-5), ({"mode": "statistics"}, 0.1)]
)
def test_a_joulescope_shows_how_often_it_sends_and_is_not_asked(tmp_path, monkeypatch, arguments, period_s):
    plugged = Plugged(Instrument())
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", plugged.driver)
    plugged.in_virtual_time(monkeypatch)
    meter = meters.build(Plugin(kind="joulescope", **arguments), folder=tmp_path, where="[meter]")
    found = look(meter, recorded(meter, lambda: plugged.raw_s, plugged.pass_by)[1])
    assert found.period_s == pytest.approx(period_s)
    assert (found.resolution, found.resolution_unit) == (2.0**-31, "J")
    assert (found.read_s, found.unseen) == (None, {"read_s": "nothing is asked: it sends by itself"})


def test_a_model_has_neither_updates_nor_steps_nor_reads(tmp_path, monkeypatch):
    turns = Turns(monkeypatch)
    meter = meters.build(Plugin(kind="cpu-model", idle_w=2.0, busy_w=6.0), folder=tmp_path, where="[meter]")
    found = look(meter, recorded(meter, turns.now_s, turns.pass_by)[1])
    assert (found.period_s, found.resolution, found.resolution_unit, found.read_s) == (None,) * 4
    assert set(found.unseen) == {"period_s", "resolution", "read_s"}
    assert "computed" in found.unseen["read_s"]
