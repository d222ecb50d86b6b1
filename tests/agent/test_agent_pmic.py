"""The Raspberry Pi's power management chip: what its command tells, and why it may not."""

import math
import subprocess
import time

import pytest
from fake_machine import RASPBERRY_PI_4, RASPBERRY_PI_5, write
from fake_sensors import NO_PMIC, PMIC, unusable, vcgencmd

from joulefront_agent import command, sensors
from joulefront_agent.sensors import pmic, probe

PI_5_W = 1.68176  # the 12 products, by hand


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(probe, "_LIMIT_S", 0.01)


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
