"""The memory that a network takes on the device, from what each repeat's process came to hold."""

from __future__ import annotations

from collections.abc import Sequence

from joulefront.bench.statistics import of_repeats
from joulefront.records import Estimate
from joulefront_agent import wire


def peak(repeats: Sequence[wire.Ran]) -> tuple[Estimate | None, str | None]:
    """The most that it added to its process, in bytes; or None and the reason, where one repeat could not tell."""
    known = [ran.memory_b for ran in repeats if ran.memory_b is not None]
    if len(known) == len(repeats):
        return of_repeats(known), None
    return None, next(ran.memory_reason for ran in repeats if ran.memory_b is None)
