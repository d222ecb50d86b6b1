"""How thoroughly a network is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from joulefront.bench.statistics import TAIL_SAMPLES, TAIL_SAMPLES_A_REPEAT
from joulefront.config import MeasureConfig
from joulefront.records import EnergyWindow, Grade

_SCREENING_SHARE = 5  # of a full window's length
_SCREENING_PERIODS = 10
_SCREENING_LIMIT_S, _FULL_LIMIT_S = 15.0, 60.0
_LEAST_SET_ASIDE = 3
_PERIOD_ERROR = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure: times in s, ``samples`` and ``sample_s`` at least, for each repeat.

    Repeats go on beyond ``repeats`` while the latency's interval is wider than ± the share ``interval`` and its part of
    them has not taken ``time_s``. ``tail_s`` is how long a repeat may go on sampling, whatever its share of ``time_s``, for
    the sake of ``samples``. An energy window lasts ``energy_s`` and ``periods`` updates of the meter, but no longer than
    ``energy_limit_s``. With an ``energy_interval`` each repeat has one, and they go on while the joules' interval is wider
    than ± that share, for ``energy_time_s`` at most, beside idle baselines; with None there is a single one, in the last of
    the ``repeats``.
    """

    grade: Grade
    repeats: int
    interval: float
    time_s: float
    samples: int
    sample_s: float
    energy_interval: float | None
    energy_s: float
    periods: int
    energy_limit_s: float
    energy_time_s: float
    tail_s: float = 0.0

    @classmethod
    def of(cls, grade: Grade, config: MeasureConfig, *, tail: bool = False) -> Plan:
        """The plan for a grade, with samples enough for a 99th percentile if ``tail``.

        The energy windows of the full grade are those of MLPerf Tiny (10 s); those of screening a fifth of it.
        """
        if grade == "screening":
            plan = cls(
                grade,
                config.repeats,
                config.interval,
                config.time_s,
                samples=30,
                sample_s=0.1,
                energy_interval=None,
                energy_s=config.energy_s / _SCREENING_SHARE,
                periods=_SCREENING_PERIODS,
                energy_limit_s=max(config.energy_s / _SCREENING_SHARE, _SCREENING_LIMIT_S),
                energy_time_s=0.0,
            )
        else:
            plan = cls(
                grade,
                config.full_repeats,
                config.full_interval,
                config.full_time_s,
                samples=200,
                sample_s=0.5,
                energy_interval=config.energy_interval,
                energy_s=config.energy_s,
                periods=config.energy_updates,
                energy_limit_s=max(config.energy_s, _FULL_LIMIT_S),
                energy_time_s=config.energy_time_s,
            )
        if not tail:
            return plan
        samples = max(plan.samples, TAIL_SAMPLES_A_REPEAT, math.ceil(TAIL_SAMPLES / plan.repeats))
        return replace(plan, samples=samples, sample_s=plan.time_s / plan.repeats / 2, tail_s=config.timeout_s)

    @property
    def most_set_aside(self) -> int:
        """How many repeats may turn out to be no measurement before the network or the device is given up."""
        return max(_LEAST_SET_ASIDE, self.repeats)

    def window_s(self, period_s: float) -> float:
        """How long one energy window lasts with a meter of that update period."""
        return min(max(self.energy_s, self.periods * period_s), self.energy_limit_s)

    def few_updates(self, windows: Sequence[EnergyWindow]) -> str | None:
        """That windows hold fewer updates of the meter than they are to have, in words: they were as long as they may be.

        The period of a meter is known to a tenth or so.
        """
        held = min((one.window_s / one.period_s for one in windows if one.period_s), default=math.inf)
        if held >= (1 - _PERIOD_ERROR) * self.periods:
            return None
        return (
            f"the shortest energy window holds {held:.0f} updates of the meter, not {self.periods}, which makes the joules' "
            "interval wider: [measure] energy_s is how long windows last at least"
        )

    def expected_s(self, period_s: float | None) -> float:
        """What a network takes at most in latency and at least in energy, with a meter of that period; None is no meter."""
        if period_s is None:
            return self.time_s
        windows = self.repeats if self.energy_interval is not None else 1
        # One baseline of half a window before each, where there are any, and one in the end.
        baselines = (windows + 1) / 2 if self.energy_interval is not None else 0.0
        return self.time_s + (windows + baselines) * self.window_s(period_s)
