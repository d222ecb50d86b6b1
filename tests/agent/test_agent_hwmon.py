"""Which meters a board's hwmon has, and which one a name stands for: from trees such as the boards have."""

import math
from dataclasses import replace

import pytest
from fake_machine import (
    GRAPHICS_CARD,
    JETSON_AGX_ORIN,
    JETSON_ORIN_NANO,
    PERIPHERALS,
    RASPBERRY_PI_4,
    RASPBERRY_PI_5,
    VIRTUAL_BOARD,
    Rushing,
    chip,
    ina3221,
    write,
    zone,
)
from fake_sensors import BREAKOUT

from joulefront_agent import sensors

SECOND_INA226 = chip(9, "ina226", f"{PERIPHERALS}/0-0045", {"power1_input": 1_000_000})


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (RASPBERRY_PI_5, []),
        (RASPBERRY_PI_4, []),
        (
            JETSON_ORIN_NANO,
            ["hwmon:ina3221/VDD_IN", "hwmon:ina3221/VDD_CPU_GPU_CV", "hwmon:ina3221/VDD_SOC"],
        ),
        (
            JETSON_AGX_ORIN,
            [
                "hwmon:ina3221/VDD_GPU_SOC",
                "hwmon:ina3221/VDD_CPU_CV",
                "hwmon:ina3221/VIN_SYS_5V0",
                "hwmon:ina3221/VDDQ_VDD2_1V8AO",
                "hwmon:ina3221",
            ],
        ),
        (VIRTUAL_BOARD, ["hwmon:ina226", "hwmon:ina3221/1", "hwmon:ina3221/2", "hwmon:ina3221/3"]),
        ({**zone("intel-rapl:0", "package-0"), **GRAPHICS_CARD}, ["rapl", "hwmon:amdgpu"]),
        (
            {**VIRTUAL_BOARD, **SECOND_INA226},
            [
                "hwmon:ina226@0-0041",
                "hwmon:ina226@0-0045",
                "hwmon:ina3221/1",
                "hwmon:ina3221/2",
                "hwmon:ina3221/3",
            ],
        ),
    ],
    ids=["pi 5", "pi 4", "orin nano", "agx orin", "virtual", "pc", "two of a kind"],
)
def test_every_meter_is_listed_and_found_by_its_name(tmp_path, tree, names):
    root = write(tmp_path, tree)
    assert sensors.names(root) == names
    assert [sensors.find(root, name)[0].name for name in names] == names


@pytest.mark.parametrize(
    ("tree", "meter", "name", "covers"),
    [
        (JETSON_ORIN_NANO, "auto", "hwmon:ina3221/VDD_IN", "module input VDD_IN"),
        (JETSON_ORIN_NANO, "hwmon", "hwmon:ina3221/VDD_IN", "module input VDD_IN"),
        (JETSON_ORIN_NANO, "hwmon:ina3221", "hwmon:ina3221/VDD_IN", "module input VDD_IN"),
        (JETSON_ORIN_NANO, "hwmon:ina3221/1", "hwmon:ina3221/VDD_IN", "module input VDD_IN"),
        (JETSON_ORIN_NANO, "hwmon:ina3221/VDD_SOC", "hwmon:ina3221/VDD_SOC", "rail VDD_SOC"),
        (
            JETSON_AGX_ORIN,
            "auto",
            "hwmon:ina3221",
            "rails VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0 without VDDQ_VDD2_1V8AO; not the whole board",
        ),
        (JETSON_AGX_ORIN, "hwmon:ina3221@1-0041/2", "hwmon:ina3221/VDDQ_VDD2_1V8AO", "rail VDDQ_VDD2_1V8AO"),
        (VIRTUAL_BOARD, "auto", "hwmon:ina226", "hwmon ina226: its power1, whatever it is wired to"),
        (
            VIRTUAL_BOARD,
            "hwmon:ina3221/1",
            "hwmon:ina3221/1",
            "hwmon ina3221: its channel 1, whatever it is wired to",
        ),
        ({**zone("intel-rapl:0", "package-0"), **VIRTUAL_BOARD}, "auto", "rapl", "processor packages: package-0"),
    ],
)
def test_what_a_meter_stands_for(tmp_path, tree, meter, name, covers):
    sensor, reason = sensors.find(write(tmp_path, tree), meter)
    assert (sensor.name, sensor.covers, reason) == (name, covers, None)


@pytest.mark.parametrize(
    ("tree", "meter", "power_w"),
    [
        (JETSON_ORIN_NANO, "auto", 4.968 * 0.968),
        (JETSON_AGX_ORIN, "auto", 19.0 * 0.210 + 4.968 * 0.900),
        (VIRTUAL_BOARD, "auto", 3.25),
        (VIRTUAL_BOARD, "hwmon:ina3221/1", 3.24),
        (VIRTUAL_BOARD, "hwmon:ina3221/2", 0.0),
    ],
)
def test_watts(tmp_path, tree, meter, power_w):
    sensor, _ = sensors.find(write(tmp_path, tree), meter)
    assert sensor._source.read() == pytest.approx(power_w)


@pytest.mark.parametrize(
    ("tree", "meter", "said"),
    [
        (
            RASPBERRY_PI_5,
            "auto",
            "no RAPL package zone, as on virtual machines and ARM; hwmon has no chip that measures",
        ),
        (RASPBERRY_PI_5, "hwmon", "energy sensor: hwmon has no chip that measures power and can be read"),
        (RASPBERRY_PI_5, "rapl", "no RAPL package zone"),
        (GRAPHICS_CARD, "auto", "hwmon has no meter of all that the machine takes: name one, of hwmon:amdgpu"),
        (VIRTUAL_BOARD, "none", "the meter is 'none'"),
        (
            VIRTUAL_BOARD,
            "hwmon:ina3221",
            "no meter 'ina3221': name one, of hwmon:ina226, hwmon:ina3221/1, hwmon:ina3221/2",
        ),
        (VIRTUAL_BOARD, "hwmon:ina3221/4", "no meter 'ina3221/4': name one, of hwmon:ina226, hwmon:ina3221/1"),
        (VIRTUAL_BOARD, "hwmon:ina219", "no meter 'ina219': name one, of hwmon:ina226"),
        (VIRTUAL_BOARD, "hwmon:test_battery", "no meter 'test_battery': name one, of hwmon:ina226"),
        (JETSON_AGX_ORIN, "hwmon:ina3221/NC", "hwmon:ina3221/NC: nothing is wired to it: it is labelled NC"),
        (
            JETSON_AGX_ORIN,
            "hwmon:ina3221/2",
            "several meters 'ina3221/2': name one, of hwmon:ina3221/VDD_CPU_CV, hwmon:ina3",
        ),
        (
            {**VIRTUAL_BOARD, **SECOND_INA226},
            "auto",
            "several meters of all that the machine takes: name one, of hwmon:ina226@0-0041, hwmon:ina226@0-0045",
        ),
        (VIRTUAL_BOARD, "joulescope", "not 'joulescope'; this device has hwmon:ina226, hwmon:ina3221/1"),
        (VIRTUAL_BOARD, "hwmon:", "not 'hwmon:'"),
        (RASPBERRY_PI_4, "ina226", "not 'ina226'; this device has none"),
    ],
)
def test_no_sensor_has_a_reason_that_names_what_is_there(tmp_path, tree, meter, said):
    sensor, reason = sensors.find(write(tmp_path, tree), meter)
    assert sensor is None
    assert reason.startswith("no energy sensor: ")
    assert said in reason


def test_a_channel_that_nothing_is_wired_to_is_none(tmp_path):
    root = write(tmp_path, ina3221(0, "1-0040", {1: (None, 0, 0), 2: (None, 5000, 10), 3: ("X", 5000, 10)}))
    (root / "sys/class/hwmon/hwmon0/in3_input").write_text("n/a\n")
    assert sensors.names(root) == ["hwmon:ina3221/2"]


def test_a_rail_that_is_missing_makes_no_total_of_the_others(tmp_path):
    root = write(tmp_path, JETSON_AGX_ORIN)
    (root / "sys/class/hwmon/hwmon3/in1_input").unlink()
    sensor, reason = sensors.find(root, "auto")
    assert sensor is None
    assert "no meter of all" in reason


SHUNTS = {f"{PERIPHERALS}/1-0040/hwmon/hwmon1/shunt{channel}_resistor": 5000 for channel in (1, 2, 3)}


@pytest.mark.parametrize(
    ("tree", "meter", "step_w", "gain"),
    [
        (BREAKOUT, "hwmon:ina226", 25 * 2.5e-6 / 0.010, 0.002),
        (VIRTUAL_BOARD, "hwmon:ina226", 1e-6, 0.002),  # it does not tell its resistor
        (VIRTUAL_BOARD, "hwmon:ina3221/1", 3.24 / 5 * 8e-3, 0.005),
        ({**JETSON_ORIN_NANO, **SHUNTS}, "auto", 4.968 * 40e-6 / 0.005, 0.005),
        (JETSON_AGX_ORIN, "auto", math.hypot(19.0e-3, 19.0e-3, 4.968e-3), 0.005),
        (GRAPHICS_CARD, "hwmon:amdgpu", 1e-6, None),
    ],
)
def test_what_data_sheets_say_of_a_chip_is_told(tmp_path, tree, meter, step_w, gain):
    """A power that never changed within a window is no finer known than that."""
    sensor, _ = sensors.find(write(tmp_path, tree), meter)
    clock = Rushing()
    watched = clock.watched(sensor._source.read)
    sensor._source = replace(sensor._source, read=watched, clock=clock, wait=clock.wait)
    sensor.start()
    clock.read(50)
    reading = sensor.stop()
    assert reading.resolution_j == pytest.approx(step_w * reading.window_s)
    assert reading.gain == gain
