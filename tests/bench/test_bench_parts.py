"""The bench's smaller parts: settling, targets and what counts as the same output."""

import os

import numpy as np
import pytest

from joulefront.bench.lock import hold
from joulefront.bench.outputs import check
from joulefront.bench.settle import settle
from joulefront.bench.target import CORES, target_of
from joulefront.errors import BenchError, ConfigError, DeviceBusy, WrongOutput
from joulefront.records import Array, Target
from joulefront_agent.wire import Tensor
from joulefront_devices import Device
from joulefront_devices.device import SettleTable, TargetTable

V2 = "fpu cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


def facts(architecture, features, cores=4):
    return {"architecture": architecture, "features": features, "cores": cores}


@pytest.mark.parametrize(
    ("architecture", "features", "expected"),
    [
        ("x86_64", V4, Target("x86_64-linux-gnu", "x86-64-v4", (), 16, 32, 2)),
        ("x86_64", V3, Target("x86_64-linux-gnu", "x86-64-v3", (), 8, 16, 2)),
        ("x86_64", f"{V3} avx512f", Target("x86_64-linux-gnu", "x86-64-v3", (), 8, 16, 2)),
        ("x86_64", f"{V2} avx2", Target("x86_64-linux-gnu", "x86-64-v2", (), 4, 16, 2)),
        ("x86_64", V3.replace("popcnt ", ""), Target("x86_64-linux-gnu", "x86-64", (), 4, 16, 2)),
        ("x86_64", "fpu sse2", Target("x86_64-linux-gnu", "x86-64", (), 4, 16, 2)),
        ("aarch64", "fp asimd", Target("aarch64-linux-gnu", "generic", ("+neon",), 4, 32, 2)),
    ],
)
def test_the_target_is_read_from_the_device(architecture, features, expected):
    assert target_of(Device(name="x"), facts(architecture, features), 2) == expected


def test_a_processor_that_does_not_tell_is_not_guessed():
    with pytest.raises(ConfigError, match=r"device 'x': the features of its processor .*\[target\] table"):
        target_of(Device(name="x"), facts("x86_64", ""), 2)


def test_a_devices_own_target_goes_first():
    table = TargetTable(
        triple="riscv64-linux-gnu", cpu="sifive-u74", features=("+v",), vector_floats=4, vector_registers=32
    )
    target = target_of(Device(name="x", target=table), facts("riscv64", ""), 1)
    assert target == Target("riscv64-linux-gnu", "sifive-u74", ("+v",), 4, 32, 1)


@pytest.mark.parametrize(
    ("told", "given", "expected"),
    [
        (1 << 20, None, 1 << 20),
        (1 << 20, 256 << 10, 256 << 10),
        (None, 256 << 10, 256 << 10),
        (64 << 10, None, 64 << 10),
        (64 << 20, None, 64 << 20),
        (None, None, Target("", "", (), 1, 1).l2_b),
        ((64 << 10) - 1, None, Target("", "", (), 1, 1).l2_b),
        ((64 << 20) + 1, None, Target("", "", (), 1, 1).l2_b),
        ("1048576", None, Target("", "", (), 1, 1).l2_b),
    ],
)
def test_the_cache_is_as_the_table_says_or_the_device_or_as_assumed(told, given, expected):
    table = TargetTable(triple="aarch64-linux-gnu", cpu="cortex-a76", vector_floats=4, vector_registers=32, l2_b=given)
    said = facts("aarch64", "fp asimd") | {"l2_b": told}
    assert target_of(Device(name="x", target=table), said, 1).l2_b == expected
    if given is None:
        assert target_of(Device(name="x"), said, 1).l2_b == expected


def test_more_threads_than_cores_are_refused():
    with pytest.raises(ConfigError, match="threads: 8 are more than the 4 cores of the device 'x'"):
        target_of(Device(name="x"), facts("x86_64", V4), 8)


def board(parts, features="fp asimd asimdhp asimddp"):
    return {"architecture": "aarch64", "features": features, "cores": 4, "cpu_parts": parts}


@pytest.mark.parametrize(
    ("parts", "features", "cpu"),
    [
        ("0x41:0xd08", "fp asimd", "cortex-a72"),
        ("0x41:0xd0b", "fp asimd asimdhp asimddp", "cortex-a76"),
        ("0x41:0xd0b,0x41:0xd05", "fp asimd asimdhp asimddp", "cortex-a55"),
        ("0x41:0xd08,0x41:0xd03", "fp asimd", "cortex-a53"),
        ("0x41:0xd0b,0x41:0xd03", "fp asimd", "cortex-a53"),
        ("0x4e:0x004", "fp asimd asimdhp", "carmel"),
        ("0x41:0xd0b", "fp asimd", "generic"),  # a kernel or an emulator that offers less than the core has
        ("0x41:0xd40", "fp asimd asimdhp asimddp", "generic"),  # and no SVE
        ("0x41:0xd0b,0x41:0xfff", "fp asimd asimdhp asimddp", "generic"),
        (None, "fp asimd", "generic"),
    ],
)
def test_an_arm_processor_is_named_by_its_cores(parts, features, cpu):
    target = target_of(Device(name="x"), board(parts, features), 1)
    assert target == Target("aarch64-linux-gnu", cpu, ("+neon",), 4, 32, 1)


def features_of(cpu):
    """What LLVM may use in code for an ARM processor, without its name for it and how it schedules."""
    import tvm

    listed = tvm.get_global_func("target.llvm_get_cpu_features")(
        tvm.target.Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": cpu})
    )
    tuning = {
        cpu.removeprefix("cortex-"), "balance-fp-ops", "fuse-address", "use-postra-scheduler", "use-wzr-to-vec-move",
        "use-fixed-over-scalable-if-equal-cost",
    }  # fmt: skip
    return {str(name) for name in listed} - tuning


def test_every_arm_core_is_one_that_llvm_knows():
    from joulefront.compile.target import tvm_target

    for core in CORES.values():
        tvm_target(Target("aarch64-linux-gnu", core.cpu, ("+neon",), 4, 32))
    for core in CORES.values():
        wanted = {"fullfp16": "asimdhp", "dotprod": "asimddp", "sve": "sve", "sve2": "sve2"}
        assert core.needs == {wanted[name] for name in features_of(core.cpu) & wanted.keys()}, core


@pytest.mark.parametrize(
    "parts",
    [
        "0x41:0xd08,0x41:0xd03",
        "0x41:0xd09,0x41:0xd03",
        "0x41:0xd0a,0x41:0xd05",
        "0x41:0xd0b,0x41:0xd05",
        "0x41:0xd0d,0x41:0xd05",
        "0x41:0xd44,0x41:0xd41,0x41:0xd05",
        "0x41:0xd48,0x41:0xd47,0x41:0xd46",
    ],
)
def test_code_for_several_kinds_of_cores_runs_on_each(parts):
    chosen = target_of(Device(name="x"), board(parts, "asimdhp asimddp sve sve2"), 1).cpu
    for part in parts.split(","):
        assert features_of(chosen) <= features_of(CORES[part].cpu), part


def test_a_target_table_goes_before_the_cores():
    table = TargetTable(triple="aarch64-linux-gnu", cpu="cortex-a76", vector_floats=4, vector_registers=32)
    assert target_of(Device(name="x", target=table), board("0x41:0xd08"), 1).cpu == "cortex-a76"


class Load:
    """A device: each look is a second after the last, and finds the next of ``shares`` of its cores' time taken."""

    def __init__(self, *shares, cores=1):
        self.shares, self.cores, self.looks, self.busy_s = shares, cores, 0, 0.0

    def conditions(self):
        self.busy_s += self.cores * self.shares[min(self.looks, len(self.shares) - 1)]
        self.looks += 1
        total_s = float(self.cores * self.looks)
        return {"cpu_busy_s": self.busy_s, "cpu_total_s": total_s, "cpu_cores": self.cores}

    def settle(self, **table):
        return settle(self.conditions, SettleTable(**table), clock=lambda: float(self.looks), wait=lambda seconds: None)


def test_a_device_at_rest_is_measured_at_once():
    load = Load(0.0)
    assert load.settle() == (0.0, None)
    assert load.looks == 2


def test_a_busy_device_is_waited_for():
    load = Load(0.0, 0.9, 0.5, 0.05)
    busy, warning = load.settle(time_s=10.0)
    assert busy == pytest.approx(0.05)
    assert warning is None


def test_a_device_that_stays_busy_is_measured_with_a_warning():
    busy, warning = Load(0.75).settle(time_s=10.0)
    assert busy == pytest.approx(0.75)
    assert warning == "other work took 0.75 of 1 cores' time: it was measured nevertheless after 10 s of waiting"


def test_a_device_that_is_not_waited_for_is_looked_at():
    load = Load(0.75, cores=4)
    assert load.settle(time_s=0.0)[1] == "other work took 3 of 4 cores' time: it was measured nevertheless"
    assert load.looks == 2


@pytest.mark.parametrize(
    ("cores", "taken", "at_rest"),
    [
        (1, 0.09, True),
        (1, 0.11, False),
        (4, 0.39, True),
        (4, 0.41, False),
        (64, 0.4, True),
        (64, 1, False),
        (64, 6, False),
    ],
)
def test_busy_cores_do_not_hide_among_many(cores, taken, at_rest):
    _, warning = Load(taken / cores, cores=cores).settle(time_s=1.0)
    assert (warning is None) == at_rest


def test_a_device_that_does_not_tell_is_measured_with_a_warning():
    nothing = {"cpu_busy_s": None, "cpu_total_s": None, "cpu_cores": None}
    busy, warning = settle(lambda: nothing, SettleTable(), wait=lambda seconds: None)
    assert busy is None
    assert "does not say" in warning


def arrays(expected, returned, dtype):
    one, other = np.array(expected, dtype), np.array(returned, dtype)
    return [Array(one.shape, dtype, one.tobytes())], [Tensor(other.shape, dtype, other.tobytes())]


@pytest.mark.parametrize(
    ("expected", "returned", "dtype"),
    [
        ([100.0, 0.0], [100.0, 0.0099], "float32"),  # relative to the largest value, not to each
        ([1, 2], [1, 2], "int64"),
        ([True], [True], "bool"),
        ([], [], "float32"),
        ([0.0], [0.0], "float32"),
    ],
)
def test_the_same_output(expected, returned, dtype):
    check("x", *arrays(expected, returned, dtype))


@pytest.mark.parametrize(
    ("expected", "returned", "dtype", "said"),
    [
        ([100.0, 0.0], [100.0, 0.0101], "float32", "0.0001 relative, 0.0001 is allowed"),
        ([1, 2], [1, 3], "int64", "1 of 2 elements differ"),
        ([0.0], [1e-9], "float32", "inf relative"),
        ([np.nan], [np.nan], "float32", "not finite on torch"),
    ],
)
def test_another_output(expected, returned, dtype, said):
    with pytest.raises(WrongOutput, match=said):
        check("x", *arrays(expected, returned, dtype))


def test_a_lock_that_cannot_be_made_is_a_bench_error(tmp_path, monkeypatch):
    (tmp_path / "joulefront").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(BenchError, match="cannot be locked"), hold("x"):
        pass


@pytest.fixture
def no_runtime_folder(tmp_path, monkeypatch):
    """The folder for temporary files, where no folder for a session's can be used."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.access", lambda *_: False)
    return tmp_path


@pytest.mark.parametrize("named", [None, "/nowhere", "/"])
def test_locks_have_a_place_where_no_variable_names_a_usable_one(no_runtime_folder, monkeypatch, named):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    if named:
        monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    with hold("x"), pytest.raises(DeviceBusy), hold("x"):
        pass
    assert [path.stat().st_mode & 0o777 for path in no_runtime_folder.iterdir()] == [0o700]


def test_a_folder_for_locks_that_is_open_to_others_is_refused(no_runtime_folder, monkeypatch):
    folder = no_runtime_folder / f"joulefront-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(BenchError, match=f"chmod 700 {folder}"), hold("x"):
        pass
    folder.chmod(0o700)
    with hold("x"):
        pass
    another = os.getuid() + 1
    folder.rename(no_runtime_folder / f"joulefront-{another}")
    monkeypatch.setattr("os.getuid", lambda: another)
    with pytest.raises(BenchError, match="XDG_RUNTIME_DIR"), hold("x"):
        pass


def test_a_link_in_the_place_of_the_folder_for_locks_is_refused(no_runtime_folder, tmp_path):
    (tmp_path / "target").mkdir(mode=0o700)
    (no_runtime_folder / f"joulefront-{os.getuid()}").symlink_to(tmp_path / "target")
    with pytest.raises(BenchError, match="not a folder of this user alone"), hold("x"):
        pass
