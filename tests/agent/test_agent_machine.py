"""What is read of a machine: from a tree of files that says what the test wants."""

import ast
import sys
from pathlib import Path

import pytest
from fake_machine import write

import joulefront_agent
from joulefront_agent import conditions, machine

BOARD = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 600000,
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": 1500000,
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq": 1800000,
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": 3,
    "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 4,
    "sys/class/thermal/thermal_zone0/temp": 48312,
    "sys/class/thermal/thermal_zone1/temp": "-broken",
    "proc/loadavg": "0.52 0.58 0.59 1/389 12345",
    "proc/stat": "cpu  100 0 50 800 50 0 0 20 0 0\ncpu0 50 0 25 400 25 0 0 10 0 0\ncpu1 50 0 25 400 25 0 0 10 0 0\nintr 7",
    "proc/meminfo": "MemTotal:        4026531 kB\nMemAvailable:    3000000 kB",
    "proc/sys/kernel/osrelease": "6.1.0-rpi",
    "proc/cpuinfo": "processor : 0\nmodel name : Cortex-A72\nFeatures : fp asimd\n\nprocessor : 1\nmodel name : other",
    "etc/machine-id": "d0c0ffee",
    "etc/os-release": 'NAME=Debian\nPRETTY_NAME="Debian GNU/Linux 12"',
}


def test_conditions_of_a_board(tmp_path):
    assert conditions.read(write(tmp_path, BOARD)) == {
        "governor": "ondemand,performance",
        "frequency_hz": 1.5e9,
        "frequency_max_hz": 1.8e9,
        "temperature_c": pytest.approx(48.312),
        "throttles": 7,
        "load_1min": 0.52,
        "cpu_busy_s": pytest.approx(1.7),
        "cpu_total_s": pytest.approx(10.2),
        "cpu_cores": 2,
        "memory_available_b": 3000000 * 1024,
        "kernel": "6.1.0-rpi",
    }


def test_what_a_machine_does_not_tell_is_none(tmp_path):
    assert set(conditions.read(tmp_path).values()) == {None}


def test_facts_of_a_board(tmp_path):
    facts = machine.facts(write(tmp_path, BOARD), "auto")
    assert facts["cpu"] == "Cortex-A72"
    assert facts["features"] == "fp asimd"
    assert facts["memory_b"] == 4026531 * 1024
    assert facts["os"] == "Debian GNU/Linux 12"
    assert facts["sensor"] is None
    assert "no RAPL package zone" in facts["sensor_reason"]


def test_machines_are_told_apart_without_being_named(tmp_path):
    one = machine.facts(write(tmp_path / "a", BOARD), "auto")["machine"]
    assert one == machine.facts(write(tmp_path / "b", BOARD), "auto")["machine"]
    assert one != machine.facts(write(tmp_path / "c", {**BOARD, "etc/machine-id": "another"}), "auto")["machine"]
    assert "c0ffee" not in one


def test_a_machine_without_an_id_is_the_same_at_any_frequency(tmp_path):
    def machine_at(mhz):
        cpuinfo = f"{BOARD['proc/cpuinfo']}".replace("\n", f"\ncpu MHz : {mhz}\n", 1)
        tree = {name: text for name, text in {**BOARD, "proc/cpuinfo": cpuinfo}.items() if name != "etc/machine-id"}
        return machine.facts(write(tmp_path / str(mhz), tree), "auto")["machine"]

    assert machine_at(800.0) == machine_at(3400.5)


def test_a_machine_without_any_of_these_files_has_facts(tmp_path):
    facts = machine.facts(tmp_path, "auto")
    assert facts["cpu"] is None
    assert len(facts["machine"]) == 16


@pytest.mark.parametrize(
    "path", sorted(Path(joulefront_agent.__file__).parent.glob("*.py")), ids=lambda path: path.stem
)
def test_the_agent_is_python_3_9_and_imports_nothing_else(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert (
        any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        or len(tree.body) == 1
    )
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    allowed = sys.stdlib_module_names | {"tvm_ffi", "joulefront_agent"}
    assert {name.partition(".")[0] for name in imported if name} <= allowed
