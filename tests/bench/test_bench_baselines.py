"""The idle device beside a network: when it was not the same all the time, and when it was throttled."""

from dataclasses import replace

import pytest
from physics import Network, World
from physics_bench import opened
from physics_device import PhysicalDevice, job
from physics_heat import Scripted
from physics_sensors import Power
from test_bench import JOB
from test_bench_windows import Machine

from joulefront.config import MeasureConfig
from joulefront.records import EnergyWindow

NETWORK = Network(latency_s=10e-3, busy_w=6.0, spread=0.002)
IDLING = "while the idle device was measured, "


@pytest.fixture
def network(tmp_path):
    return replace(JOB, library=tmp_path / "x.so")


@pytest.mark.parametrize("period_s", [1e-3, 0.1])
@pytest.mark.parametrize(("later_w", "said"), [(2.0599, 0), (2.0601, 1), (1.9418, 0), (1.9416, 1)])
def test_more_than_3_percent_apart_is_a_doubt_whatever_the_meters_period(open_bench, network, period_s, later_w, said):
    with open_bench(Machine(idle=[2.0, later_w], period_s=period_s)) as bench:
        warnings = bench.measure(network, "full").warnings
    assert ["the idle device took between" in warning for warning in warnings] == [True] * said


def throttled(folder, until_s, shows):
    device = PhysicalDevice(World(throttle=Scripted((0.0, until_s, 0.6)), shows=(shows,)), {"n": NETWORK}, Power())
    with opened(device, MeasureConfig()) as bench:
        return bench.measure(job("n", folder), "full"), device


@pytest.mark.parametrize(("until_s", "taken"), [(0.0, 1), (4.0, 2), (8.0, 3)])
def test_the_idle_device_is_measured_anew_while_it_is_throttled(tmp_path, until_s, taken):
    found, device = throttled(tmp_path, until_s, "bits")
    idle = [end_s - begin_s for begin_s, end_s in device.windows if end_s - begin_s < 7]
    assert len(idle) == taken + 1  # and one in the end
    assert len(found.energy.baselines) == 2
    assert found.warnings == ()


def test_an_idle_device_that_stays_throttled_is_a_doubt(tmp_path):
    found, _ = throttled(tmp_path, 15.5, "bits")
    assert len(found.energy.baselines) == 2
    assert [warning for warning in found.warnings if warning.startswith(IDLING)] == [
        IDLING + "the firmware says: its clock is throttled"
    ]


def test_what_the_meter_itself_doubts_of_a_window_is_said(open_bench, monkeypatch, network):
    def doubtful(window, reading):
        return EnergyWindow(
            reading.energy_j, reading.window_s, window.inferences, 0, 1e-3, None, 0, 0, ("it gets warm",)
        )

    monkeypatch.setattr("joulefront.bench.energy.window_of", doubtful)
    with open_bench(Machine()) as bench:
        assert bench.measure(network, "full").warnings == (
            IDLING + "it gets warm",
            "it gets warm (in 5 of 5 repeats)",
        )
        assert bench.measure(network, "screening").warnings == ("it gets warm (in 1 of 3 repeats)",)
