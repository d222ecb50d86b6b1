"""What docs/adding-a-meter.md says, and what becomes of a meter of the user's own that fails."""

import inspect
import math
import re
import sys

import pytest

from adding_a_meter import LIBRARIES, PAGE, written
from joulefront.bench import meters
from joulefront.bench.meters.joulescope import Joulescope
from joulefront.config import Plugin, parse
from joulefront.errors import MeterError
from joulefront.records import Stretch
from joulefront_devices import Device
from turns import Turns

KINDS = {
    "ina226": ("ina226.py:Ina226", "smbus2", {"shunt_ohm": 0.01}),
    "scpi": ("scpi.py:Scpi", "pyvisa", {"address": "TCPIP::10.0.0.2::INSTR"}),
    "ppk2": ("ppk2.py:Ppk2", "ppk2_api", {"port": "/dev/ttyACM0"}),
}


@pytest.fixture
def measuring(tmp_path, monkeypatch):
    """The meter of the page by that name, in virtual time, and a stretch of 4 s measured while it told ``watts``."""
    written(tmp_path)
    turns = Turns(monkeypatch)

    def measured(name, watts, *, window_s=4.0):
        kind, library, arguments = KINDS[name]
        for module, made in LIBRARIES[library](watts).items():
            monkeypatch.setitem(sys.modules, module, made)
        meter = meters.build(Plugin(kind=kind, **arguments), folder=tmp_path, where="[meter]")
        meter.begin()
        turns.pass_by(1.0)
        begin_s = turns.now_s()
        turns.pass_by(window_s)
        end_s = turns.now_s()
        turns.pass_by(1.0)
        meter.end()
        return meter.energy(Stretch(begin_s, end_s, 1e-3, 1, None, 4))

    return measured


def test_the_page_has_a_class_for_each_case_and_each_is_short(tmp_path):
    assert written(tmp_path) == [kind.partition(":")[0] for kind, _, _ in KINDS.values()]
    for name in written(tmp_path):
        assert len((tmp_path / name).read_text().rpartition("\nclass ")[2].splitlines()) <= 30


def test_the_device_file_in_the_page_is_valid():
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    device = parse(f'name = "pi5"\n{table}', Device, source="page")
    assert (device.meter.kind, device.meter.arguments) == ("ina226.py:Ina226", {"shunt_ohm": 0.01})


def test_the_device_files_in_the_page_on_wiring_are_valid():
    page = PAGE.with_name("wiring.md").read_text(encoding="utf-8")
    tables = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    devices = [parse(f'name = "pi5"\n{table}', Device, source="wiring.md") for table in tables]
    assert [sorted(device.meter.arguments) for device in devices] == [["covers", "device"], ["gpi"]]
    assert devices[1].mark == "/sys/class/leds/joulefront/brightness"
    known = set(inspect.signature(Joulescope).parameters)
    assert {key for device in devices for key in device.meter.arguments} <= known
    assert set(re.findall(r"^# (\w+) = ", tables[0], flags=re.MULTILINE)) <= known


@pytest.mark.parametrize(
    ("name", "watts", "said"),
    [
        ("ina226", lambda: 45.0, r"ina226 cannot be read: ValueError: more than 81\.9 mV across the shunt"),
        ("scpi", lambda: 9.91e37, "scpi:MAKER,WT1,0,1 cannot be read: ValueError: the wattmeter has no number"),
        ("scpi", lambda: math.nan, "samples are no numbers"),
        ("ina226", lambda: 0.0, r"told 0 J over 4 s: is the device supplied through it"),
        ("ppk2", lambda: -1.0, r"told -4 J over 4 s"),
    ],
)
def test_a_reading_that_is_none_is_an_error_and_not_zero(measuring, name, watts, said):
    with pytest.raises(MeterError, match=said):
        measuring(name, watts)


def test_a_meter_that_goes_away_is_an_error(measuring):
    calls = []

    def watts():
        calls.append(1)
        if len(calls) > 20:
            raise OSError("[Errno 121] Remote I/O error")
        return 2.0

    with pytest.raises(MeterError, match=r"ina226 cannot be read: OSError: \[Errno 121\]"):
        measuring("ina226", watts)


def test_a_window_of_a_few_samples_is_an_error_that_says_what_to_do(measuring):
    with pytest.raises(MeterError, match=r"5 samples in the window are too few; give it longer windows"):
        measuring("ina226", lambda: 2.0, window_s=0.7)


def test_what_the_meter_claims_travels_with_its_joules(measuring):
    window = measuring("ina226", lambda: 2.0)
    assert window.gain == 0.01
    assert window.period_s == 0.141
    assert window.resolution_j == pytest.approx(4 * 5 * 2.5e-6 / 0.01)
