#!/usr/bin/python3 -I
"""Writes the registers of the board's sensors, which a stub of an I2C bus keeps; the kernel's own drivers read them.

    guest_sensors attach          tells the kernel which chips there are
    guest_sensors follow          for ever: watts and degrees that follow the use of the CPU
    guest_sensors fix WATTS       ends that, and shows these watts from now on

The chips' registers are as in their data sheets: INA3221 (SBOS576), INA226 (SBOS547), TMP75 (SBOS288).
"""

import ctypes
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

INA3221, INA226, TMP75 = 0x40, 0x41, 0x48
SHUNT_OHM = 0.01  # what the kernel's drivers take for granted where no device tree says otherwise
IDLE_W, BUSY_W = 2.0, 6.5
AMBIENT_C, KELVIN_PER_WATT, WARM_UP_S = 30.0, 6.0, 10.0
PERIOD_S = 0.2
FOLLOWER = Path("/run/guest_sensors.pid")  # empty once watts were fixed; there is none before the sensors are up
ZONE = Path("/sys/class/thermal/thermal_zone0/emul_temp")


class _Data(ctypes.Union):
    _fields_ = (("byte", ctypes.c_uint8), ("word", ctypes.c_uint16), ("block", ctypes.c_uint8 * 34))


class _Transfer(ctypes.Structure):  # struct i2c_smbus_ioctl_data of linux/i2c-dev.h
    _fields_ = (
        ("read", ctypes.c_uint8),
        ("register", ctypes.c_uint8),
        ("size", ctypes.c_uint32),
        ("data", ctypes.POINTER(_Data)),
    )


class Sensors:
    """The chips on the stub's bus."""

    _FORCE_ADDRESS, _SMBUS, _WORD = 0x0706, 0x0720, 3

    def __init__(self) -> None:
        names = Path("/sys/bus/i2c/devices").glob("i2c-*/name")
        self.bus = next(name.parent for name in names if "stub" in name.read_text())
        self._file = os.open(f"/dev/{self.bus.name}", os.O_RDWR)

    def attach(self) -> None:
        """The drivers are told of the chips, which already show an idle board."""
        self.show(IDLE_W, AMBIENT_C)
        self._write(INA3221, 0x0F, 1)  # "a conversion is ready", which nothing else would ever set
        for chip, address in (("ina3221", INA3221), ("ina226", INA226), ("tmp75", TMP75)):
            (self.bus / "new_device").write_text(f"{chip} {address:#x}\n")
        self._write(INA3221, 0x0F, 1)  # the driver has reset the chip

    def show(self, watts: float, celsius: float, cpu_watts: float = 0.0) -> None:
        """INA3221: 5 V in, 1 V CPU, 1.8 V the rest. INA226: 5 V in. TMP75 and the thermal zone: the temperature."""
        for channel, (volt, watt) in enumerate([(5.0, watts), (1.0, cpu_watts), (1.8, watts - cpu_watts)]):
            self._write(INA3221, 1 + 2 * channel, round(watt / volt * SHUNT_OHM / 40e-6) << 3)
            self._write(INA3221, 2 + 2 * channel, round(volt / 8e-3) << 3)
        ampere = watts / 5.0
        step_a = 2.5e-6 / SHUNT_OHM  # as the driver calibrates the chip; a step of power is 25 of these
        self._write(INA226, 1, round(ampere * SHUNT_OHM / 2.5e-6))
        self._write(INA226, 2, round(5.0 / 1.25e-3))
        self._write(INA226, 3, round(watts / (25 * step_a)))
        self._write(INA226, 4, round(ampere / step_a))
        self._write(TMP75, 0, round(celsius * 16) << 4)
        ZONE.write_text(str(round(celsius * 1000)))

    def follow(self) -> None:
        """For ever: power is linear in the CPU's use, and warms the board through one resistance and one time constant."""
        celsius = AMBIENT_C + KELVIN_PER_WATT * IDLE_W
        total, idle = _ticks()
        while True:
            time.sleep(PERIOD_S)
            total_before, idle_before = total, idle
            total, idle = _ticks()
            busy = 1 - (idle - idle_before) / max(1, total - total_before)
            cpu_watts = busy * (BUSY_W - IDLE_W)
            watts = IDLE_W + cpu_watts
            celsius += (AMBIENT_C + KELVIN_PER_WATT * watts - celsius) * PERIOD_S / WARM_UP_S
            self.show(watts, celsius, cpu_watts)

    def _write(self, address: int, register: int, value: int) -> None:
        data = _Data()
        data.word = int.from_bytes((value & 0xFFFF).to_bytes(2, "big"), "little")  # the chips' order, not SMBus's
        fcntl.ioctl(self._file, self._FORCE_ADDRESS, address)
        fcntl.ioctl(self._file, self._SMBUS, _Transfer(0, register, self._WORD, ctypes.pointer(data)))


def _ticks() -> "tuple[int, int]":
    """Of all CPUs since the start: all, and those idle or waiting for the disk."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]


def _stop_following() -> None:
    if pid := FOLLOWER.read_text():
        os.kill(int(pid), signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():  # or its last write might follow ours
            time.sleep(0.01)
        FOLLOWER.write_text("")


def main() -> None:
    """See the module's first lines."""
    verb, *rest = sys.argv[1:]
    sensors = Sensors()
    if verb == "attach":
        sensors.attach()
    elif verb == "follow":
        if FOLLOWER.exists():
            _stop_following()
        FOLLOWER.write_text(str(os.getpid()))
        sensors.follow()
    elif verb == "fix":
        _stop_following()
        sensors.show(float(rest[0]), AMBIENT_C)


main()
