"""The meters that docs/adding-a-meter.md has its readers write, and stand-ins for the libraries that they use."""

import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

PAGE = Path(__file__).parent.parent / "docs" / "adding-a-meter.md"

LIBRARIES = {}
"""By the name of a module that a meter imports, what makes a stand-in that tells ``watts()``."""


def written(folder):
    """Write the page's classes into files of the names that it gives them; returns those names."""
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for name, code in blocks:
        (folder / name).write_text(code, encoding="utf-8")
    return [name for name, _ in blocks]


def library(name):
    def known(make):
        LIBRARIES[name] = make
        return make

    return known


@library("smbus2")
def smbus2(watts):
    """An INA226 at 5 V with a shunt of 10 mOhm."""

    class SMBus:
        def __init__(self, bus):
            self.written = []

        def write_i2c_block_data(self, address, register, data):
            assert (address, register, data) == (0x40, 0x00, [0x47, 0x27])

        def read_i2c_block_data(self, address, register, length):
            value = {0x01: round(watts() / 5.0 * 0.01 / 2.5e-6), 0x02: round(5.0 / 1.25e-3)}[register]
            return list(max(-0x8000, min(0x7FFF, value)).to_bytes(length, "big", signed=True))

        def close(self):
            pass

    return {"smbus2": module("smbus2", SMBus=SMBus)}


@library("pyvisa")
def pyvisa(watts):
    def query(question):
        return "MAKER,WT1,0,1\n" if question == "*IDN?" else f"{watts():.5E}\n"

    class ResourceManager:
        def __init__(self, backend):
            assert backend == "@py"

        def open_resource(self, address):
            return SimpleNamespace(query=query, close=lambda: None)

    return {"pyvisa": module("pyvisa", ResourceManager=ResourceManager)}


@library("ppk2_api")
def ppk2_api(watts):
    class PPK2_MP:
        def __init__(self, port):
            self.volts, self.reads = None, 0

        def set_source_voltage(self, millivolts):
            self.volts = millivolts / 1000

        def get_data(self):
            self.reads += 1
            return b"...." if self.reads % 2 else b""

        def get_samples(self, data):
            return [watts() / self.volts * 1e6] * 4, [0] * 4

        def __getattr__(self, name):
            assert name in (
                "get_modifiers",
                "use_source_meter",
                "toggle_DUT_power",
                "start_measuring",
                "stop_measuring",
            )
            return lambda *_: None

    inner = module("ppk2_api.ppk2_api", PPK2_MP=PPK2_MP)
    return {"ppk2_api": module("ppk2_api", ppk2_api=inner), "ppk2_api.ppk2_api": inner}


def module(name, **contents):
    made = ModuleType(name)
    vars(made).update(contents)
    return made
