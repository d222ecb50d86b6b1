"""GPUs by NVML, of a module that the test makes."""

import sys
from functools import partial

import pytest
from fake_machine import write
from fake_sensors import FakeNvml, unusable

from joulefront_agent import sensors
from joulefront_agent.sensors import nvml, probe


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(probe, "_LIMIT_S", 0.01)


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
    (found, *_) = sensors.survey(root)
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
