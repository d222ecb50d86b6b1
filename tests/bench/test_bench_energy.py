"""Joules per inference, gross and net, and what makes them uncertain."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from joulefront.bench.energy import per_inference
from joulefront.bench.statistics import of_repeats, relative_width
from joulefront.records import EnergyWindow, Estimate
from joulefront_devices.device import CalibrationTable

EXACT, LOOSE = Estimate(1.0, 1.0, 1.0), Estimate(1.0, 0.96, 1.04)
FACTOR = CalibrationTable(
    factor=1.1, low=1.089, high=1.111, meter="rapl", against="joulescope", at="2026-11-22T12:00:00+00:00"
)


def window(energy_j=10.0, *, window_s=2.0, inferences=1000, step_j=0.0, period_s=0.0, gain=None, edges_s=0.0):
    return EnergyWindow(energy_j, window_s, inferences, step_j, period_s, gain, edges_s, 0.0)


def idle(energy_j, window_s=2.0):
    return window(energy_j, window_s=window_s, inferences=0)


def found(*windows, latency_s=EXACT, baselines=(), calibration=None):
    return per_inference("rapl", "package-0", windows, baselines, latency_s, calibration)


def test_an_exact_window_is_exact():
    joules, energy = found(window())
    assert (joules.value, joules.low, joules.high) == (0.01, 0.01, 0.01)
    assert (energy.power_w.value, energy.factor, energy.net_j, energy.idle_w) == (5.0, 1.0, None, None)
    assert energy.net_reason == "the idle device was not measured beside it"


@pytest.mark.parametrize(
    ("one", "part", "share"),
    [
        (window(period_s=0.1), "edges", 1.96 * 0.1 / math.sqrt(6) / 2.0),  # two ages of up to 0.1 s, in 2 s
        (window(edges_s=0.01), "edges", 1.96 * 0.01 * math.sqrt(2 / 3) / 2.0),
        (window(step_j=0.1), "resolution", 1.96 * 0.1 / math.sqrt(6) / 10.0),  # two readings rounded to 0.1 J, in 10 J
        (window(gain=0.02), "gain", 1.96 * 0.02 / math.sqrt(3)),
    ],
)
def test_each_part_is_a_share_of_its_own(one, part, share):
    joules, energy = found(one)
    assert {name for name, value in energy.parts.items() if value} == {part}
    assert energy.parts[part] == pytest.approx(share)
    assert (joules.low, joules.high) == pytest.approx((0.01 * (1 - share), 0.01 * (1 + share)))


def test_parts_are_added_in_quadrature():
    joules, energy = found(window(period_s=0.1, step_j=0.1, gain=0.02), latency_s=LOOSE)
    assert relative_width(joules) == pytest.approx(math.hypot(*energy.parts.values()))
    assert energy.parts["repeats"] == pytest.approx(0.04)


def test_the_worked_example_of_the_page():
    """docs/measuring.md: what it says of its made-up readings is what becomes of them."""
    page = (Path(__file__).parents[2] / "docs/measuring.md").read_text()
    windows = [
        window(joules, window_s=10.006, inferences=count, step_j=0.04 * 10.006, period_s=0.02, gain=0.005)
        for joules, count in ((72.16, 1988), (72.17, 1992), (72.40, 1990), (71.88, 1985), (72.05, 1986))
    ]
    for one in windows:
        assert f"| {one.energy_j:.2f} | {one.inferences} | {1e3 * one.energy_j / one.inferences:.2f} |" in page
    baselines = [
        window(joules, window_s=5.0, inferences=0, step_j=0.2, period_s=0.02, gain=0.005)
        for joules in (15.47, 15.60, 15.52, 15.55)
    ]
    joules, energy = found(*windows, baselines=baselines)
    net_j = energy.net_j
    for name, share in energy.parts.items():
        assert re.search(rf"\| {name} \| .* \| {share:.2%} \|".replace("%", " %"), page)
    own = math.hypot(*(share for name, share in energy.parts.items() if name != "gain"))
    for said in (
        f"**{relative_width(joules) * 100:.2f} %**",
        f"**{joules.value * 1e3:.2f} mJ, {joules.low * 1e3:.2f} to {joules.high * 1e3:.2f}**",
        f"± {own * 100:.2f} % (without gain)",
        f"takes {energy.idle_w.value:.3f} W",
        f"**{net_j.value * 1e3:.2f} mJ, {net_j.low * 1e3:.2f} to {net_j.high * 1e3:.2f}**, are net",
        f"are net: ± {relative_width(net_j) * 100:.1f} %",
    ):
        assert said in page


def test_the_formula_of_the_edges_covers_what_ages_of_readings_do():
    random = np.random.default_rng(3)
    ages = random.uniform(0, 0.1, (100_000, 2))  # of the reading at the begin and at the end
    off = (ages[:, 0] - ages[:, 1]) / 2.0
    assert 0.95 <= np.mean(np.abs(off) <= found(window(period_s=0.1))[1].parts["edges"]) <= 0.97


def test_several_windows_show_their_spread_themselves():
    read = [10.0, 10.4, 9.8, 10.1, 10.2]
    joules, energy = found(*map(window, read), latency_s=LOOSE)
    assert joules == of_repeats([one / 1000 for one in read])
    assert energy.power_w == of_repeats([one / 2 for one in read])
    assert energy.parts["repeats"] == pytest.approx(relative_width(joules))


def test_one_window_is_indicative():
    joules, energy = found(window(), latency_s=LOOSE, baselines=[idle(4.0)] * 4)
    assert "with one window nothing shows how the power varies" in (joules.indicative or "")
    assert energy.net_j is not None
    assert energy.net_j.indicative == joules.indicative
    assert energy.net_j.value == pytest.approx(0.006)
    assert energy.net_j.high - 0.006 == pytest.approx(0.04 * 0.01)  # the gross joules' spread


def test_net_joules_are_what_the_device_takes_beyond_idling():
    """5 W for 2 ms an inference; of an idle device 2 W, give or take."""
    baselines = [idle(read) for read in (4.0, 4.04, 3.98, 4.02)]
    _, energy = found(*[window()] * 5, baselines=baselines)
    assert energy.net_j is not None
    assert energy.idle_w == of_repeats([2.0, 2.02, 1.99, 2.01])
    assert energy.net_j.value == pytest.approx(0.01 - energy.idle_w.value * 0.002)
    # More idle power is less of the network's.
    assert energy.net_j.high - energy.net_j.value == pytest.approx((energy.idle_w.value - energy.idle_w.low) * 0.002)
    assert energy.baselines == tuple(baselines)


def test_a_scale_is_common_to_gross_and_idle():
    _, energy = found(*[window(gain=0.03)] * 5, baselines=[idle(4.0)] * 4)
    assert energy.net_j is not None
    assert energy.idle_w is not None
    share = 1.96 * 0.03 / math.sqrt(3)
    assert [relative_width(one) for one in (energy.net_j, energy.idle_w)] == pytest.approx([share, share])


def test_an_idle_window_has_edges_and_steps_of_its_own():
    _, energy = found(*[window()] * 5, baselines=[window(4.0, inferences=0, period_s=0.1, step_j=0.1)] * 4)
    assert energy.idle_w is not None
    edges, steps = 1.96 * 0.1 / math.sqrt(6) / 2.0, 1.96 * 0.1 / math.sqrt(6) / 4.0
    assert relative_width(energy.idle_w) == pytest.approx(math.hypot(edges, steps))


def test_no_more_power_than_idle_is_no_net_energy():
    _, energy = found(*[window()] * 5, baselines=[idle(10.2)] * 4)
    assert energy.net_j is None
    assert "no more power while the network runs than idle (5.1 W)" in str(energy.net_reason)


def test_a_calibration_is_its_own_meters():
    one = window(gain=0.05)
    joules, energy = found(one, baselines=[idle(4.0)], calibration=FACTOR)
    assert (joules.value, energy.factor) == (pytest.approx(0.011), 1.1)
    assert energy.power_w.value == pytest.approx(5.5)
    assert energy.idle_w is not None
    assert energy.idle_w.value == pytest.approx(2.2)
    assert energy.net_j is not None
    assert energy.net_j.value == pytest.approx(0.0066)
    assert energy.parts["calibration"] == pytest.approx(0.01)
    assert "gain" not in energy.parts  # the other meter's scale counts now
    assert found(one, calibration=FACTOR.model_copy(update={"meter": "hwmon"})) == found(one)
    same = FACTOR.model_copy(update={"factor": 1.0, "low": 0.99, "high": 1.01})
    assert found(one, calibration=same)[1].parts["calibration"] == pytest.approx(0.01)


def test_gross_and_net_cover_the_truth():
    """Windows of 5 W ± 1 % and an idle device of 2 W ± 1 %, by a sensor with a period and a step."""
    random = np.random.default_rng(8)
    gross = net = 0
    studies = 200
    for _ in range(studies):
        run = [window(round((5 + 0.05 * random.standard_normal()) * 2.0, 3), step_j=1e-3) for _ in range(5)]
        rest = [idle(round((2 + 0.02 * random.standard_normal()) * 2.0, 3)) for _ in range(4)]
        joules, energy = found(*run, baselines=rest)
        gross += joules.low <= 0.01 <= joules.high
        assert energy.net_j is not None
        net += energy.net_j.low <= 0.006 <= energy.net_j.high
    assert min(gross, net) >= 0.92 * studies
