"""The simulated device itself: what it says follows from what is true of it, and from nothing else."""

import threading

import numpy as np
import pytest
from physics import Network, Process, World
from physics_bench import opened, session
from physics_device import PhysicalDevice, job
from physics_heat import Scripted, Thermal
from physics_sensors import Counter, Power, Prompt

from joulefront.kernel_records import Argument, Function
from joulefront_agent.wire_energy import Watch


def sampled(world, network, count=20_000, seed=1):
    return np.array(Process(world, network, np.random.default_rng(seed)).time(count))


def test_time_goes_by_for_what_is_done_and_power_for_what_runs():
    world = World(idle_w=2.0)
    world.spend(10.0)
    with world.loaded(1, 4.0):
        world.spend(5.0)
    assert world.now() == pytest.approx(15.0)
    assert world.energy_j(0.0, 15.0) == pytest.approx(10 * 2.0 + 5 * 6.0)
    assert world.energy_j(9.0, 11.0) == pytest.approx(2.0 + 6.0)
    conditions = world.conditions()
    assert (conditions["cpu_busy_s"], conditions["cpu_total_s"]) == pytest.approx((5.0, 60.0), abs=0.02)


def test_a_network_has_its_median_and_noise_that_remembers():
    samples = sampled(World(), Network(latency_s=10e-3, spread=0.0, noise=0.02, rho=0.9), 50_000)
    assert np.median(samples) == pytest.approx(10e-3, rel=0.003)
    logs = np.log(samples) - np.log(samples).mean()
    assert logs.std() == pytest.approx(0.02, rel=0.1)
    assert (logs[1:] * logs[:-1]).mean() / logs.var() == pytest.approx(0.9, abs=0.02)


def test_processes_differ_by_what_they_are_said_to():
    network = Network(latency_s=10e-3, spread=0.01, noise=0.0)
    medians = [np.median(sampled(World(), network, 3, seed)) for seed in range(500)]
    assert np.log(medians).std() == pytest.approx(0.01, rel=0.15)
    assert np.median(medians) == pytest.approx(10e-3, rel=0.002)


def test_drift_others_and_throttling_make_it_slower():
    network = Network(latency_s=10e-3, spread=0.0, noise=0.0)
    assert sampled(World(drift=1.05), network, 10)[0] == pytest.approx(10.5e-3)
    assert sampled(World(others=1.0, contention=0.2), network, 10)[0] == pytest.approx(12e-3)
    slow = World(throttle=Scripted((0.0, 1.0, 0.5)))
    samples = sampled(slow, network, 200)
    assert (samples[0], samples[-1]) == pytest.approx((20e-3, 10e-3))
    assert slow.conditions()["throttles"] == 0  # it was throttled before anybody looked


def test_what_gets_hot_is_slowed_down_and_counts_it():
    world = World(throttle=Thermal(60.0, kelvin_per_w=10.0, tau_s=5.0))
    samples = sampled(world, Network(busy_w=3.8, spread=0.0, noise=0.0), 8000)
    assert (samples[0], samples.max()) == pytest.approx((10e-3, 10e-3 / 0.6))
    assert world.conditions()["throttles"] > 1  # it cools down, and begins again


def test_the_devices_clock_has_an_offset_and_runs_at_its_own_rate():
    world = World(offset_s=50.0, skew=1e-3)
    world.spend(100.0)
    assert world.device_s() == pytest.approx(150.1)
    world.spend_device(1.0)
    assert world.device_s() == pytest.approx(151.1)


def test_a_thread_that_waits_goes_on_when_its_time_has_come():
    world, seen, ready, end = World(), [], threading.Event(), threading.Event()

    def watch():
        world.waiting.join()
        ready.set()
        while not end.is_set():
            world.waiting.wait(end, world.now() + 0.3)
            seen.append(round(world.now(), 6))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    ready.wait(10)
    world.spend(1.0)
    end.set()
    thread.join(10)
    assert not thread.is_alive()
    assert seen == [0.3, 0.6, 0.9, 1.0]


@pytest.mark.parametrize("sensor", [Power(period_s=0.02), Counter(), Prompt(period_s=0.01)])
def test_sensors_tell_the_truth_unless_told_otherwise(tmp_path, sensor):
    device = PhysicalDevice(World(idle_w=lambda now_s: 2.0 + 0.01 * now_s), {}, sensor)
    with session(device) as opened_session:
        taken = opened_session.watch(Watch((sensor.name,), 0, 10.0, 0, 10.0, 60.0)).window
    begin_s, end_s = taken.begin_s - 1000, taken.end_s - 1000
    assert end_s - begin_s == pytest.approx(10.0)
    true_j = device.world.energy_j(begin_s, end_s)
    assert taken.readings[0].energy_j == pytest.approx(true_j, rel=1e-3)
    assert true_j == pytest.approx(20.5, rel=0.01)


def test_a_seed_makes_everything_the_same_again(tmp_path):
    def measured(seed):
        device = PhysicalDevice(World(), {"n": Network()}, Power(noise_w=0.05), seed=seed)
        with opened(device) as bench:
            found = bench.measure(job("n", tmp_path), "full")
        return found.repeats_s, found.energy_j, device.world.now()

    assert measured(1) == measured(1)
    assert measured(1) != measured(2)


def test_it_answers_all_that_the_wire_has(tmp_path):
    device = PhysicalDevice(World(), {"n": Network()}, Power(), Counter())
    with session(device) as opened_session:
        assert [(meter.name, meter.kind, meter.auto) for meter in opened_session.meters()] == [
            ("hwmon:simulated", "power", True),
            ("rapl", "counter", False),
        ]
        device_s, asked_s, heard_s = opened_session.clock()
    assert asked_s < device_s - 1000.0 < heard_s
    function = Function("one", (Argument((1, 8), "float32", True),))
    with opened(device) as bench:
        one = job("n", tmp_path)
        timing = {"rounds": 3, "slice_s": 0.01, "limit_s": 1.0, "flush_b": 0}
        (timed,) = bench.time_functions(one.library, one.sha256, [function], **timing)
    assert timed.latency_s.value == pytest.approx(1e-5, rel=0.05)
