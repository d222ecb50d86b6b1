"""What the bench says about a device that does not hold still, where it is known what it did."""

import math

import numpy as np
import pytest
from physics import Network, World
from physics_bench import opened
from physics_device import PhysicalDevice, job
from physics_heat import Scripted, Thermal
from physics_sensors import Counter, Power

from joulefront.config import MeasureConfig
from joulefront.errors import Crashed, Hung, MeterError, Unsettled

NETWORK = Network(latency_s=10e-3, busy_w=6.0, spread=0.002, noise=0.01)
SIGNS = [("count",), ("bits",), ("count", "frequency"), ("frequency",)]


def measured(folder, world, *sensors, grade="screening", network=NETWORK, seed=0, **measure):
    device = PhysicalDevice(world, {"n": network}, *sensors, seed=seed)
    with opened(device, MeasureConfig(**measure)) as bench:
        return bench.measure(job("n", folder), grade), device


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


def is_undisturbed(measurement):
    """Whether all its repeats are of a device that was not throttled."""
    return max(np.median(samples) for samples in measurement.repeats_s) < 1.05 * 10e-3


@pytest.mark.parametrize("shows", SIGNS)
@pytest.mark.parametrize("throttled", [(1.0, 1.8), (0.7, 4.0)])
def test_repeats_while_the_processor_was_throttled_are_set_aside(tmp_path, shows, throttled):
    world = World(throttle=Scripted((*throttled, 0.6)), shows=shows)
    found, device = measured(tmp_path, world)
    assert found.set_aside
    assert holds(found.latency_s, 10e-3)
    assert len(device.ran) == len(found.repeats_s) + len(found.set_aside)
    if shows == ("count",):  # it counts how often that began: a repeat that it lasts through shows no sign of it
        assert is_undisturbed(found) or found.latency_s.indicative
    else:
        assert is_undisturbed(found)


@pytest.mark.parametrize("shows", SIGNS)
def test_a_device_that_is_throttled_from_the_start_gets_no_figure_of_that(tmp_path, shows):
    found, _ = measured(tmp_path, World(throttle=Scripted((0.0, 1.5, 0.6)), shows=shows))
    assert holds(found.latency_s, 10e-3)
    assert bool(found.set_aside) is (shows != ("count",))


@pytest.mark.parametrize("shows", SIGNS[1:])
def test_a_device_that_is_throttled_again_and_again_gets_no_figure(tmp_path, shows):
    world = World(throttle=Thermal(50.0, kelvin_per_w=10.0, tau_s=0.5), shows=shows)
    with pytest.raises(Unsettled, match=r"n: .* no measurement"):
        measured(tmp_path, world, network=Network(busy_w=4.0, spread=0.002))


def test_where_only_its_beginning_is_counted_the_figure_is_indicative(tmp_path):
    """A repeat that it lasts through shows no sign of it, and docs/measuring.md says so."""
    world = World(throttle=Thermal(50.0, kelvin_per_w=10.0, tau_s=0.5), shows=("count",))
    found, _ = measured(tmp_path, world, Counter(), network=Network(busy_w=4.0, spread=0.002))
    assert found.set_aside
    assert all("throttled" in reason for reason in found.set_aside)
    for one in (found.latency_s, found.energy_j):
        assert "repeats that it lasted through may be among those that count" in one.indicative


def test_a_device_that_gets_too_hot_in_the_long_run_is_measured_after_rests(tmp_path):
    world = World(throttle=Thermal(80.0, kelvin_per_w=15.0, tau_s=20.0))
    found, _ = measured(tmp_path, world, Counter(), grade="full", network=Network(busy_w=4.6, spread=0.002))
    assert found.set_aside
    assert is_undisturbed(found)
    assert holds(found.energy_j, 46e-3)


@pytest.mark.parametrize("limit_c", [50.0, 60.0, 70.0, 80.0])
def test_a_hot_device_gets_a_true_figure_or_none(tmp_path, limit_c):
    refused = 0
    for seed, tau_s in enumerate((0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)):
        world = World(throttle=Thermal(limit_c, kelvin_per_w=15.0, tau_s=tau_s))
        try:
            found, _ = measured(tmp_path, world, grade="full", network=Network(busy_w=4.6, spread=0.002), seed=seed)
        except Unsettled:
            refused += 1
        else:
            assert holds(found.latency_s, 10e-3)
            assert is_undisturbed(found)
    assert 0 < refused < 7 or limit_c < 60  # idle, it is at 55 degrees


def test_a_device_at_rest_has_neither_doubts_nor_repeats_set_aside(tmp_path):
    for seed in range(20):
        found, _ = measured(tmp_path, World(), Counter(), seed=seed, grade="full")
        assert (found.warnings, found.set_aside) == ((), ())
        assert found.energy is not None


@pytest.mark.parametrize("cores", [0.3, 0.7])
def test_other_work_is_said(tmp_path, cores):
    found, _ = measured(tmp_path, World(others=cores))
    assert any("other" in warning for warning in found.warnings), found.warnings


def test_other_work_that_comes_and_goes_is_said(tmp_path):
    found, _ = measured(tmp_path, World(others=lambda now_s: 1.0 if 0.8 < now_s < 1.2 else 0.0))
    assert any("other" in warning for warning in found.warnings) or found.set_aside


@pytest.mark.parametrize("by_s", [-3600.0, -0.05, 0.05, 3600.0])
@pytest.mark.parametrize("grade", ["screening", "full"])
def test_a_time_of_day_that_is_set_meanwhile_is_said_and_is_in_no_sample(tmp_path, grade, by_s):
    def at(set_s):
        found, device = measured(tmp_path, World(clock_set=(set_s, by_s)), grade=grade)
        return found, sum(ran.clock_steps for ran in device.answers)

    assert at(math.inf)[1] == 0
    tried = [at(set_s) for set_s in np.arange(0.3, 3.0, 0.21)]
    seen = [found for found, steps in tried if steps]
    assert len(seen) > 2  # while it warmed up, it does not matter
    for found in seen:
        assert any("clock was set meanwhile" in warning for warning in found.warnings)
    for found, _ in tried:
        assert holds(found.latency_s, 10e-3)
        assert 8e-3 < min(map(min, found.repeats_s)) <= max(map(max, found.repeats_s)) < 12e-3


@pytest.mark.parametrize(("fate", "error"), [("crash", Crashed), ("hang", Hung)])
def test_a_network_that_fails_once_is_measured_and_twice_is_blamed(tmp_path, fate, error):
    once = Network(fates=(None, fate))
    found, device = measured(tmp_path, World(), network=once)
    assert len(device.ran) == len(found.repeats_s) + 1
    with pytest.raises(error, match="twice"):
        measured(tmp_path, World(), network=Network(fates=(None, fate, fate)))


def zero(now_s, watts):
    return 0.0


def no_number(now_s, watts):
    return math.nan


def unreadable(now_s, watts):
    raise OSError(121, "Remote I/O error")


def backwards(now_s, watts):
    return -watts


def frozen(now_s, watts):
    return 3.25


def now_and_then(now_s, watts):
    """A sample in 8 is none."""
    return math.nan if int(now_s / 0.1) % 8 == 0 else watts


FAULTS = {
    "zero": (zero, "0 W"),
    "nan": (no_number, "nan"),
    "gone": (unreadable, "Remote I/O"),
    "-": (backwards, "-"),
    "frozen": (frozen, "told 3.25 W .* to the last digit: it is stuck"),
    "now and then": (now_and_then, r"lost \d+ of \d+ samples"),
}
OTHER = Network(latency_s=5e-3, busy_w=4.0, spread=0.002, noise=0.01)


class Freezing:
    """What a sensor shows that stands still for a while, from one time to another in s: what it showed at first."""

    def __init__(self, begin_s, end_s):
        self.begin_s, self.end_s, self.held_w = begin_s, end_s, None

    def __call__(self, now_s, watts):
        if not self.begin_s <= now_s < self.end_s:
            return watts
        self.held_w = self.held_w or watts
        return self.held_w


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("grade", ["screening", "full"])
def test_a_sensor_that_tells_no_power_is_an_error_and_never_nothing(tmp_path, fault, grade):
    says, reason = FAULTS[fault]
    device = PhysicalDevice(World(), {"n": NETWORK, "other": OTHER}, Power(fault=says))
    with opened(device) as bench, pytest.raises(MeterError, match=reason):
        bench.measure_all([job("n", tmp_path), job("other", tmp_path)], grade)


@pytest.mark.parametrize("fault", ["zero", "nan", "gone"])
def test_a_sensor_that_fails_for_a_while_spoils_no_figure(tmp_path, fault):
    def says(now_s, watts):
        return FAULTS[fault][0](now_s, watts) if 20.0 < now_s < 30.0 else watts

    found, _ = measured(tmp_path, World(), Power(fault=says), grade="full")
    assert holds(found.energy_j, 6.0 * 10e-3)
    assert found.set_aside


def test_a_sensor_that_stands_still_for_a_while_spoils_no_figure(tmp_path):
    found, _ = measured(tmp_path, World(), Power(noise_w=0.01, fault=Freezing(0.0, 20.0)), grade="full")
    assert "told 2" in found.set_aside[0]
    assert "stuck" in found.set_aside[0]
    assert holds(found.energy_j, 6.0 * 10e-3)


def test_a_sensor_that_stops_after_the_first_baseline_is_seen_by_the_last(tmp_path):
    with pytest.raises(MeterError, match="while a network ran and idle, to the last digit"):
        measured(tmp_path, World(), Power(noise_w=0.01, fault=Freezing(15.0, 1e4)), grade="full")


def test_at_screening_a_sensor_that_stands_still_is_seen_by_the_second_window_that_it_spoils(tmp_path):
    device = PhysicalDevice(World(), {"n": NETWORK, "other": OTHER}, Power(noise_w=0.01, fault=Freezing(0.0, 10.0)))
    with opened(device) as bench:
        bench.measure(job("n", tmp_path), "screening")
        found = bench.measure(job("other", tmp_path), "screening")
    assert "stuck" in found.set_aside[0]
    assert holds(found.energy_j, 4.0 * 5e-3)
