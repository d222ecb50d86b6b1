"""Joules per inference from windows of a meter, with an interval that says what it is made of.

Each part of the interval is a share of the joules, half of what holds 95 %: 1.96 standard uncertainties (JCGM 100:2008, the
GUM, 6.3). What is known only by its bounds, ± a, is taken as equally likely anywhere between them, which is a standard
uncertainty of a / sqrt(3) (4.3.7); alone, it then counts for a little more than a. The parts are independent, so that they
are added in quadrature (5.1.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joulefront.bench.statistics import of_repeats, relative_width
from joulefront.estimates import indicative
from joulefront.records import Energy, EnergyWindow, Estimate
from joulefront_agent import wire_energy
from joulefront_devices.device import CalibrationTable

_WITHIN_BOUNDS = 1.96 / math.sqrt(3)
_BOTH_ENDS = _WITHIN_BOUNDS * math.sqrt(2)
_ONE_WINDOW = "with one window nothing shows how the power varies: the latency's interval stands for it"
_NO_BASELINE = "the idle device was not measured beside it"


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
    meter: str,
    covers: str,
    windows: Sequence[EnergyWindow],
    baselines: Sequence[EnergyWindow],
    latency_s: Estimate,
    calibration: CalibrationTable | None,
) -> tuple[Estimate, Energy]:
    """Gross joules per inference, and what they are made of, from one window or more and idle ``baselines``, if any.

    The joules are the windows', as ``of_repeats`` estimates them, times the factor of the ``calibration`` if it is this
    meter's. The interval's parts, as shares:

    - "repeats": the spread between the windows; of a single one, the interval of ``latency_s``, and it is indicative.
    - "edges": at either end of a window, what the sensor last told is up to one period old, so that the length of what it
      measured is off by the difference of two such ages, period / sqrt(6); and it begins and ends up to ``edges_s`` beside
      the device's, edges_s · sqrt(2 / 3). As though nothing were taken outside the window: the most that it can matter.
    - "resolution": two readings, each rounded to the next step, step / sqrt(6). More windows do not lessen these two here,
      since a sensor may err at the same place each time.
    - "gain": the sensor's scale, where somebody says that it is off by ± g at most, 1.96 · g / sqrt(3); where it was compared,
      "calibration" instead, the interval of the factor. Both are common to all that the meter measures.

    Net joules are gross - idle power · window / inferences, window by window; what is common is a share of them, and the
    idle power's own interval is added to the gross joules' own.
    """
    known = calibration if calibration and calibration.meter == meter else None
    factor = known.factor if known else 1.0
    read = _Read(factor, _instrument(windows), _scale(windows, known))
    gross = [factor * window.energy_j / window.inferences for window in windows]
    joules = _spread(gross, latency_s)
    idle_w = _idle(baselines, read)
    net_j, net_reason = _net(windows, gross, joules, idle_w, read)
    energy = Energy(
        meter,
        covers,
        net_j,
        net_reason,
        read.whole(_spread([factor * window.energy_j / window.window_s for window in windows], latency_s)),
        None if idle_w is None else read.scaled(idle_w),
        {"repeats": relative_width(joules), **read.instrument, **read.common},
        tuple(windows),
        tuple(baselines),
        factor,
    )
    return read.whole(joules), energy


@dataclass(frozen=True, slots=True)
class _Read:
    """What the meter itself adds to any figure from these windows, as shares: of its own each time, and ``common`` to all."""

    factor: float
    instrument: Mapping[str, float]
    common: Mapping[str, float]

    @property
    def own(self) -> float:
        return math.hypot(*self.instrument.values())

    def whole(self, one: Estimate) -> Estimate:
        """An estimate by the spread alone, with all that the meter adds."""
        return _wider(one, one.value * math.hypot(self.own, *self.common.values()))

    def scaled(self, one: Estimate) -> Estimate:
        """An estimate that has the meter's own parts, with the common ones."""
        return _wider(one, one.value * math.hypot(*self.common.values()))


def _instrument(windows: Sequence[EnergyWindow]) -> dict[str, float]:
    """On average over the windows, whose mistakes may be the same."""
    edges = [_BOTH_ENDS * math.hypot(one.period_s / 2, one.edges_s) / one.window_s for one in windows]
    steps = [_BOTH_ENDS * one.resolution_j / 2 / one.energy_j for one in windows]
    return {"edges": math.fsum(edges) / len(edges), "resolution": math.fsum(steps) / len(steps)}


def _scale(windows: Sequence[EnergyWindow], calibration: CalibrationTable | None) -> dict[str, float]:
    if calibration is not None:
        return {"calibration": (calibration.high - calibration.low) / 2 / calibration.factor}
    gains = [window.gain for window in windows if window.gain is not None]
    return {"gain": _WITHIN_BOUNDS * max(gains)} if gains else {}


def _spread(figures: Sequence[float], latency_s: Estimate) -> Estimate:
    if len(figures) > 1:
        return of_repeats(figures)
    (value,) = figures
    share = relative_width(latency_s)
    return Estimate(value, max(0.0, value * (1 - share)), value * (1 + share), _ONE_WINDOW)


def _idle(baselines: Sequence[EnergyWindow], read: _Read) -> Estimate | None:
    """The idle power in W, without what is common to all that the meter measures."""
    if not baselines:
        return None
    idle_w = of_repeats([read.factor * one.energy_j / one.window_s for one in baselines])
    return _wider(idle_w, idle_w.value * math.hypot(*_instrument(baselines).values()))


def _net(
    windows: Sequence[EnergyWindow],
    gross: Sequence[float],
    joules: Estimate,
    idle_w: Estimate | None,
    read: _Read,
) -> tuple[Estimate | None, str | None]:
    if idle_w is None:
        return None, _NO_BASELINE
    time_s = [window.window_s / window.inferences for window in windows]
    each = [whole - idle_w.value * share_s for whole, share_s in zip(gross, time_s, strict=True)]
    net = of_repeats(each) if len(each) > 1 else Estimate(each[0], 0.0, 0.0)
    if net.value <= 0:
        return None, (
            f"the device takes no more power while the network runs than idle ({idle_w.value:.3g} W), as far as {len(each)} "
            "windows of the meter tell"
        )
    spread = joules if len(each) == 1 else net
    half_j = spread.value - spread.low, spread.high - spread.value
    idle_s = math.fsum(time_s) / len(time_s)
    own_j = joules.value * read.own
    common_j = net.value * math.hypot(*read.common.values())
    # More idle power is less of the network's.
    low = math.hypot(half_j[0], own_j, common_j, (idle_w.high - idle_w.value) * idle_s)
    high = math.hypot(half_j[1], own_j, common_j, (idle_w.value - idle_w.low) * idle_s)
    why = indicative(spread, idle_w)
    return Estimate(net.value, max(0.0, net.value - low), net.value + high, why), None


def _wider(one: Estimate, half: float) -> Estimate:
    low = one.value - math.hypot(one.value - one.low, half)
    high = one.value + math.hypot(one.high - one.value, half)
    return Estimate(one.value, max(0.0, low), high, one.indicative)
