"""Wait until the device has nothing else to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any

from joulefront_devices.device import SettleTable

_LOOK_S = 0.1
_MOST_CORES = 5


def settle(
    conditions: Callable[[], Mapping[str, Any]],
    table: SettleTable,
    clock: Callable[[], float] = monotonic,
    wait: Callable[[float], None] = sleep,
) -> tuple[float | None, str | None]:
    """Wait for rest, but no longer than the table says.

    Rest is when other work takes no more than the table's share of the cores' time, and of five cores' where there are
    more: at the usual tenth, one busy core is seen among any number, and what a large machine does by itself is not.
    ``conditions`` reads the device's. Returns which share of its cores' time was taken over the last tenth of a second
    (None when the device does not tell), and a warning when there was no rest.
    """
    began_s = clock()
    before = conditions()
    while True:
        wait(_LOOK_S)
        after = conditions()
        busy = _busy(before, after)
        if busy is None:
            return None, "the device does not say how busy it is: it was measured without waiting for rest"
        cores = after["cpu_cores"]
        if busy * cores <= table.busy * min(cores, _MOST_CORES):
            return busy, None
        if clock() - began_s >= table.time_s:
            waited = f" after {table.time_s:g} s of waiting" if table.time_s else ""
            return (
                busy,
                f"other work took {busy * cores:.2g} of {cores} cores' time: it was measured nevertheless{waited}",
            )
        before = after


def _busy(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    if before["cpu_total_s"] is None or after["cpu_total_s"] is None:
        return None
    total_s = after["cpu_total_s"] - before["cpu_total_s"]
    return (after["cpu_busy_s"] - before["cpu_busy_s"]) / total_s if total_s > 0 else 0.0
