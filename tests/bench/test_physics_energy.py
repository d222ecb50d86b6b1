"""Joules that the bench states of a simulated device, by sensors of its own and by a meter on the host."""

import math

import numpy as np
import pytest
from physics import Network, World
from physics_bench import opened
from physics_device import PhysicalDevice, job
from physics_sensors import Counted32, Counter, HostMeter, Power, Prompt
from scipy.stats import binom

from joulefront.config import MeasureConfig
from joulefront.errors import MeterError

NETWORK = Network(latency_s=10e-3, busy_w=6.0, spread=0.003, noise=0.01)
TRUE_J, TRUE_NET_J = 60e-3, 40e-3
SESSIONS = 40
FEWEST = int(binom.ppf(0.001, SESSIONS, 0.95))


def measured(folder, *sensors, grade="full", seed=0, world=None, meter=None, measure=None, **device):
    simulated = PhysicalDevice(world or World(), {"n": NETWORK}, *sensors, seed=seed, **device)
    with opened(simulated, measure, meter=meter) as bench:
        return bench.measure(job("n", folder), grade), simulated


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


def width(estimate):
    return (estimate.high - estimate.low) / 2 / estimate.value


@pytest.mark.parametrize("grade", ["screening", "full"])
@pytest.mark.parametrize("sensor", [Power(noise_w=0.05), Power(period_s=0.02, step_w=0.1), Counter()])
def test_joules_are_watts_times_seconds(tmp_path, sensor, grade):
    found, _ = measured(tmp_path, sensor, grade=grade)
    assert holds(found.energy_j, TRUE_J)
    assert width(found.energy_j) < (0.12 if grade == "screening" else 0.05)
    assert (found.energy.meter, found.energy.covers) == (sensor.name, sensor.covers)
    if grade == "full":
        assert holds(found.energy.net_j, TRUE_NET_J)
        assert holds(found.energy.idle_w, 2.0)


def test_a_sensor_of_5_hz_gets_windows_so_long_that_the_interval_holds(tmp_path):
    quick, _ = measured(tmp_path, Power(period_s=0.02, noise_w=0.05))
    slow, _ = measured(tmp_path, Power(period_s=0.2, noise_w=0.05))
    assert min(one.window_s for one in slow.energy.windows) >= 100 * 0.2
    assert max(one.window_s for one in quick.energy.windows) < 12
    assert holds(slow.energy_j, TRUE_J)
    assert width(slow.energy_j) <= MeasureConfig().energy_interval
    assert slow.warnings == ()
    idle_w = [one.energy_j / one.window_s for one in slow.energy.baselines]
    assert idle_w == pytest.approx([2.0] * len(idle_w), rel=0.01)  # nothing of the busy time before is in them


def test_what_a_slow_sensor_leaves_open_is_in_the_interval(tmp_path):
    """At 0.5 Hz no window that anybody would wait for is long enough for the usual share of edges."""
    found, _ = measured(tmp_path, Power(period_s=2.0))
    assert holds(found.energy_j, TRUE_J)
    assert max(one.window_s for one in found.energy.windows) < 62
    assert found.energy.parts["edges"] > 10 * 0.02 / 60  # far more than a quick sensor's


def test_a_counter_that_wraps_meanwhile_is_no_news(tmp_path):
    found, _ = measured(tmp_path, Counter(range_j=30_000.0, fault=lambda now_s, joules: joules + 29_900.0))
    assert holds(found.energy_j, TRUE_J)
    assert found.set_aside == ()


@pytest.mark.parametrize("grade", ["screening", "full"])
def test_a_counter_of_32_bits_that_wraps_meanwhile_is_no_news_either(tmp_path, grade):
    """Of microjoules: it begins anew after 4295 J."""
    from_start, device = measured(tmp_path, Counted32(), grade=grade)
    begin_s, end_s = max(device.windows, key=lambda window: device.world.energy_j(*window))
    until_j = device.world.energy_j(0.0, (begin_s + end_s) / 2)
    wrapping, _ = measured(tmp_path, Counted32(first_j=(1 << 32) * 1e-6 - until_j), grade=grade)
    assert wrapping.energy_j.value == pytest.approx(from_start.energy_j.value, rel=1e-6)
    assert holds(wrapping.energy_j, TRUE_J)
    assert wrapping.set_aside == ()


def test_a_counter_that_may_have_wrapped_twice_is_no_measurement(tmp_path):
    with pytest.raises(MeterError, match="wrap more than once"):
        measured(tmp_path, Counter(range_j=50.0))


def test_a_counter_that_stands_still_is_stuck(tmp_path):
    with pytest.raises(MeterError, match="stuck"):
        measured(tmp_path, Counter(fault=lambda now_s, joules: 7.0, read_s=5e-3))


def test_a_sensor_that_never_moves_and_should_is_stuck(tmp_path):
    with pytest.raises(MeterError, match="stuck"):
        measured(tmp_path, Power(moves=True, fault=lambda now_s, watts: 3.25))


def test_idle_power_that_drifts_is_said_and_is_in_the_net_joules(tmp_path):
    found, _ = measured(tmp_path, Prompt(0.01), world=World(idle_w=lambda now_s: 2.0 + 0.004 * now_s))
    assert any("idle" in warning for warning in found.warnings)
    steady, _ = measured(tmp_path, Prompt(0.01))
    assert not any("idle" in warning for warning in steady.warnings)
    assert width(found.energy.net_j) > 2 * width(steady.energy.net_j)


CLOCKS = {
    "fast": {"skew": 50e-6},
    "slow and far": {"skew": -80e-6, "offset_s": 1e6},
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("delays_s", [(1e-4, 1e-4), (5e-3, 1e-4)])
def test_a_meter_on_the_host_finds_the_devices_windows_within_what_it_says(tmp_path, clock, delays_s):
    meter = HostMeter(world := World(**CLOCKS[clock]))
    found, device = measured(tmp_path, meter=meter, world=world, delays_s=delays_s, jitter_s=5e-4)
    assert len(meter.asked) == len(device.windows) > 5
    for asked, (begin_s, end_s) in zip(meter.asked, device.windows, strict=True):
        assert abs(asked.begin_s - begin_s) <= asked.edges_s
        assert abs(asked.end_s - end_s) <= asked.edges_s
        assert asked.edges_s < sum(delays_s) + 1e-3
    assert holds(found.energy_j, TRUE_J)
    assert holds(found.energy.net_j, TRUE_NET_J)
    assert found.energy.meter == meter.name
    assert found.energy_provenance == "measured"


def test_the_interval_of_a_meter_on_the_host_holds_the_truth(tmp_path):
    found = []
    for seed in range(SESSIONS):
        rng = np.random.default_rng(seed)
        world = World(skew=rng.uniform(-1e-4, 1e-4), offset_s=rng.uniform(0, 1e5))
        meter = HostMeter(world, gain=1 + rng.uniform(-5e-3, 5e-3), claimed=5e-3)
        found.append(measured(tmp_path, meter=meter, world=world, grade="screening", seed=seed, jitter_s=5e-4)[0])
    assert sum(holds(one.energy_j, TRUE_J) for one in found) >= FEWEST
    assert np.median([width(one.energy_j) for one in found]) < 0.02


@pytest.mark.parametrize(("late_s", "lost"), [(0.07, False), (0.09, True)])
@pytest.mark.parametrize("grade", ["screening", "full"])
def test_a_meter_on_the_host_that_is_not_asked_for_five_periods_has_lost_samples(tmp_path, grade, late_s, lost):
    world = World()
    meter = HostMeter(world, late_s=lambda now_s: late_s if now_s % 1.0 < 0.02 else 0.0)
    if not lost:
        found, _ = measured(tmp_path, meter=meter, world=world, grade=grade)
        assert holds(found.energy_j, TRUE_J)
        assert found.set_aside == ()
        return
    with pytest.raises(MeterError, match=r"simulated-host lost samples: none for 0\.11\d* s, .* s into the window"):
        measured(tmp_path, meter=meter, world=world, grade=grade)


def gone(now_s, watts):
    raise OSError(19, "No such device")


HOST_FAULTS = {
    "nan": (lambda now_s, watts: math.nan if now_s % 1.0 < 0.02 else watts, r"samples are no numbers"),
    "nothing": (lambda now_s, watts: 0.0, r"told 0 J over"),
    "backwards": (lambda now_s, watts: -watts, r"told -\d+\.?\d* J over"),
    "gone": (gone, "No such device"),
    "frozen": (lambda now_s, watts: 3.25, "told 3.25 W .* to the last digit: it is stuck"),
}


@pytest.mark.parametrize("fault", HOST_FAULTS)
def test_a_meter_on_the_host_that_tells_no_power_is_an_error_and_never_nothing(tmp_path, fault):
    says, reason = HOST_FAULTS[fault]
    world = World()
    with pytest.raises(MeterError, match=reason):
        measured(tmp_path, meter=HostMeter(world, fault=says), world=world)
