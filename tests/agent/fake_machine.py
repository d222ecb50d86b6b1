"""File system trees such as /sys and /proc, made in a folder, and what those of some boards hold."""

import threading
from pathlib import Path

PERIPHERALS = "sys/devices/platform/c240000.i2c/i2c-1"


def write(root: Path, files: dict[str, object]) -> Path:
    """Text gets the newline that the kernel gives it, bytes are as they are, and a Path is where a link leads."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(root / content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(f"{content}\n", encoding="utf-8")
    return root


def zone(folder: str, name: str, energy_uj: int = 1_000_000, range_uj: int = 262_143_328_850) -> dict[str, object]:
    """One RAPL zone; ``folder`` such as intel-rapl:0."""
    base = f"sys/class/powercap/{folder}"
    return {f"{base}/name": name, f"{base}/energy_uj": energy_uj, f"{base}/max_energy_range_uj": range_uj}


def chip(
    number: int, name: str, device: str, files: dict[str, object], subsystem: str = "bus/i2c"
) -> dict[str, object]:
    """One hwmon chip with its links, as hwmon``number`` of the folder ``device``."""
    folder = f"{device}/hwmon/hwmon{number}"
    return {
        f"{folder}/name": name,
        f"sys/class/hwmon/hwmon{number}": Path(folder),
        f"{folder}/device": Path(device),
        f"{device}/subsystem": Path(f"sys/{subsystem}"),
        **{f"{folder}/{file}": content for file, content in files.items()},
    }


def ina3221(number: int, device: str, rails: dict[int, tuple[str | None, int, int]]) -> dict[str, object]:
    """An ina3221 whose channels have a label, mV and mA; a label of None is none."""
    files: dict[str, object] = {"update_interval": 7, "in7_label": "sum of shunt voltages", "in7_input": 90000}
    for channel, (label, millivolts, milliamperes) in rails.items():
        files |= {
            f"in{channel}_input": millivolts,
            f"curr{channel}_input": milliamperes,
            f"in{channel + 3}_input": 8840,
        }
        if label is not None:
            files[f"in{channel}_label"] = label
    place = f"{PERIPHERALS}/{device}"
    return {**chip(number, "ina3221", place, files), f"sys/bus/i2c/drivers/ina3221/{device}": Path(place)}


def arm(model: str, cores: list[tuple[str, int]], **serial: str) -> dict[str, object]:
    """A board's device tree and processor: its cores as part numbers and highest frequencies in kHz."""
    blocks = [
        f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: {part}\n"
        for core, (part, _) in enumerate(cores)
    ]
    tree: dict[str, object] = {"sys/firmware/devicetree/base/model": model.encode() + b"\0"}
    tree["proc/cpuinfo"] = "\n".join([*blocks, *(f"{key}\t: {value}" for key, value in serial.items())])
    for core, (_, khz) in enumerate(cores):
        folder = f"sys/devices/system/cpu/cpu{core}"
        tree[f"{folder}/cpufreq/cpuinfo_max_freq"] = khz
        tree[f"{folder}/cpufreq/scaling_available_governors"] = "performance schedutil "
        for index, (level, kind, size) in enumerate(
            [(1, "Data", "64K"), (1, "Instruction", "64K"), (2, "Unified", "2048K")]
        ):
            tree |= {
                f"{folder}/cache/index{index}/level": level,
                f"{folder}/cache/index{index}/type": kind,
                f"{folder}/cache/index{index}/size": size,
            }
    return tree


RASPBERRY_PI_5 = {
    **arm("Raspberry Pi 5 Model B Rev 1.0", [("0xd0b", 2_400_000)] * 4, Serial="c0ffee5"),
    **chip(0, "cpu_thermal", "sys/devices/virtual/thermal/thermal_zone0", {"temp1_input": 48850}, "class/thermal"),
    **chip(1, "rp1_adc", "sys/devices/platform/rp1/adc", {"in1_input": 1468, "in2_input": 2510}, "bus/platform"),
    **chip(2, "pwmfan", "sys/devices/platform/cooling_fan", {"fan1_input": 0, "pwm1": 0}, "bus/platform"),
    **chip(3, "rpi_volt", "sys/devices/platform/soc/hwmon", {"in0_lcrit_alarm": 0}, "bus/platform"),
}
RASPBERRY_PI_4 = {
    **arm("Raspberry Pi 4 Model B Rev 1.4", [("0xd08", 1_800_000)] * 4, Serial="c0ffee4"),
    **chip(0, "cpu_thermal", "sys/devices/virtual/thermal/thermal_zone0", {"temp1_input": 48850}, "class/thermal"),
    **chip(1, "rpi_volt", "sys/devices/platform/soc/hwmon", {"in0_lcrit_alarm": 0}, "bus/platform"),
}
JETSON_ORIN_NANO = {
    **arm("NVIDIA Jetson Orin Nano Developer Kit", [("0xd42", 1_510_400)] * 6),
    **ina3221(
        1,
        "1-0040",
        {1: ("VDD_IN", 4968, 968), 2: ("VDD_CPU_GPU_CV", 4968, 160), 3: ("VDD_SOC", 4968, 288)},
    ),
}
JETSON_AGX_ORIN = {
    **arm("Jetson AGX Orin Developer Kit", [("0xd42", 2_201_600)] * 12),
    **ina3221(
        3,
        "1-0040",
        {1: ("VDD_GPU_SOC", 19000, 168), 2: ("VDD_CPU_CV", 19000, 42), 3: ("VIN_SYS_5V0", 4968, 900)},
    ),
    **ina3221(4, "1-0041", {1: ("NC", 0, 0), 2: ("VDDQ_VDD2_1V8AO", 4968, 80), 3: ("NC", 0, 0)}),
}
VIRTUAL_BOARD = {
    **arm("HIL simulated board (QEMU virt)", [("0xd08", 1_500_000)] * 2),
    **chip(
        2,
        "test_battery",
        "sys/devices/virtual/power_supply/test_battery",
        {"in0_input": 3, "curr1_input": -2, "power1_input": 6},
        "class/power_supply",
    ),
    **ina3221(4, "0-0040", {1: (None, 5000, 648), 2: (None, 1000, 0), 3: (None, 1800, 1804)}),
    **chip(5, "ina226", f"{PERIPHERALS}/0-0041", {"power1_input": 3_250_000, "update_interval": 35}),
    **chip(6, "tmp75", f"{PERIPHERALS}/0-0048", {"temp1_input": 45375, "update_interval": 220}),
}
GRAPHICS_CARD = chip(
    7, "amdgpu", "sys/devices/pci0000:00/0000:03:00.0", {"power1_input": 9_000_000}, subsystem="bus/pci"
)


class Ticking:
    """A clock that advances by a millisecond a look, and moves a counter with it: ``power_w`` is what it shows."""

    def __init__(self, path, power_w, range_uj=None):
        self.path, self.power_w, self.range_uj, self.now_s = path, power_w, range_uj, 0.0

    def __call__(self):
        self.advance(1e-3)
        return self.now_s

    def advance(self, by_s):
        self.now_s += by_s
        energy_uj = int(self.path.read_text()) + round(by_s * self.power_w * 1e6)
        self.path.write_text(str(energy_uj % self.range_uj if self.range_uj else energy_uj))


class Rushing:
    """A clock for a sensor that is sampled: nobody waits, the time goes on by as much at once.

    ``read()`` of it returns when the sensor was read so many times more.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._reads = threading.Condition()
        self._count = 0

    def __call__(self):
        return self.now_s

    def wait(self, ended, seconds):
        self.now_s += max(0.0, seconds)
        ended.wait(1e-4)  # so that the test has a turn too

    def watched(self, power_w):
        """The function, but counted."""

        def read():
            with self._reads:
                self._count += 1
                self._reads.notify_all()
            return power_w()

        return read

    def read(self, times):
        with self._reads:
            wanted = self._count + times
            assert self._reads.wait_for(lambda: self._count >= wanted, timeout=60)
