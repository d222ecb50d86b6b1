"""The traps of the sensors that boards and computers have, with what is to come of each."""

import math
import subprocess
import sys
import time
from functools import partial

import pytest
from fake_machine import JETSON_AGX_ORIN, JETSON_ORIN_NANO, RASPBERRY_PI_4, RASPBERRY_PI_5, chip, ina3221, write, zone
from fake_sensors import (
    BREAKOUT,
    COUNTING,
    JETSON_AGX_XAVIER,
    JETSON_NANO,
    JETSON_ORIN_NX,
    JETSON_XAVIER_NX,
    LAPTOP,
    NO_PMIC,
    PMIC,
    XAVIERS_IIO,
    FakeNvml,
    close,
    ina3221x,
    supply,
    vcgencmd,
)

from joulefront_agent import command, sensors
from joulefront_agent.sensors import nvml, pmic, probe, sysfs
from joulefront_devices import tables

PI_5_W = 1.68176  # the 12 products, by hand


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(probe, "_LIMIT_S", 0.01)


def unusable(root, name):
    (found,) = [found for found in sensors.survey(root) if found.name == name]
    assert (found.period_s, found.resolution, found.read_s, found.auto) == (None, None, None, False)
    assert name not in sensors.names(root)
    sensor, reason = sensors.find(root, name)
    assert sensor is None
    assert found.reason in reason
    return found


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
        (BREAKOUT, "hwmon:ina226", "hwmon ina226: its power1, whatever it is wired to", 6.025),
    ],
    ids=["orin nano", "orin nx", "xavier nx", "nano", "agx xavier", "ina226 on a pi 4"],
)
def test_auto_is_the_total_that_a_board_has(tmp_path, tree, name, covers, power_w):
    sensor, reason = sensors.find(write(tmp_path, tree), "auto")
    assert (sensor.name, sensor.covers, reason) == (name, covers, None)
    assert sensor._source.read() == pytest.approx(power_w)
    (chosen,) = [found.name for found in sensors.survey(tmp_path) if found.auto]
    assert chosen == name


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
    told = [found.reason for found in sensors.survey(root) if found.reason]
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
    assert [found.kind for found in sensors.survey(root)] == ["counter", "power"]
    (counter, _) = sensors.survey(root)
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


# The Raspberry Pi


def test_the_pis_rails_are_multiplied_by_pairs_and_its_5_v_is_not_seen(tmp_path):
    root = write(tmp_path, RASPBERRY_PI_5)
    vcgencmd(root, PMIC)
    sensor, reason = sensors.find(root, "auto")
    assert reason is None
    assert sensor.name == "pmic"
    assert sensor.covers.startswith(
        "the Pi 5's power management chip: the sum of its 12 rails (0V8_AON, 0V8_SW, 1V1_SYS"
    )
    assert sensor.covers.endswith("; not what takes its 5 V, such as USB")
    assert not {"EXT5V", "BATT"} & set(pmic.rails(PMIC))
    assert sensor._source.read() == pytest.approx(PI_5_W, abs=1e-3)


def test_the_pis_chip_is_asked_ten_times_a_second_at_most(tmp_path):
    root = write(tmp_path, RASPBERRY_PI_5)
    vcgencmd(root, PMIC)
    sensor, _ = sensors.find(root, "pmic")
    assert sensor._source.interval_s == 0.1


def test_the_commands_processor_time_counts_as_the_samplings(monkeypatch):
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    began_s = pmic._cost()
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], check=True)
    assert pmic._cost() > began_s


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PMIC.replace("current(7)=0.76608000A", "current(7)=nanA"), "nan"),
        (PMIC.replace("VDD_CORE_V volt(15)=0.72049320V\n", ""), "vcgencmd tells other rails than before: VDD_CORE"),
        ("", "no rail with volts and amperes in ''"),
        (PMIC.replace("volt(15)=0.72049320V", "volt(15)=0.72049320A"), "VDD_CORE_V"),
    ],
)
def test_what_the_chip_tells_later_has_to_be_the_same_rails(tmp_path, text, said):
    root = write(tmp_path, RASPBERRY_PI_5)
    vcgencmd(root, PMIC)
    read = sensors.find(root, "pmic")[0]._source.read
    (root / "pmic.txt").write_text(text)
    if said == "nan":
        assert math.isnan(read())
        return
    with pytest.raises(ValueError, match=said):
        read()


@pytest.mark.parametrize("status", [0, 255])
def test_a_pi_without_such_a_chip_is_found_out_by_asking(tmp_path, status):
    root = write(tmp_path, RASPBERRY_PI_4)
    vcgencmd(root, NO_PMIC, status)
    found = unusable(root, "pmic")
    assert (
        found.reason
        == "the firmware of this Raspberry Pi 4 Model B Rev 1.4 tells no power: only a Raspberry Pi 5's does"
    )
    assert found.fix is None
    assert found.reason in sensors.find(root, "auto")[1]


def test_a_pi_whose_firmware_may_not_be_asked_says_which_group(tmp_path):
    root = write(tmp_path, RASPBERRY_PI_5)
    vcgencmd(root, "", 255, "Can't open device file: /dev/vcio")
    found = unusable(root, "pmic")
    assert "Can't open device file: /dev/vcio" in found.reason
    assert found.fix.startswith('sudo usermod -aG video "$USER"')


def test_a_pi_without_the_command_says_what_to_install(tmp_path):
    root = write(tmp_path, RASPBERRY_PI_5)
    found = unusable(root, "pmic")
    assert found.reason == "there is no vcgencmd, which tells the power on a Raspberry Pi 5"
    assert found.fix.startswith("sudo apt install raspi-utils")
    assert "there is no vcgencmd" in sensors.find(write(tmp_path / "other", {}), "pmic")[1]


def test_a_command_that_hangs_is_ended(tmp_path):
    path = tmp_path / "slow"
    path.write_text("#!/bin/sh\nexec sleep 600\n")
    path.chmod(0o755)
    with pytest.raises(OSError, match=r"slow does not answer within 0\.05 s"):
        command.said(path, limit_s=0.05)


# GPUs


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    def make(fake):
        def load(name):
            assert name == "pynvml"
            if fake is None:
                raise ModuleNotFoundError(name)
            return fake

        monkeypatch.setitem(sensors.KINDS, "nvml", partial(nvml.look, load=load))
        return write(tmp_path, {"dev/nvidiactl": ""})

    return make


def test_a_gpu_is_a_counter_and_never_all_that_the_machine_takes(gpu):
    root = gpu(FakeNvml())
    (found,) = sensors.survey(root)
    assert (found.name, found.kind, found.resolution, found.auto) == ("nvml", "counter", 1e-3, False)
    assert found.covers == "GPU 0, NVIDIA H100: its board alone, without the processor"
    assert sensors.find(root, "auto")[0] is None


def test_of_two_gpus_one_is_to_be_named(gpu):
    root = gpu(FakeNvml(count=2))
    assert sensors.names(root) == ["nvml:0", "nvml:1"]
    assert "several meters 'nvml': name one, of nvml:0, nvml:1" in sensors.find(root, "nvml")[1]
    assert sensors.find(root, "nvml:1")[0].name == "nvml:1"


@pytest.mark.parametrize(("architecture", "period_s"), [(7, 1.0), (5, 0.1)])
def test_a_power_that_is_an_average_has_its_period(gpu, architecture, period_s):
    fake = FakeNvml(without=["energy"])
    fake.architecture = architecture
    sensor, _ = sensors.find(gpu(fake), "nvml")
    assert sensor._source.interval_s == period_s
    assert sensor._source.read() == 300.0


def test_a_gpu_that_tells_nothing_is_listed_with_the_reason(gpu):
    found = unusable(gpu(FakeNvml(without=["energy", "power"])), "nvml:0")
    assert found.reason.startswith(
        "it tells neither energy nor power: nvmlDeviceGetPowerUsage: Not Supported (a Jetson"
    )


def test_a_python_without_the_module_says_how_to_install_it(gpu):
    found = unusable(gpu(None), "nvml")
    assert "has no module pynvml" in found.reason
    assert found.fix.startswith(f"{sys.executable} -m pip install nvidia-ml-py (")


def test_a_driver_that_does_not_fit_is_the_reason(gpu):
    found = unusable(gpu(FakeNvml(broken="Driver/library version mismatch")), "nvml")
    assert found.reason == "NVML fails: Driver/library version mismatch"
    assert found.fix == "nvidia-smi has to work first, as this user"


def test_without_a_driver_nobody_asks_for_the_module(tmp_path):
    def load(_):
        raise AssertionError("asked for")

    assert nvml.look(tmp_path, load).absent == "there is no driver of NVIDIA's"


# Batteries


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


def test_a_peripherals_battery_is_not_the_machines(tmp_path):
    assert "a peripheral's" in unusable(write(tmp_path, LAPTOP), "supply:hidpp_battery_0").reason


def test_no_supply_is_auto(tmp_path):
    root = write(tmp_path, supply("BAT0", type="Battery", status="Discharging", power_now=9_000_000))
    assert sensors.names(root) == ["supply:BAT0"]
    assert sensors.find(root, "supply:BAT0")[0]._source.read() == 9.0
    assert sensors.find(root, "auto")[0] is None


# All of them


def test_a_meter_of_no_known_kind_is_told_all_kinds(tmp_path):
    for name in ("joulescope", "supply", "rapl:core", "pmic:x", "nvml:", "iio:"):
        sensor, reason = sensors.find(tmp_path, name)
        assert sensor is None
        assert f"iio, iio:RAIL, pmic, nvml, nvml:INDEX or supply:NAME, not {name!r}; this device has none" in reason


def test_a_devices_file_knows_the_same_names():
    assert sensors._NAMES == tables.METER_NAMES
    assert [*sensors.KINDS] == [name for name in tables.METERS if name not in ("auto", "none")]


def test_kinds_whose_driver_hangs_are_listed_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(sensors, "STUCK_S", 0.05)
    monkeypatch.setitem(sensors.KINDS, "iio", lambda _: time.sleep(1.0))
    (found,) = sensors.survey(tmp_path)
    assert (found.name, found.reason) == (
        "iio",
        "the energy sensors do not answer: they took more than 0.05 s to be read",
    )


def test_a_meter_that_cannot_be_read_when_looked_at_is_unusable(tmp_path, monkeypatch):
    root = write(tmp_path, BREAKOUT)
    monkeypatch.setattr(
        probe, "probe", lambda meter: (_ for _ in ()).throw(sensors.Failure("MeterError", "it reads nan"))
    )
    (found, _) = sensors.survey(root)
    assert (found.name, found.reason, found.auto) == ("hwmon:ina226", "it reads nan", False)
