"""Joules per inference from windows of a meter."""

from __future__ import annotations

import math
from collections.abc import Sequence

from joulefront.bench.statistics import relative_width
from joulefront.records import Energy, EnergyWindow, Estimate
from joulefront_agent import wire_energy


def window_of(window: wire_energy.Window, reading: wire_energy.Reading) -> EnergyWindow:
    """What one of the device's own sensors read over a window: its clock is the device's, so its edges are its own."""
    return EnergyWindow(
        reading.energy_j,
        reading.window_s,
        window.inferences,
        reading.resolution_j,
        reading.period_s,
        reading.gain,
        0.0,
        reading.cost_s,
    )


def per_inference(
    meter: str, covers: str, windows: Sequence[EnergyWindow], latency_s: Estimate
) -> tuple[Estimate, Energy]:
    """Gross joules per inference, with an interval put together from what can be known of the windows."""
    window = windows[0]
    value = window.energy_j / window.inferences
    parts = {
        "edges": 2 * window.period_s / window.window_s,
        "resolution": 2 * window.resolution_j / window.energy_j,
        "repeats": relative_width(latency_s),
    }
    share = math.hypot(*parts.values())
    power_w = window.energy_j / window.window_s
    energy = Energy(
        meter,
        covers,
        None,
        "not measured yet",
        Estimate(power_w, power_w * (1 - share), power_w * (1 + share)),
        None,
        parts,
        tuple(windows),
    )
    return Estimate(value, max(0.0, value * (1 - share)), value * (1 + share)), energy
