"""Joules of a window, from what a Joulescope's driver published around it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from joulefront.bench.meters.joulescope_blocks import Block, Statistics, TimeMap
from joulefront.bench.meters.joulescope_tap import Timed
from joulefront.bench.meters.trace import Trace
from joulefront.errors import MeterError

Kind = TypeVar("Kind", bound=Timed)

Joules = tuple[float, float, float]
"""The energy in J, the time between two updates in s, and how far apart the times lie that the driver gave one tick, in s."""


def over(blocks: Sequence[Kind], begin_s: float, end_s: float) -> list[Kind]:
    """The blocks that overlap a time of the wall clock, and one more on either side."""
    inside = [
        number
        for number, one in enumerate(blocks)
        if one.time_map.wall_s(one.end) >= begin_s and one.time_map.wall_s(one.first) <= end_s
    ]
    return list(blocks[max(0, inside[0] - 1) : inside[-1] + 2]) if inside else []


def covering(who: str, blocks: Sequence[Statistics], begin_s: float, end_s: float) -> list[Statistics]:
    """Those over a time of the wall clock, and one more on either side. Raises MeterError where there is a moment without."""
    near = over(blocks, begin_s, end_s)
    if not near:
        raise MeterError(f"{who} told no sums while the window lasted")
    if near[0].time_map.wall_s(near[0].first) > begin_s or near[-1].time_map.wall_s(near[-1].end) < end_s:
        raise MeterError(f"{who}: its sums do not cover the window")
    if any(after.first != before.end for before, after in pairwise(near)):
        raise MeterError(f"{who}: some of its sums did not come")
    return near


def from_samples(who: str, blocks: Sequence[Block], begin_s: float, end_s: float) -> Joules:
    """By streamed samples of power, each the mean of its period. Raises MeterError."""
    near = over(blocks, begin_s, end_s)
    if not near:
        raise MeterError(f"{who} streamed nothing while the window lasted")
    time_map, strayed_s = _settled(near, begin_s, end_s)
    zero = time_map.tick(begin_s)
    ticks = [one.first - zero + one.step * (np.arange(len(one.data)) + 0.5) for one in near]
    watts = np.concatenate([one.data for one in near]).astype(np.float64)
    period_s = near[0].step / time_map.rate
    trace = Trace(who, np.concatenate(ticks) / time_map.rate, watts, 1.5 * period_s)
    return trace.energy_j(0.0, end_s - begin_s), period_s, strayed_s


def from_sums(who: str, blocks: Sequence[Statistics], begin_s: float, end_s: float) -> Joules:
    """By the instrument's own sums, as if the power were even between two of them. Raises MeterError."""
    near = covering(who, blocks, begin_s, end_s)
    time_map, strayed_s = _settled(near, begin_s, end_s)
    zero = time_map.tick(begin_s)
    at_s = (np.array([one.end for one in near], dtype=np.float64) - zero) / time_map.rate
    length_s = end_s - begin_s
    if not at_s[0] <= 0 <= length_s <= at_s[-1]:
        raise MeterError(f"{who}: its sums do not cover the window")
    if len({one.since for one in near}) > 1:
        raise MeterError(f"{who}: its sums began anew while the window lasted; is another program using it?")
    energies = np.array([one.energy_j for one in near])
    if not np.all(np.isfinite(energies)):
        raise MeterError(f"{who}: its sums are no numbers, as beyond its range")
    begin_j, end_j = np.interp([0.0, length_s], at_s, energies)
    return float(end_j - begin_j), (near[0].end - near[0].first) / time_map.rate, strayed_s


def _settled(blocks: Sequence[Timed], begin_s: float, end_s: float) -> tuple[TimeMap, float]:
    """The last block's time map, which knows most, and how far the others are from it at the window's ends."""
    last = blocks[-1].time_map
    ticks = [last.tick(begin_s), last.tick(end_s)]
    return last, max(abs(one.time_map.wall_s(tick) - last.wall_s(tick)) for one in blocks for tick in ticks)
