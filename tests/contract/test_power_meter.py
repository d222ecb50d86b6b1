"""What every PowerMeter has to do, also one of the user's own."""

import math
import sys
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from adding_a_meter import LIBRARIES, written
from joulefront.bench import metering, meters
from joulefront.config import Plugin
from joulefront.errors import MeterError
from joulefront.protocols import PowerMeter
from joulefront.records import Stretch
from joulescopes import Instrument, Plugged
from turns import Turns

WATTS = 2.0
WINDOW_S = 4.0


@dataclass
class Subject:
    """A meter that sees 2 W, and what lets time pass for it."""

    meter: PowerMeter
    now_s: object
    wait: object

    def recorded(self):
        self.meter.begin()
        self.wait(WINDOW_S / 4)
        begin_s = self.now_s()
        self.wait(WINDOW_S)
        stretch = Stretch(begin_s, self.now_s(), 1e-3, 7, 2.0, 4)
        self.wait(WINDOW_S / 4)
        self.meter.end()
        return stretch


def made(patch, folder, kind, **arguments):
    turns = Turns(patch)
    meter = meters.build(Plugin(kind=kind, **arguments), folder=folder, where="[meter]")
    return Subject(meter, turns.now_s, turns.pass_by)


def joulescope(patch, folder, watts=lambda: WATTS, **arguments):
    plugged = Plugged(Instrument(power_w=lambda wall_s: watts()))
    patch.setitem(sys.modules, "pyjoulescope_driver", plugged.driver)
    plugged.in_virtual_time(patch)
    meter = meters.build(Plugin(kind="joulescope", **arguments), folder=folder, where="[meter]")
    return Subject(meter, lambda: plugged.raw_s, plugged.pass_by)


def csv(patch, folder, watts=lambda: WATTS):
    (folder / "power.csv").write_text("time_s,power_w\n" + "".join(f"{at / 100},{watts()}\n" for at in range(3000)))
    return made(patch, folder, "replay", file=str(folder / "power.csv"))


def jls(patch, folder, watts=lambda: WATTS):
    from pyjls import DataType, SignalType, Writer

    with Writer(str(folder / "power.jls")) as writer:
        writer.source_def(source_id=1, name="JS220-000123")
        writer.signal_def(
            3, source_id=1, signal_type=SignalType.FSR, data_type=DataType.F32, sample_rate=10_000, name="power"
        )
        writer.fsr_f32(3, 0, np.full(300_000, watts(), dtype=np.float32))
    return made(patch, folder, "replay", file=str(folder / "power.jls"))


def third_party(patch, folder, watts, kind, library, **arguments):
    written(folder)
    for name, module in LIBRARIES[library](watts).items():
        patch.setitem(sys.modules, name, module)
    return made(patch, folder, kind, **arguments)


MEASURING = {
    "joulescope, streaming": joulescope,
    "joulescope, its own sums": partial(joulescope, mode="statistics"),
    "replay of a CSV file": csv,
    "replay of a JLS file": jls,
    "ina226": partial(third_party, kind="ina226.py:Ina226", library="smbus2", shunt_ohm=0.01),
    "scpi": partial(third_party, kind="scpi.py:Scpi", library="pyvisa", address="TCPIP::10.0.0.2::INSTR"),
    "ppk2": partial(third_party, kind="ppk2.py:Ppk2", library="ppk2_api", port="/dev/ttyACM0"),
}
"""What follows ``watts()``, whatever that is."""

METERS = {
    **{name: partial(make, watts=lambda: WATTS) for name, make in MEASURING.items()},
    "cpu-model": lambda patch, folder: made(patch, folder, "cpu-model", idle_w=1.0, busy_w=3.0),
}


@pytest.fixture(params=METERS)
def subject(request, tmp_path, monkeypatch):
    subject = METERS[request.param](monkeypatch, tmp_path)
    yield subject
    subject.meter.close()


FAULTS = {"nothing": 0.0, "less than nothing": -WATTS, "no number": math.nan, "without end": math.inf}
NO_NUMBERS = ("no number", "without end")


@pytest.fixture(params=[
    (name, fault)
    for name in MEASURING
    for fault in FAULTS
    # The registers of an INA226 are integers, and what comes over the wire from a PPK2 as well.
    if not (name in ("ina226", "ppk2") and fault in NO_NUMBERS)
], ids="-".join)  # fmt: skip
def faulty(request, tmp_path, monkeypatch):
    name, fault = request.param
    subject = MEASURING[name](monkeypatch, tmp_path, watts=lambda: FAULTS[fault])
    yield subject
    subject.meter.close()


def test_what_is_no_power_of_a_device_that_runs_is_an_error_and_never_nothing(faulty):
    """As the bench asks for it."""
    with pytest.raises(
        MeterError, match=r"told -?\d.* J over \d.* s|no numbers?|beyond|went from .* to .* [VA]|cannot be read"
    ):
        metering.told(faulty.meter, faulty.recorded())


def test_it_says_what_it_is(subject):
    meter = subject.meter
    assert all(isinstance(text, str) and text.strip() for text in (meter.name, meter.covers))
    assert meter.provenance in ("measured", "estimated", "simulated")


def test_it_tells_the_energy_of_a_window_and_how_well_that_is_known(subject):
    stretch = subject.recorded()
    window = subject.meter.energy(stretch)
    length_s = stretch.end_s - stretch.begin_s
    assert window.energy_j == pytest.approx(WATTS * length_s, rel=1e-3)
    assert (window.window_s, window.inferences) == (pytest.approx(length_s, abs=1e-5), 7)
    # Never surer of the edges than whoever asks.
    assert window.edges_s >= stretch.edges_s
    assert min(window.resolution_j, window.period_s, window.cost_s) >= 0
    assert math.isfinite(window.resolution_j + window.period_s)
    assert window.gain is None or window.gain >= 0


def test_half_a_window_has_half_the_energy(subject):
    stretch = subject.recorded()
    half = replace(stretch, end_s=(stretch.begin_s + stretch.end_s) / 2)
    assert subject.meter.energy(half).energy_j == pytest.approx(WATTS * (half.end_s - half.begin_s), rel=1e-3)


@pytest.mark.parametrize(("begin_s", "end_s"), [(-1000.0, 0.0), (0.0, 1000.0), (-2000.0, -1000.0), (1000.0, 2000.0)])
def test_a_window_that_was_not_recorded_as_a_whole_is_an_error(subject, begin_s, end_s):
    stretch = subject.recorded()
    with pytest.raises(MeterError):
        subject.meter.energy(replace(stretch, begin_s=stretch.begin_s + begin_s, end_s=stretch.end_s + end_s))


def test_it_records_again_and_again(subject):
    first, second = subject.recorded(), subject.recorded()
    assert subject.meter.energy(second).energy_j == pytest.approx(WATTS * (second.end_s - second.begin_s), rel=1e-3)
    with pytest.raises(MeterError):
        subject.meter.energy(first)


def test_letting_it_go_twice_does_no_harm(subject):
    subject.meter.close()
    subject.meter.close()
