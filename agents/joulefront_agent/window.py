"""A window of time in which one thing runs, or nothing, and what the sensors read meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from joulefront_agent import wire_energy
from joulefront_agent.load import Load
from joulefront_agent.mark import Mark
from joulefront_agent.sensors.reading import Sensor

_LOOK_S = 1.0


def raw_s() -> float:
    """The clock that windows are told by, in s: nothing sets or slews it."""
    return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)


def take(
    work: Callable[[float], int],
    sensors: Sequence[Sensor],
    root: Path,
    *,
    least_s: float,
    periods: int = 0,
    most_s: float,
    least: int = 0,
    mark: Mark = lambda _: None,
    clock: Callable[[], float] = raw_s,
) -> wire_energy.Window:
    """Have ``work`` go on for ``least_s`` and ``periods`` updates of each sensor, but not beyond ``most_s``.

    It goes beyond that for ``least`` inferences: a network may turn out to be slower than it was.

    ``work`` takes how long to go on, in s, and returns how many inferences that were. The window holds nothing but those:
    a sensor begins its own at the end of start, and ends it at the beginning of stop. ``mark`` is told when it begins and
    ends. Raises Failure (MeterError).
    """
    for sensor in sensors:
        sensor.start()
    load, begin_s, count = Load(root), clock(), 0
    mark(True)
    while True:
        wanted_s = max([least_s, *(periods * sensor.period_s for sensor in sensors)])
        left_s = min(wanted_s, most_s) - (clock() - begin_s)
        if left_s <= 0 and count >= least:
            break
        # In pieces, since a sensor shows how slow it is only in time.
        count += work(min(max(left_s, 0.0), _LOOK_S))
    end_s = clock()
    mark(False)
    busy_cores, own_cores = load.busy_cores(), load.own_cores()
    readings = [(sensor, sensor.stop()) for sensor in sensors]
    return wire_energy.Window(
        begin_s,
        end_s,
        count,
        busy_cores,
        own_cores,
        tuple(
            wire_energy.Reading(
                sensor.name,
                sensor.covers,
                reading.energy_j,
                reading.window_s,
                reading.resolution_j,
                reading.period_s,
                reading.gain,
                reading.cost_s,
            )
            for sensor, reading in readings
        ),
    )
