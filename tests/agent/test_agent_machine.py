"""What is read of a machine: from a tree of files that says what the test wants."""

import ast
import sys
from pathlib import Path

import pytest
from fake_machine import (
    GRAPHICS_CARD,
    JETSON_AGX_ORIN,
    JETSON_ORIN_NANO,
    RASPBERRY_PI_4,
    RASPBERRY_PI_5,
    VIRTUAL_BOARD,
    arm,
    write,
    zone,
)

import joulefront_agent
from joulefront_agent import conditions, identity, machine, wire

CPU = "sys/devices/system/cpu"
BOARD = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 600000,
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": 1500000,
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": 600000,
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
        "cores": None,
        "governor": "ondemand,performance",
        "frequency_hz": 1.5e9,
        "frequency_low_hz": 6e8,
        "frequency_min_hz": 6e8,
        "frequency_max_hz": 1.8e9,
        "boost": None,
        "temperature_c": pytest.approx(48.312),
        "throttles": 7,
        "throttled": None,
        "load_1min": 0.52,
        "cpu_busy_s": pytest.approx(1.7),
        "cpu_total_s": pytest.approx(10.2),
        "cpu_cores": 2,
        "memory_available_b": 3000000 * 1024,
        "kernel": "6.1.0-rpi",
    }


def test_the_clock_is_that_of_the_cores_that_a_network_runs_on(tmp_path):
    found = conditions.read(write(tmp_path, BOARD), [1])
    assert (found["cores"], found["governor"]) == ("1", "performance")
    assert (found["frequency_hz"], found["frequency_low_hz"], found["frequency_min_hz"]) == (1.5e9, 1.5e9, None)
    assert found["throttles"] == 7  # heat is the whole processor's


def test_what_a_machine_does_not_tell_is_none(tmp_path):
    assert set(conditions.read(tmp_path).values()) == {None}


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "<unknown>", "", "9" * 5000])
def test_what_is_no_number_is_none_and_can_travel(tmp_path, text):
    found = conditions.read(write(tmp_path, dict.fromkeys(BOARD, text)))
    wire.encode_answer(wire.Answer(1, wire.plain(found, "conditions")))
    numbers = {name: value for name, value in found.items() if name not in ("governor", "kernel")}
    assert set(numbers.values()) == {None}
    assert conditions.memory(tmp_path, "MemTotal") is None


@pytest.mark.parametrize("line", ["MemTotal:", "MemTotal: x kB", "MemTotal: -1 kB", "MemTotal: nan"])
def test_a_machine_that_tells_no_memory(tmp_path, line):
    assert conditions.memory(write(tmp_path, {"proc/meminfo": line}), "MemTotal") is None


@pytest.mark.parametrize(
    ("tree", "boost"),
    [
        ({f"{CPU}/cpufreq/boost": 1}, 1),
        ({f"{CPU}/cpufreq/boost": 0}, 0),
        ({f"{CPU}/intel_pstate/no_turbo": 1}, 0),
        ({f"{CPU}/intel_pstate/no_turbo": 0}, 1),
        ({f"{CPU}/cpufreq/policy0/scaling_driver": "amd-pstate-epp"}, 1),
        ({f"{CPU}/cpufreq/policy0/scaling_driver": "amd-pstate-epp", f"{CPU}/cpufreq/boost": 0}, 0),
        ({f"{CPU}/cpufreq/policy0/scaling_driver": "cpufreq-dt"}, None),
        ({f"{CPU}/cpufreq/boost": "x"}, None),
    ],
)
def test_whether_a_processor_may_go_beyond_its_clock(tmp_path, tree, boost):
    assert conditions.read(write(tmp_path, tree))["boost"] == boost


def vcgencmd(root, script):
    """A command of that name, which notes how often it was asked."""
    path = write(root, {"usr/bin/vcgencmd": f'#!/bin/sh\necho "$@" >> "{root}/asked"\n{script}'}) / "usr/bin/vcgencmd"
    path.chmod(0o755)
    return lambda: (root / "asked").read_text().splitlines()


def test_a_raspberry_pi_says_whether_it_is_throttled(tmp_path):
    asked = vcgencmd(tmp_path, "echo throttled=0x50005")
    assert [conditions.read(tmp_path)["throttled"] for _ in range(2)] == [0x50005] * 2
    assert asked() == ["get_throttled"] * 2


@pytest.mark.parametrize(
    "script",
    ["echo VCHI initialization failed; exit 1", "echo throttled=", "echo throttled=0xnan", "exit 0", "kill $$"],
)
def test_firmware_that_does_not_answer_is_asked_once(tmp_path, script):
    asked = vcgencmd(tmp_path, script)
    assert [conditions.read(tmp_path)["throttled"] for _ in range(3)] == [None] * 3
    assert asked() == ["get_throttled"]


def test_firmware_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    limits = []

    def said(path, *arguments, limit_s):
        limits.append(limit_s)
        raise OSError(f"{path} does not answer within {limit_s:g} s")

    monkeypatch.setattr(conditions.command, "said", said)
    vcgencmd(tmp_path, "exit 1")
    assert [conditions.read(tmp_path)["throttled"] for _ in range(3)] == [None] * 3
    assert limits == [1.0]


def test_a_command_that_is_not_there_is_looked_for_once(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(conditions.command, "find", lambda root, name: found.append(name))
    for _ in range(3):
        conditions.read(tmp_path)
    assert found == ["vcgencmd"]


def test_facts_of_a_board(tmp_path):
    facts = machine.facts(write(tmp_path, BOARD), "auto")
    assert facts["cpu"] == "Cortex-A72"
    assert facts["features"] == "fp asimd"
    assert facts["memory_b"] == 4026531 * 1024
    assert facts["os"] == "Debian GNU/Linux 12"
    assert facts["sensor"] is None
    assert "no RAPL package zone" in facts["sensor_reason"]


@pytest.mark.parametrize(
    ("tree", "facts"),
    [
        (
            RASPBERRY_PI_5,
            {
                "model": "Raspberry Pi 5 Model B Rev 1.0",
                "simulated": None,
                "cpu": "Cortex-A76",
                "cpu_parts": "0x41:0xd0b",
                "clusters": "4x0x41:0xd0b@2.4GHz",
                "caches": "L1d 64 KiB, L1i 64 KiB, L2 2 MiB",
                "frequency_max_hz": 2.4e9,
                "governors_available": "performance,schedutil",
                "sensors": "",
            },
        ),
        (RASPBERRY_PI_4, {"cpu": "Cortex-A72", "clusters": "4x0x41:0xd08@1.8GHz", "l2_b": None, "sensor": None}),
        (
            JETSON_ORIN_NANO,
            {
                "cpu": "Cortex-A78AE",
                "clusters": "6x0x41:0xd42@1.51GHz",
                "sensor": "hwmon:ina3221/VDD_IN",
                "sensor_covers": "module input VDD_IN",
                "sensors": "hwmon:ina3221/VDD_IN, hwmon:ina3221/VDD_CPU_GPU_CV, hwmon:ina3221/VDD_SOC",
            },
        ),
        (JETSON_AGX_ORIN, {"sensor": "hwmon:ina3221", "simulated": None}),
        (
            VIRTUAL_BOARD,
            {
                "model": "HIL simulated board (QEMU virt)",
                "simulated": "the device tree's model is 'HIL simulated board (QEMU virt)': an emulated board",
                "sensor": "hwmon:ina226",
                "sensors": "hwmon:ina226, hwmon:ina3221/1, hwmon:ina3221/2, hwmon:ina3221/3",
            },
        ),
        (
            arm("Khadas VIM3", [("0xd03", 1_908_000)] * 2 + [("0xd09", 1_800_000)] * 4)
            | {f"sys/devices/system/cpu/cpu{core}/cpu_capacity": 592 if core < 2 else 1024 for core in range(6)},
            {
                "cpu": "Cortex-A73 + Cortex-A53",
                "cpu_parts": "0x41:0xd09,0x41:0xd03",
                "clusters": "4x0x41:0xd09@1.8GHz, 2x0x41:0xd03@1.91GHz",
                "frequency_max_hz": 1.908e9,
            },
        ),
        (arm("Odd", [("0xfff", 1_000_000)]), {"cpu": "0x41:0xfff"}),
        (
            {
                **GRAPHICS_CARD,
                **zone("intel-rapl:0", "package-0"),
                "proc/cpuinfo": "processor\t: 0\nmodel name\t: Some x86\nflags\t\t: avx2\n\nprocessor\t: 1\n",
                "sys/class/dmi/id/sys_vendor": "QEMU",
                "sys/class/dmi/id/product_name": "Standard PC",
            },
            {
                "model": "QEMU Standard PC",
                "simulated": None,  # an x86 under KVM runs the code itself
                "cpu": "Some x86",
                "features": "avx2",
                "cpu_parts": None,
                "clusters": None,
                "caches": None,
                "sensor": "rapl",
                "sensors": "rapl, hwmon:amdgpu",
            },
        ),
    ],
    ids=["pi 5", "pi 4", "orin nano", "agx orin", "virtual", "big and little", "unknown", "pc"],
)
def test_facts_of_well_known_machines(tmp_path, tree, facts):
    found = machine.facts(write(tmp_path, tree), "auto")
    assert {key: found[key] for key in facts} == facts
    wire.plain(found, "facts")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"level": "2", "type": "Unified", "size": "1024K", "shared_cpu_list": "0-3"}, 256 << 10),
        ({"level": "2", "type": "Unified", "size": "512K", "shared_cpu_list": "1"}, 512 << 10),
        ({"level": "2", "type": "Data", "size": "6144K", "shared_cpu_list": "0-1,4-5"}, 1536 << 10),
        ({"level": "2", "type": "Instruction", "size": "1024K", "shared_cpu_list": "1"}, None),
        ({"level": "3", "type": "Unified", "size": "1024K", "shared_cpu_list": "1"}, None),
        ({"level": "2", "type": "Unified", "shared_cpu_list": "1"}, None),
        ({"level": "2", "type": "Unified", "size": "1M", "shared_cpu_list": "1"}, None),
        ({"level": "2", "type": "Unified", "size": "1024K"}, None),
        ({"level": "2", "type": "Unified", "size": "1024K", "shared_cpu_list": "7-0"}, None),
        ({"level": "2", "type": "Unified", "size": "1024K", "shared_cpu_list": "0-99999999999999"}, None),
    ],
)
def test_a_core_has_its_share_of_the_second_level_of_cache(tmp_path, told, expected):
    slow, fast = (f"sys/devices/system/cpu/cpu{core}" for core in range(2))
    tree = {
        "proc/cpuinfo": "processor\t: 0\n\nprocessor\t: 1\n",
        f"{slow}/cache/index2/size": "8192K",
        f"{fast}/cpufreq/cpuinfo_max_freq": 2_000_000,
        f"{fast}/cache/index0/level": "1",
        **{f"{fast}/cache/index2/{name}": text for name, text in told.items()},
    }
    assert machine.facts(write(tmp_path, tree), "none")["l2_b"] == expected


def test_the_threads_of_one_core_share_nothing_with_another(tmp_path):
    folder = "sys/devices/system/cpu/cpu0"
    cache = {"level": "2", "type": "Unified", "size": "2048K", "shared_cpu_list": "0,8"}
    tree = {f"{folder}/cache/index2/{name}": text for name, text in cache.items()}
    tree[f"{folder}/topology/thread_siblings_list"] = "0,8"
    assert machine.facts(write(tmp_path, tree), "none")["l2_b"] == 2 << 20


@pytest.mark.parametrize("model", ["linux,dummy-virt", "QEMU Virtual Machine", "A Simulated thing"])
def test_an_emulated_board_is_told(tmp_path, model):
    assert model in machine.facts(write(tmp_path, arm(model, [])), "none")["simulated"]


@pytest.mark.parametrize(
    ("kernel", "bits", "expected"),
    [
        ("aarch64", 64, "aarch64"),
        ("aarch64", 32, "armv7l"),
        ("armv8l", 32, "armv7l"),
        ("armv7l", 32, "armv7l"),
        ("x86_64", 64, "x86_64"),
        ("x86_64", 32, "i686"),
    ],
)
def test_the_architecture_is_that_of_the_programs(kernel, bits, expected):
    assert machine.architecture(kernel, bits) == expected


def test_each_boot_is_another_one_of_the_same_machine(tmp_path):
    trees = [{**BOARD, "proc/sys/kernel/random/boot_id": text} for text in ("one", "two")]
    first, second = (machine.facts(write(tmp_path / str(n), tree), "none") for n, tree in enumerate(trees))
    assert first["machine"] == second["machine"]
    assert first["boot"] != second["boot"]
    assert machine.facts(tmp_path, "none")["boot"] is None


def test_machines_are_told_apart_without_being_named(tmp_path):
    one = machine.facts(write(tmp_path / "a", BOARD), "auto")["machine"]
    assert one == machine.facts(write(tmp_path / "b", BOARD), "auto")["machine"]
    assert one == identity.machine(tmp_path / "b")
    assert one != machine.facts(write(tmp_path / "c", {**BOARD, "etc/machine-id": "another"}), "auto")["machine"]
    assert "c0ffee" not in one


def test_boards_that_boot_from_copies_of_a_card_are_told_apart(tmp_path):
    card = {"etc/machine-id": "d0c0ffee"}
    serial = "sys/firmware/devicetree/base/serial-number"
    trees = [
        card,
        {**card, **arm("Pi", [], Serial="1")},
        {**card, **arm("Pi", [], Serial="2")},
        {**card, serial: b"1423919000000\0"},
        {**card, serial: b"1423919000001\0"},
    ]
    assert len({identity.machine(write(tmp_path / str(n), tree)) for n, tree in enumerate(trees)}) == len(trees)


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
        or path.stem == "install"  # says even to Python 3.6 that it is too old, which has no such annotations
    )
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    allowed = sys.stdlib_module_names | {"tvm_ffi", "joulefront_agent"}
    assert {name.partition(".")[0] for name in imported if name} <= allowed
