"""Joules per inference, and what makes them uncertain."""

import pytest

from joulefront.bench.energy import per_inference
from joulefront.records import EnergyWindow, Estimate


def interval(period_s, resolution_j, latency_s):
    window = EnergyWindow(10.0, 2.0, 1000, resolution_j, period_s, None, 0.0, 0.0)
    return per_inference("rapl", "package-0", [window], latency_s)[0]


def test_energy_per_inference_and_what_makes_it_uncertain():
    exact, loose = Estimate(1.0, 1.0, 1.0), Estimate(1.0, 0.96, 1.04)
    assert interval(0.0, 0.0, exact) == Estimate(0.01, 0.01, 0.01)
    assert interval(0.01, 0.0, exact).high == pytest.approx(0.01 * 1.01)  # two edges of 10 ms in 2 s
    assert interval(0.0, 0.1, exact).high == pytest.approx(0.01 * 1.02)  # two steps of 0.1 J in 10 J
    assert interval(0.0, 0.0, loose).low == pytest.approx(0.01 * 0.96)
    both = interval(0.04, 0.15, exact)
    assert both.high == pytest.approx(0.01 * 1.05)  # 4 % and 3 % in quadrature
