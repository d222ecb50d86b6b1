"""The bench with the real agent, on real libraries."""

import os
import threading
from pathlib import Path

import pytest

from joulefront.bench import Bench
from joulefront.config import MeasureConfig, Plugin
from joulefront.errors import Crashed, Hung, WrongOutput
from joulefront_devices import Device
from joulefront_devices.device import SettleTable

pytestmark = pytest.mark.usefixtures("shared_machine")

QUICK = MeasureConfig(interval=0.99, time_s=1.0, full_repeats=2, full_interval=0.99, full_time_s=1.0)


def local(**arguments):
    return Device(name="test", transport=Plugin(kind="local", **arguments), settle=SettleTable(time_s=0.0))


def test_networks_are_measured_and_broken_ones_blamed(jobs, broken):
    with Bench(local(), QUICK, 1) as bench:
        assert bench.facts["cores"] >= 1
        assert bench.target.threads == 1
        bench.reference = jobs["plain"]
        for name in ("plain", "two"):
            measurement = bench.measure(jobs[name], "screening")
            assert measurement.provenance == "measured"
            assert 0 < measurement.latency_s.value < 0.1
            assert len(measurement.repeats_s) >= QUICK.repeats
            assert (measurement.energy_j is None) == (measurement.energy_reason is not None)
            assert (
                measurement.memory_b.value > jobs[name].library.stat().st_size / 2
            )  # what of it was read, and a workspace
            assert measurement.memory_b.value < 16 << 20  # none of Python's, the runtime's or the samples'
        with pytest.raises(WrongOutput, match="not finite on the device"):
            bench.measure(jobs["nan"], "screening")
        with pytest.raises(Crashed, match="SIGSEGV"):
            bench.measure(broken["crash"], "screening")


def test_a_network_that_hangs_twice_is_blamed(jobs, broken):
    config = MeasureConfig(interval=0.99, time_s=0.5, timeout_s=4.0)
    with Bench(Device(name="test", meter="none", settle=SettleTable(time_s=0.0)), config, 1) as bench:
        bench.reference = jobs["plain"]
        with pytest.raises(Hung, match="hang: it had not answered after"):
            bench.measure(broken["hang"], "screening")


def test_all_cores_may_be_used(jobs):
    cores = len(os.sched_getaffinity(0))
    with Bench(local(), QUICK, cores) as bench:
        assert bench.target.threads == cores
        measurement = bench.measure(jobs["plain"], "screening")
    used = measurement.conditions["before"]["cores"].split(",")
    assert sorted(map(int, used)) == sorted(os.sched_getaffinity(0))


def test_energy_is_read_from_the_device_while_the_network_runs_and_while_nothing_does(jobs, tmp_path):
    folder = tmp_path / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(Path("/proc/cpuinfo").read_text())
    (folder / "name").write_text("package-0\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    (folder / "energy_uj").write_text("1000\n")
    ended, brief = threading.Event(), QUICK.model_copy(update={"energy_s": 1.0, "energy_time_s": 2.5})

    def count_up():
        energy_uj = 1000
        while not ended.wait(0.005):
            energy_uj += 100_000
            (folder / "next").write_text(f"{energy_uj}\n")
            (folder / "next").replace(folder / "energy_uj")

    counter = threading.Thread(target=count_up)
    counter.start()
    try:
        with Bench(local(root=str(tmp_path)), brief, 1) as bench:
            assert bench.energy_reason is None
            measurement = bench.measure(jobs["plain"], "full")
    finally:
        ended.set()
        counter.join()
    assert measurement.energy_j.low < measurement.energy_j.value < measurement.energy_j.high
    assert measurement.energy_provenance == "measured"
    assert measurement.memory_b is None  # of a root without /proc/self
    assert "clear_refs" in measurement.memory_reason
    energy = measurement.energy
    assert (energy.meter, energy.covers) == ("rapl", "processor packages: package-0")
    assert len(energy.windows) >= QUICK.full_repeats
    assert all(window.inferences >= 10 for window in energy.windows)
    assert [window.inferences for window in energy.baselines] == [0, 0]
    assert all(window.window_s >= 1.0 for window in energy.windows)
    each = [window.energy_j / window.inferences for window in energy.windows]
    assert min(each) <= measurement.energy_j.value <= max(each)
    assert energy.idle_w is not None
