"""Joules per inference from one window of a sensor's counter."""

from __future__ import annotations

import math

from joulefront.bench.statistics import relative_width
from joulefront.records import Estimate
from joulefront_agent import wire


def per_inference(window: wire.Energy, latency_s: Estimate) -> Estimate:
    """Gross joules per inference, with an interval put together from what can be known of a single window.

    Three parts, as shares of the value, added in quadrature: the window's edges, each uncertain by one update of the
    sensor; its counter's steps, one at either edge; and how much runs differ from one another, for which the relative
    interval of the latency stands in, since one window says nothing about that and energy goes with time at a steady
    power. The sensor's own gain is not in it: no counter says how true it is.
    """
    value = window.energy_j / window.inferences
    edges = 2 * window.period_s / window.window_s
    steps = 2 * window.resolution_j / window.energy_j
    error = value * math.hypot(edges, steps, relative_width(latency_s))
    return Estimate(value, max(0.0, value - error), value + error)
