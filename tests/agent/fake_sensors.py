"""Boards and computers by what their kernels show of power, and what has to be moved in their trees for a power to be seen.

The trees are those of the kernel's documentation (hwmon's sysfs interface, ina3221, power capping, ABI of power_supply) and, for
the names of rails, of what owners of the boards published; the values are plausible ones of ours.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from fake_machine import PERIPHERALS, RASPBERRY_PI_4, RASPBERRY_PI_5, VIRTUAL_BOARD, arm, chip, ina3221, write, zone

from joulefront_agent import sensors

PMIC = """\
 3V7_WL_SW_A current(0)=0.00780744A
   3V3_SYS_A current(1)=0.06343545A
   1V8_SYS_A current(2)=0.15614880A
  DDR_VDD2_A current(3)=0.02732604A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.18640260A
    0V8_SW_A current(6)=0.36304590A
  VDD_CORE_A current(7)=0.76608000A
   3V3_DAC_A current(17)=0.00018315A
   3V3_ADC_A current(18)=0.00042735A
   0V8_AON_A current(16)=0.00415140A
      HDMI_A current(22)=0.01465200A
 3V7_WL_SW_V volt(8)=3.70220500V
   3V3_SYS_V volt(9)=3.31353600V
   1V8_SYS_V volt(10)=1.80219100V
  DDR_VDD2_V volt(11)=1.10793900V
  DDR_VDDQ_V volt(12)=0.60732560V
   1V1_SYS_V volt(13)=1.10720700V
    0V8_SW_V volt(14)=0.80366170V
  VDD_CORE_V volt(15)=0.72049320V
   3V3_DAC_V volt(20)=3.31124500V
   3V3_ADC_V volt(21)=3.30972000V
   0V8_AON_V volt(19)=0.79853490V
      HDMI_V volt(23)=5.15498000V
     EXT5V_V volt(24)=5.15230000V
      BATT_V volt(25)=0.00000000V
"""
NO_PMIC = 'error=1 error_msg="Command not registered"\n'

XAVIERS_IIO = "sys/bus/i2c/drivers/ina3221x"


def ina3221x(device: str, number: int, rails: list[tuple[str, int]]) -> dict[str, object]:
    """An ina3221 of JetPack 4, whose rails have a label and mW, with the link that some of its versions have."""
    base = f"{XAVIERS_IIO}/{device}"
    files: dict[str, object] = {f"{base}/iio_device": Path(f"{base}/iio:device{number}")}
    for index, (label, milliwatts) in enumerate(rails):
        files |= {
            f"{base}/iio:device{number}/rail_name_{index}": label,
            f"{base}/iio:device{number}/in_power{index}_input": milliwatts,
            f"{base}/iio:device{number}/in_voltage{index}_input": 19000,
            f"{base}/iio:device{number}/in_current{index}_input": milliwatts // 19,
        }
    return files


def supply(name: str, **files: object) -> dict[str, object]:
    """A power supply."""
    return {f"sys/class/power_supply/{name}/{file}": content for file, content in files.items()}


JETSON_ORIN_NX = {
    **arm("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", [("0xd42", 1_984_000)] * 8),
    **ina3221(2, "1-0040", {1: ("VDD_IN", 5040, 1480), 2: ("VDD_CPU_GPU_CV", 5040, 320), 3: ("VDD_SOC", 5040, 440)}),
}
JETSON_AGX_XAVIER = {
    **arm("Jetson-AGX", [("0x004", 2_265_600)] * 8),
    **ina3221x("1-0040", 0, [("GPU", 152), ("CPU", 608), ("SOC", 1368)]),
    **ina3221x("1-0041", 1, [("CV", 0), ("VDDRQ", 304), ("SYS5V", 1846)]),
}
# The labels, and 5 mOhm each, as Linux's tegra194-p2888.dtsi gives them to the driver that JetPack 5 has.
JETSON_AGX_XAVIER_5 = {
    **arm("Jetson-AGX", [("0x004", 2_265_600)] * 8),
    **ina3221(2, "1-0040", {1: ("GPU", 19000, 8), 2: ("CPU", 19000, 32), 3: ("SOC", 19000, 72)}),
    **ina3221(3, "1-0041", {1: ("CV", 19000, 0), 2: ("VDDRQ", 19000, 16), 3: ("SYS5V", 4968, 372)}),
    **{
        f"{PERIPHERALS}/{device}/hwmon/hwmon{number}/shunt{channel}_resistor": 5000
        for device, number in (("1-0040", 2), ("1-0041", 3))
        for channel in (1, 2, 3)
    },
}
JETSON_XAVIER_NX = {
    **arm("NVIDIA Jetson Xavier NX Developer Kit", [("0x004", 1_907_200)] * 6),
    **ina3221x("7-0040", 0, [("VDD_IN", 3520), ("VDD_CPU_GPU_CV", 560), ("VDD_SOC", 1000)]),
}
JETSON_NANO = {
    **arm("NVIDIA Jetson Nano Developer Kit", [("0xd07", 1_479_000)] * 4),
    **ina3221x("6-0040", 0, [("POM_5V_IN", 2182), ("POM_5V_GPU", 40), ("POM_5V_CPU", 522)]),
}
LAPTOP = {
    **zone("intel-rapl:0", "package-0"),
    **zone("intel-rapl:0:0", "core"),
    **zone("intel-rapl:0:1", "uncore"),
    **zone("intel-rapl:1", "psys"),
    **zone("intel-rapl-mmio:0", "package-0"),
    **chip(3, "BAT0", "sys/class/power_supply/BAT0", {"in0_input": 12100, "curr1_input": 640}, "class/power_supply"),
    **supply("AC", type="Mains", online=0),
    **supply("BAT0", type="Battery", status="Discharging", voltage_now=12_100_000, current_now=640_000),
    **supply(
        "ucsi-source-psy-USBC000:001",
        type="USB",
        usb_type="C [PD] PD_PPS",
        voltage_now=20_000_000,
        current_now=3_250_000,
    ),
    **supply("hidpp_battery_0", type="Battery", scope="Device", status="Discharging", power_now=5),
}
BREAKOUT = {
    **RASPBERRY_PI_4,
    **chip(
        2,
        "ina226",
        "sys/devices/platform/soc/fe804000.i2c/i2c-1/1-0040",
        {
            "in0_input": 12,
            "in1_input": 5108,
            "curr1_input": 1180,
            "power1_input": 6_025_000,
            "shunt_resistor": 10_000,
            "update_interval": 2,
        },
    ),
}
COUNTING = {
    **arm("V2M-Juno", [("0xd03", 850_000)] * 2),
    **chip(0, "vexpress", "sys/devices/platform/mcc", {"energy1_input": 1_000_000, "power1_input": 1}, "bus/platform"),
}


def unusable(root: Path, name: str):
    """What a survey finds of a meter that is there and cannot be used."""
    (found,) = [found for found in sensors.survey(root) if found.name == name]
    assert (found.period_s, found.resolution, found.read_s, found.auto) == (None, None, None, False)
    assert name not in sensors.names(root)
    sensor, reason = sensors.find(root, name)
    assert sensor is None
    assert found.reason in reason
    return found


def vcgencmd(root: Path, text: str, status: int = 0, error: str = "") -> Path:
    """A command that says so."""
    write(root, {"pmic.txt": text.encode()})
    path = root / "usr/bin/vcgencmd"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "#!/bin/sh",
        'test "$*" = pmic_read_adc || exit 9',
        f'echo "{error}" >&2',
        f"cat {root}/pmic.txt",
        f"exit {status}",
    ]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def close(monkeypatch, *files: Path) -> None:
    """Make files unreadable, for root too."""
    opened, closed = os.open, {file.resolve() for file in files}

    def guarded(path, *given, **named):
        if Path(path).resolve() in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *given, **named)

    monkeypatch.setattr(os, "open", guarded)


class FakeNvml(SimpleNamespace):
    """The module pynvml with two GPUs of 300 W, as far as it is used; ``without`` are functions that are not supported."""

    class NVMLError(Exception):
        pass

    def __init__(self, count=1, without=(), broken=None):
        super().__init__(mj=1_000_000, mw=300_000, architecture=9)
        self._count, self._without, self._broken = count, without, broken

    def _told(self, name, value):
        if name in self._without:
            raise self.NVMLError("Not Supported")
        return value

    def nvmlInit(self):
        if self._broken:
            raise self.NVMLError(self._broken)

    def nvmlDeviceGetCount(self):
        return self._count

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetName(self, _):
        return b"NVIDIA H100"

    def nvmlDeviceGetArchitecture(self, _):
        return self.architecture

    def nvmlDeviceGetTotalEnergyConsumption(self, _):
        return self._told("energy", self.mj)

    def nvmlDeviceGetPowerUsage(self, _):
        return self._told("power", self.mw)


@dataclass
class Case:
    """A meter of a machine: its name, its tree, and how a power is made to be seen in ``root``.

    ``show(root, power_w, energy_j, jitter)`` writes what the sensor is to read: a power, or the J that a counter is at;
    ``jitter`` is 0 or 1, in turns, for one step of it. ``file`` is what it cannot be without.
    """

    name: str
    tree: dict[str, object]
    show: Callable[[Path, float, float, int], None]
    file: str
    power_w: float = 3.25


def _put(root: Path, name: str, value: object) -> None:
    (root / name).write_text(f"{value}\n")


def _volts_and_amperes(base: str, volts: int, number: int) -> Callable[[Path, float, float, int], None]:
    def show(root, power_w, energy_j, jitter):
        _put(root, f"{base}/curr{number}_input", round(power_w / volts * 1e6) + jitter)

    return show


def _in_mw(file: str) -> Callable[[Path, float, float, int], None]:
    return lambda root, watts, _, jitter: _put(root, file, round(watts * 1000) + jitter)


def _pmic(root, power_w, energy_j, jitter):
    amperes = f"{power_w / 0.72049320 + 1e-6 * jitter:.8f}"
    lines = [line.split("=")[0] + "=0.0A" if "_A " in line else line for line in PMIC.splitlines()]
    lines = [f"  VDD_CORE_A current(7)={amperes}A" if "VDD_CORE_A" in line else line for line in lines]
    (root / "pmic.txt").write_text("\n".join(lines))


def _battery(root, power_w, energy_j, jitter):
    _put(root, "sys/class/power_supply/BAT0/current_now", -round(power_w / 12.1 * 1e6) - jitter)


CASES = {
    "power": Case(
        "hwmon:ina226",
        VIRTUAL_BOARD,
        lambda root, watts, _, jitter: _put(root, "sys/class/hwmon/hwmon5/power1_input", round(watts * 1e6) + jitter),
        "sys/class/hwmon/hwmon5/power1_input",
    ),
    "volts and amperes": Case(
        "hwmon:ina3221/1",
        VIRTUAL_BOARD,
        _volts_and_amperes("sys/class/hwmon/hwmon4", 5000, 1),
        "sys/class/hwmon/hwmon4/curr1_input",
    ),
    "a sum": Case(
        "hwmon:ina3221",
        {
            **ina3221(
                3, "1-0040", {1: ("VDD_GPU_SOC", 19000, 0), 2: ("VDD_CPU_CV", 19000, 0), 3: ("VIN_SYS_5V0", 4968, 0)}
            ),
            **ina3221(4, "1-0041", {1: ("NC", 0, 0), 2: ("VDDQ_VDD2_1V8AO", 4968, 80), 3: ("NC", 0, 0)}),
        },
        _volts_and_amperes("sys/class/hwmon/hwmon3", 19000, 2),
        "sys/class/hwmon/hwmon3/curr2_input",
        19.0,
    ),
    "a counter of hwmon": Case(
        "hwmon:vexpress",
        COUNTING,
        lambda root, _, joules, __: _put(
            root, "sys/class/hwmon/hwmon0/energy1_input", math.floor(joules * 1e6) % 2**32
        ),
        "sys/class/hwmon/hwmon0/energy1_input",
    ),
    "JetPack 4's input": Case(
        "iio:VDD_IN",
        JETSON_XAVIER_NX,
        _in_mw(f"{XAVIERS_IIO}/7-0040/iio:device0/in_power0_input"),
        f"{XAVIERS_IIO}/7-0040/iio:device0/in_power0_input",
    ),
    "JetPack 4's sum": Case(
        "iio",
        {
            **ina3221x("1-0040", 0, [("GPU", 0), ("CPU", 0), ("SOC", 0)]),
            **ina3221x("1-0041", 1, [("CV", 0), ("VDDRQ", 0), ("SYS5V", 0)]),
        },
        _in_mw(f"{XAVIERS_IIO}/1-0041/iio:device1/in_power2_input"),
        f"{XAVIERS_IIO}/1-0041/iio:device1/in_power2_input",
        9.0,
    ),
    "the Pi's chip": Case("pmic", RASPBERRY_PI_5, _pmic, "usr/bin/vcgencmd"),
    "a battery": Case("supply:BAT0", LAPTOP, _battery, "sys/class/power_supply/BAT0/current_now", 7.7),
}
