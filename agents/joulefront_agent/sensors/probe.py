"""A moment's look at a meter: how often it is updated, how fine it is, and what one read of it takes."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from joulefront_agent.sensors import samples
from joulefront_agent.sensors.meter import Meter
from joulefront_agent.sensors.samples import Sample
from joulefront_agent.wire import Failure

_LIMIT_S = 1.5
_ENOUGH = 60  # changes: more would tell no more


@dataclass(frozen=True)
class Probed:
    """What showed, as in wire_energy.Found; None for what did not."""

    period_s: float | None
    resolution: float | None
    read_s: float | None


def probe(
    meter: Meter,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Probed:
    """Read ``meter`` for 1.5 s at most. Raises Failure (MeterError) where it cannot be read or tells no number.

    A value that never changed tells nothing of its period but what the driver says.
    """
    taken: list[Sample] = []
    took_s: list[float] = []
    changes = 0
    began_s = clock()
    while changes < _ENOUGH and clock() - began_s < _LIMIT_S:
        before_s = clock()
        try:
            value = meter.read()
        except (OSError, ValueError) as error:
            raise Failure("MeterError", f"it cannot be read: {error}") from error
        if not math.isfinite(value):
            raise Failure("MeterError", f"it reads {value}")
        took_s.append(clock() - before_s)
        changes += bool(taken) and value != taken[-1][1]
        taken.append((clock(), value))
        # Half of the time is left to others; more, and a quick sensor would look slower than it is.
        sleep(max(meter.rest_s, took_s[-1]))
    # A counter's steps are what was counted meanwhile.
    seen = samples.step(taken) if changes and meter.kind == "power" else 0.0
    return Probed(
        samples.update_period(taken) or meter.interval_s,
        max(seen, meter.step(taken[-1][1])) or None,
        statistics.median(took_s),
    )
