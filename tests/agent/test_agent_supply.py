"""Batteries and chargers: what flows, and what does not."""

import pytest
from fake_machine import write
from fake_sensors import LAPTOP, supply, unusable

from joulefront_agent import sensors
from joulefront_agent.sensors import probe


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(probe, "_LIMIT_S", 0.01)


@pytest.mark.parametrize("current", [640_000, -640_000])
def test_a_battery_gives_what_is_taken_whatever_its_drivers_sign(tmp_path, current):
    root = write(tmp_path, {**LAPTOP, "sys/class/power_supply/BAT0/current_now": current})
    assert sensors.find(root, "supply:BAT0")[0]._source.read() == pytest.approx(12.1 * 0.64)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_a_battery_that_is_not_discharged_is_no_meter(tmp_path, status):
    root = write(tmp_path, {**LAPTOP, "sys/class/power_supply/BAT0/status": status})
    found = unusable(root, "supply:BAT0")
    assert found.reason.startswith(f"it is {status}: only what a discharging battery gives")
    assert found.fix == "unplug the charger, and measure on battery"


def test_a_charger_that_is_plugged_in_meanwhile_ends_it(tmp_path):
    root = write(tmp_path, LAPTOP)
    read = sensors.find(root, "supply:BAT0")[0]._source.read
    (root / "sys/class/power_supply/BAT0/status").write_text("Charging\n")
    with pytest.raises(ValueError, match="the battery is Charging"):
        read()


@pytest.mark.parametrize("files", [{}, {"usb_type": "[C] PD PD_PPS"}, {"usb_type": "C [PD] PD_PPS"}])
def test_what_was_negotiated_is_no_measurement(tmp_path, files):
    name = "ucsi-source-psy-USBC000:001" if "PD]" not in str(files) else "usb-c"
    tree = supply(name, type="USB", voltage_now=20_000_000, current_now=3_250_000, **files)
    found = unusable(write(tmp_path, tree), f"supply:{name}")
    assert found.reason == "it tells what was negotiated with the charger, not what flows"


@pytest.mark.parametrize("kind", ["USB", "USB_DCP", "USB_C", "USB_PD", "USB_PD_DRP"])
@pytest.mark.parametrize("name", ["ucsi-source-psy-USBC000:001", "tcpm-source-psy-4-0022"])
def test_an_older_kernels_types_of_usb_are_no_measurement_either(tmp_path, kind, name):
    tree = supply(name, type=kind, voltage_now=5_000_000, current_now=3_000_000)
    found = unusable(write(tmp_path, tree), f"supply:{name}")
    assert found.reason == "it tells what was negotiated with the charger, not what flows"


def test_a_chip_that_measures_what_comes_in_by_usb_is_a_meter(tmp_path):
    tree = supply("bq25890", type="USB_DCP", voltage_now=5_000_000, current_now=3_000_000)
    assert sensors.names(write(tmp_path, tree)) == ["supply:bq25890"]


def test_a_peripherals_battery_is_not_the_machines(tmp_path):
    assert "a peripheral's" in unusable(write(tmp_path, LAPTOP), "supply:hidpp_battery_0").reason


def test_no_supply_is_auto(tmp_path):
    root = write(tmp_path, supply("BAT0", type="Battery", status="Discharging", power_now=9_000_000))
    assert sensors.names(root) == ["supply:BAT0"]
    assert sensors.find(root, "supply:BAT0")[0]._source.read() == 9.0
    assert sensors.find(root, "auto")[0] is None
