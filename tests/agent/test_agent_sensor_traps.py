"""The traps of the sensors that boards and computers have, with what is to come of each."""

import subprocess
import time

import pytest
from fake_machine import JETSON_AGX_ORIN, JETSON_ORIN_NANO, chip, ina3221, write, zone
from fake_sensors import (
    BREAKOUT,
    CASES,
    COUNTING,
    JETSON_AGX_XAVIER,
    JETSON_AGX_XAVIER_5,
    JETSON_NANO,
    JETSON_ORIN_NX,
    JETSON_XAVIER_NX,
    LAPTOP,
    PMIC,
    XAVIERS_IIO,
    FakeNvml,
    close,
    ina3221x,
    unusable,
    vcgencmd,
)

from joulefront_agent import sensors
from joulefront_agent.sensors import nvml, probe, sysfs
from joulefront_devices import tables


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(probe, "_LIMIT_S", 0.01)


@pytest.mark.parametrize(
    ("tree", "name", "covers", "power_w"),
    [
        (JETSON_ORIN_NANO, "hwmon:ina3221/VDD_IN", "module input VDD_IN", 4.968 * 0.968),
        (JETSON_ORIN_NX, "hwmon:ina3221/VDD_IN", "module input VDD_IN", 5.04 * 1.48),
        (JETSON_XAVIER_NX, "iio:VDD_IN", "module input VDD_IN", 3.52),
        (JETSON_NANO, "iio:POM_5V_IN", "module input POM_5V_IN", 2.182),
        (
            JETSON_AGX_XAVIER,
            "iio",
            "rails GPU, CPU, SOC, CV, VDDRQ, SYS5V; not the whole board",
            0.152 + 0.608 + 1.368 + 0.304 + 1.846,
        ),
        (
            JETSON_AGX_XAVIER_5,
            "hwmon:ina3221",
            "rails GPU, CPU, SOC, CV, VDDRQ, SYS5V; not the whole board",
            19.0 * (0.008 + 0.032 + 0.072 + 0.016) + 4.968 * 0.372,
        ),
        (BREAKOUT, "hwmon:ina226", "hwmon ina226: its power1, whatever it is wired to", 6.025),
    ],
    ids=["orin nano", "orin nx", "xavier nx", "nano", "agx xavier", "agx xavier, jetpack 5", "ina226 on a pi 4"],
)
def test_auto_is_the_total_that_a_board_has(tmp_path, tree, name, covers, power_w):
    sensor, reason = sensors.find(write(tmp_path, tree), "auto")
    assert (sensor.name, sensor.covers, reason) == (name, covers, None)
    assert sensor._source.read() == pytest.approx(power_w)
    (chosen,) = [found.name for found in sensors.survey(tmp_path) if found.auto]
    assert chosen == name


def test_the_rails_of_an_agx_xavier_on_jetpack_5_are_where_its_driver_has_them(tmp_path):
    root = write(tmp_path, JETSON_AGX_XAVIER_5)
    (label,) = root.glob("sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon*/in3_label")
    assert label.read_text() == "SYS5V\n"
    (label.parent / "curr3_input").write_text("1000\n")
    assert sensors.find(root, "hwmon:ina3221/SYS5V")[0]._source.read() == pytest.approx(4.968)
    label.write_text("NC\n")
    assert "no meter of all" in sensors.find(root, "auto")[1]  # five of six are no total


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whatever_is_sampled_is_on_the_cores_that_were_given(tmp_path, case):
    root = write(tmp_path, case.tree)
    vcgencmd(root, PMIC)
    assert sensors.find(root, case.name, {5, 7})[0]._source.cores == {5, 7}


@pytest.mark.parametrize("without", [(), ("energy",)])
def test_a_gpu_is_sampled_on_the_cores_that_were_given(tmp_path, monkeypatch, without):
    fake = FakeNvml(without=without)
    monkeypatch.setitem(sensors.KINDS, "nvml", lambda root: nvml.look(root, load=lambda _: fake))
    assert sensors.find(write(tmp_path, {"dev/nvidiactl": ""}), "nvml", {5})[0]._source.cores == {5}


def test_a_laptops_zones_are_never_summed_twice(tmp_path):
    root = write(tmp_path, LAPTOP)
    sensor, _ = sensors.find(root, "auto")
    assert (sensor.name, sensor.covers) == ("rapl", "processor packages: package-0")
    assert sensor._read() == [1_000_000]
    assert sensors.names(root) == ["rapl", "supply:BAT0"]


def test_a_chip_is_the_same_wherever_hwmon_puts_it(tmp_path):
    rails = {1: ("VDD_IN", 5000, 1000), 2: ("VDD_CPU_GPU_CV", 5000, 10), 3: ("VDD_SOC", 5000, 20)}
    before = sensors.find(write(tmp_path / "before", ina3221(1, "1-0040", rails)), "auto")[0]
    after = sensors.find(write(tmp_path / "after", ina3221(6, "1-0040", rails)), before.name)[0]
    assert after._source.read() == before._source.read() == 5.0


def test_shunts_and_sums_are_no_power(tmp_path):
    root = write(tmp_path, JETSON_ORIN_NANO)
    (root / "sys/class/hwmon/hwmon1/curr4_input").write_text(
        "1416\n"
    )  # the sum of the three, where all shunts are equal
    assert [name.rpartition("/")[2] for name in sensors.names(root)] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]


@pytest.mark.parametrize("name", ["hwmon:ina3221@1-0041/1", "hwmon:ina3221/NC"])
def test_a_channel_without_a_wire_is_no_meter(tmp_path, name):
    root = write(tmp_path, JETSON_AGX_ORIN)
    assert name not in sensors.names(root)
    assert sensors.find(root, name)[0] is None
    told = [found.reason for found in sensors.survey(root) if found.reason and found.covers]
    assert told == ["nothing is wired to it: it is labelled NC"] * 2


def test_a_channel_that_errs_is_left_out(tmp_path):
    root = write(tmp_path, JETSON_ORIN_NANO)
    (root / "sys/class/hwmon/hwmon1/curr2_input").write_text("")  # read() returns nothing but an error
    assert sensors.names(root) == ["hwmon:ina3221/VDD_IN", "hwmon:ina3221/VDD_SOC"]


def test_rails_of_an_iio_driver_by_their_place_where_a_name_is_twice(tmp_path):
    tree = {**ina3221x("0-0040", 0, [("A", 1), ("NC", 0)]), **ina3221x("0-0041", 1, [("A", 3000)])}
    root = write(tmp_path, tree)
    assert sensors.names(root) == ["iio:0-0040/0", "iio:0-0041/0"]
    assert sensors.find(root, "iio:0-0041/0")[0]._source.read() == 3.0
    assert "several meters 'A': name one, of iio:0-0040/0, iio:0-0041/0" in sensors.find(root, "iio:A")[1]
    assert "no meter 'iio': name one" in sensors.find(root, "iio")[1]
    assert unusable(root, "iio:0-0040/1").reason == "nothing is wired to it: it is labelled NC"


def test_volts_and_amperes_of_different_places_are_not_multiplied(tmp_path):
    files = {"in1_input": 12000, "in1_label": "vin", "in2_input": 1000, "in2_label": "vout1"}
    files |= {"curr1_input": 20000, "curr1_label": "iout1", "curr2_input": 30000, "curr2_label": "iout2"}
    root = write(tmp_path, chip(0, "tps53679", "sys/devices/i2c-1/1-0060", files))
    assert sensors.names(root) == []
    assert (
        "in1 is called 'vin' and curr1 'iout1': volts and amperes of different places"
        in unusable(root, "hwmon:tps53679/vin").reason
    )


def test_volts_and_amperes_of_one_place_are_but_are_no_total(tmp_path):
    files = {"in1_input": 12000, "in1_label": "vin", "curr1_input": 500, "curr1_label": "iin"}
    root = write(tmp_path, chip(0, "adm1275", "sys/devices/i2c-1/1-0010", files))
    assert sensors.names(root) == ["hwmon:adm1275/vin"]
    assert sensors.find(root, "hwmon:adm1275/vin")[0]._source.read() == 6.0
    assert "no meter of all that the machine takes" in sensors.find(root, "auto")[1]


def test_a_counter_stands_for_its_chip_and_its_power_has_a_name(tmp_path):
    root = write(tmp_path, COUNTING)
    assert sensors.names(root) == ["hwmon:vexpress", "hwmon:vexpress/power1"]
    (counter, power, *_) = sensors.survey(root)
    assert (counter.kind, power.kind) == ("counter", "power")
    assert (counter.resolution, counter.auto) == (1e-6, True)


def test_counters_of_parts_are_no_total(tmp_path):
    files = {"energy1_input": 5, "energy1_label": "Ecore000", "energy2_input": 9, "energy2_label": "Esocket0"}
    root = write(tmp_path, chip(0, "amd_energy", "sys/devices/platform/amd_energy.0", files, "bus/platform"))
    assert sensors.names(root) == ["hwmon:amd_energy/Ecore000", "hwmon:amd_energy/Esocket0"]
    assert sensors.find(root, "auto")[0] is None


@pytest.mark.parametrize(
    ("tree", "file", "name", "match"),
    [
        (
            zone("intel-rapl:0", "package-0"),
            "sys/class/powercap/intel-rapl:0/energy_uj",
            "rapl",
            'KERNEL=="intel-rapl*"',
        ),
        (COUNTING, "sys/class/hwmon/hwmon0/energy1_input", "hwmon:vexpress", 'ATTR{name}=="vexpress"'),
        (LAPTOP, "sys/class/power_supply/BAT0/current_now", "supply:BAT0", 'KERNEL=="BAT0"'),
    ],
)
def test_what_root_alone_may_read_has_a_rule_that_lasts(tmp_path, monkeypatch, tree, file, name, match):
    root = write(tmp_path, tree)
    close(monkeypatch, root / file)
    found = unusable(root, name)
    assert "root only" in found.reason
    echo, _, rest = found.fix.partition(" | ")
    rule = subprocess.run(["sh", "-c", echo], capture_output=True, text=True, check=True).stdout
    fields = ["energy_uj", "max_energy_range_uj"] if name == "rapl" else [file.rpartition("/")[2]]
    chmod = " ".join(["/bin/chmod a+r", *(f"/sys%p/{field}" for field in fields)])
    subsystem = file.split("/")[2]
    assert rule == f'ACTION=="add", SUBSYSTEM=="{subsystem}", {match}, RUN+="{chmod}"\n'
    assert rest.startswith("sudo tee /etc/udev/rules.d/99-joulefront-")
    assert rest.endswith(f"sudo udevadm trigger --action=add --subsystem-match={subsystem}")


def test_a_jetpack_4_rail_for_root_only_has_a_command(tmp_path, monkeypatch):
    root = write(tmp_path, JETSON_XAVIER_NX)
    close(monkeypatch, root / f"{XAVIERS_IIO}/7-0040/iio:device0/in_power0_input")
    assert unusable(root, "iio:VDD_IN").fix == (
        f"sudo chmod a+r /{XAVIERS_IIO}/7-0040/iio:device0/in_power0_input (after each boot)"
    )


def test_a_devices_name_gets_no_command_into_a_fix():
    fix = sysfs.rule("hwmon", "ATTR{name}", "a'; reboot; echo '", ["power1_input"])
    assert 'ATTR{name}=="a???reboot??echo??"' in fix
    assert "99-joulefront-a-reboot-echo.rules" in fix


def test_a_meter_of_no_known_kind_is_told_all_kinds(tmp_path):
    for name in ("joulescope", "supply", "rapl:core", "pmic:x", "nvml:", "iio:"):
        sensor, reason = sensors.find(tmp_path, name)
        assert sensor is None
        assert f"iio, iio:RAIL, pmic, nvml, nvml:INDEX or supply:NAME, not {name!r}; this device has none" in reason


def test_a_devices_file_knows_the_same_names():
    assert sensors._NAMES == tables.METER_NAMES
    assert [*sensors.KINDS] == [name for name in tables.METERS if name not in ("auto", "none")]


def test_kinds_that_are_not_there_at_all_are_listed_last_with_the_reason(tmp_path):
    root = write(tmp_path, BREAKOUT)
    meters, absent = ([one for one in sensors.survey(root) if bool(one.covers) is whole] for whole in (True, False))
    assert [one.name for one in absent] == ["rapl", "iio", "nvml", "supply"]
    assert sensors.survey(root)[-4:] == tuple(absent)
    assert {one.name.partition(":")[0] for one in meters} == {"hwmon", "pmic"}
    assert absent[0].reason == "/sys/class/powercap has no RAPL package zone, as on virtual machines and ARM"
    assert all(one.reason and not one.fix and not one.auto for one in absent)


def test_kinds_whose_driver_hangs_are_listed_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(sensors, "STUCK_S", 0.05)
    monkeypatch.setitem(sensors.KINDS, "iio", lambda _: time.sleep(1.0))
    (found, *_) = sensors.survey(tmp_path)
    assert (found.name, found.reason) == (
        "iio",
        "the energy sensors do not answer: they took more than 0.05 s to be read",
    )


def test_a_meter_that_cannot_be_read_when_looked_at_is_unusable(tmp_path, monkeypatch):
    root = write(tmp_path, BREAKOUT)
    monkeypatch.setattr(
        probe, "probe", lambda meter: (_ for _ in ()).throw(sensors.Failure("MeterError", "it reads nan"))
    )
    (found, *_) = sensors.survey(root)
    assert (found.name, found.reason, found.auto) == ("hwmon:ina226", "it reads nan", False)
