"""How thoroughly a network is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from joulefront.bench.statistics import TAIL_SAMPLES
from joulefront.config import MeasureConfig
from joulefront.records import Grade


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure: times in s, ``samples`` and ``sample_s`` at least, for each repeat.

    ``tail_s`` is how long a repeat may go on sampling, whatever its share of ``time_s``, for the sake of ``samples``.
    """

    repeats: int
    time_s: float
    samples: int
    sample_s: float
    energy_s: float
    tail_s: float = 0.0

    @classmethod
    def of(cls, grade: Grade, config: MeasureConfig, *, tail: bool = False) -> Plan:
        """The plan for a grade, with samples enough for a 99th percentile if ``tail``.

        The energy windows are those of MLPerf Tiny (10 s), and a fifth of it for screening.
        """
        if grade == "screening":
            plan = cls(config.repeats, config.time_s, samples=30, sample_s=0.1, energy_s=2.0)
        else:
            plan = cls(config.full_repeats, config.full_time_s, samples=200, sample_s=0.5, energy_s=10.0)
        if not tail:
            return plan
        samples, all_s = max(plan.samples, TAIL_SAMPLES), plan.time_s / plan.repeats / 2
        return replace(plan, samples=samples, sample_s=all_s, tail_s=config.timeout_s)
