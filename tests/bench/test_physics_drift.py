"""A device that drifts: rounds keep the drift out of what two networks are told apart by, and the canary notices it."""

from itertools import combinations

import numpy as np
import pytest
from physics import Network, World
from physics_bench import opened
from physics_device import PhysicalDevice, job
from scipy.stats import binom

from joulefront import canary, estimates
from joulefront.canary import Canary
from joulefront.store import Store
from joulefront.study import run
from simulated import Silent, study_text

SESSIONS = 40
FEWEST = int(binom.ppf(0.001, SESSIONS, 0.95))
RATIO = 1.02
NETWORKS = {
    "small": Network(latency_s=10e-3, spread=0.002, noise=0.005),
    "large": Network(latency_s=RATIO * 10e-3, spread=0.002, noise=0.005),
}


def drifting(share_per_s):
    return World(drift=lambda now_s: 1 + share_per_s * now_s)


def ratios(folder, share_per_s, *, together):
    """Of each session the ratio of the large network's latency to the small one's."""
    jobs = [job(label, folder) for label in NETWORKS]
    for seed in range(SESSIONS):
        with opened(PhysicalDevice(drifting(share_per_s), NETWORKS, seed=seed)) as bench:
            if together:
                small, large = bench.measure_all(jobs, "full")
            else:
                small, large = (bench.measure(one, "full") for one in jobs)
        yield estimates.ratio(large.latency_s, small.latency_s)


def holding(found):
    return sum(one.low <= RATIO <= one.high for one in found)


@pytest.mark.parametrize("share_per_s", [0.0, 2e-3])
def test_measured_in_rounds_the_ratio_of_two_networks_is_the_true_one(tmp_path, share_per_s):
    found = list(ratios(tmp_path, share_per_s, together=True))
    assert holding(found) >= FEWEST
    assert np.median([one.high / one.low - 1 for one in found]) < 0.03


def test_measured_one_after_another_a_drift_is_taken_for_a_difference(tmp_path):
    assert holding(ratios(tmp_path, 0.0, together=False)) >= FEWEST
    assert holding(ratios(tmp_path, 2e-3, together=False)) < SESSIONS / 2


def test_a_network_is_not_told_apart_from_itself(tmp_path):
    """The same one under six names, on a device that drifts: of all pairs, as many are apart as 95 % leave."""
    apart = pairs = 0
    for seed in range(15):
        names = {f"same {number}": NETWORKS["small"] for number in range(6)}
        with opened(PhysicalDevice(drifting(1e-3), names, seed=seed)) as bench:
            found = bench.measure_all([job(label, tmp_path) for label in names], "full")
        for one, other in combinations(found, 2):
            ratio = estimates.ratio(one.latency_s, other.latency_s)
            apart += not ratio.low <= 1 <= ratio.high
            pairs += 1
    assert apart <= 0.07 * pairs


def canaries(folder, share):
    """Of each session what the reference says of a device that became slower by that share since it was measured first."""
    for seed in range(SESSIONS):
        world = World(drift=lambda now_s: 1 + share * (now_s > 50))
        with opened(PhysicalDevice(world, NETWORKS, seed=seed)) as bench:
            first = bench.measure(job("large", folder), "screening")
            world.spend(100)
            again = bench.measure(job("large", folder), "screening")
        yield Canary.of(20, "screen", 0, first, again)


def test_the_canary_notices_a_drift_and_seldom_one_that_is_none(tmp_path):
    noticed = [bool(one.apart) for one in canaries(tmp_path, 0.05)]
    imagined = [bool(one.apart) for one in canaries(tmp_path, 0.0)]
    assert sum(noticed) > 0.9 * SESSIONS
    assert sum(imagined) <= SESSIONS - FEWEST


@pytest.mark.usefixtures("shared_workers")
@pytest.mark.parametrize("drifts", [True, False])
def test_a_study_on_a_device_that_drifts_says_so_of_what_it_measured_since(tmp_path, monkeypatch, drifts):
    """The compiler writes no code: what a network's latency is, is true of the size of its file."""
    monkeypatch.setattr("joulefront.bench.outputs.check", lambda *args: None)
    world = World(drift=lambda now_s: 1.1 if drifts and now_s > 6.0 else 1.0)
    device = PhysicalDevice(world, {}, of=lambda file: Network(latency_s=5e-3 + 1e-6 * file.stat().st_size))
    file = tmp_path / "study.toml"
    file.write_text(study_text(more="---\n[measure]\ncanary = 4"))
    folder = run(file, tmp_path / "results", Silent(), lambda config, _: opened(device, config.measure))
    with Store.open(folder) as store:
        screened = store.trials("screen")
        found = [one for one in canary.recorded(store.decisions()) if one.fidelity == "screen"]
    warned = [any("drifted" in warning for warning in trial.measurement.warnings) for trial in screened]
    assert [one.before for one in found] == [4]
    assert [one.apart for one in found] == [("latency_s",) if drifts else ()]
    assert warned == [False] * 4 + [drifts] * 4
