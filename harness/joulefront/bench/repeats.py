"""One network's repeats: which are made, which count, and what they come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from joulefront.bench import memory
from joulefront.bench.functions import restarted
from joulefront.bench.plan import Plan
from joulefront.bench.statistics import median_latency, relative_width, tail_latency
from joulefront.errors import MeterError, Unsettled
from joulefront.estimates import COMMON_PARTS
from joulefront.records import Energy, EnergyWindow, Estimate, Job, Measurement, Provenance
from joulefront_agent import wire

Joules = Callable[[Sequence[EnergyWindow], Estimate], tuple[Estimate, Energy]]
"""Joules per inference, and what they are made of, from the windows of a network and its latency in s."""


_HIDDEN = (
    "the processor was throttled meanwhile, and the device tells only that this began: repeats that it lasted through may be "
    "among those that count"
)


_TOO_COARSE = (
    "the meter is too slow or too coarse for it, and more windows would not help; longer ones do ([measure] energy_s)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the next repeat is to have: ``outputs`` to compare, an energy ``window``."""

    outputs: bool
    window: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """One that counts: what a child process did, its energy ``window`` where it had one, what is doubtful about it, and why
    agents were lost on the way to it."""

    ran: wire.Ran
    window: EnergyWindow | None
    doubts: tuple[str, ...]
    lost: tuple[str, ...]


class Repeats:
    """The repeats of one job. Those that were no measurement are ``set_aside``, each with its reasons."""

    def __init__(self, job: Job, plan: Plan, joules: Joules | None) -> None:
        """Without ``joules`` there are no energy windows."""
        self.job = job
        self._plan = plan
        self._joules = joules
        self._made: list[Repeat] = []
        self.set_aside: list[str] = []
        self._hidden = False

    def __len__(self) -> int:
        return len(self._made)

    @property
    def first(self) -> Repeat | None:
        """The first that counts."""
        return self._made[0] if self._made else None

    def wanted(self) -> Wanted | None:
        """The next repeat for its own sake; None when both intervals are narrow enough, or the time is up for those that
        are not."""
        plan, count = self._plan, len(self._made)
        if count < plan.repeats:
            every = plan.energy_interval is not None
            window = self._joules is not None and (every or count == plan.repeats - 1)
            # Which repeat is the last is known only when it is over.
            return Wanted(outputs=count in (0, plan.repeats - 1), window=window)
        window = self._would_windows_help() and self._has_time_for_a_window()
        if window or (self._latency_width() > plan.interval and self._has_time()):
            return Wanted(outputs=True, window=window)
        return None

    def beside(self) -> Wanted | None:
        """The next repeat for the sake of others, which are not narrow enough yet; None when its own time is up.

        Without it the last rounds would be those of some networks only, and whatever befell the device then, too. Nor
        would it do to stop where a few repeats happen to be alike.
        """
        return Wanted(outputs=True, window=False) if self._has_time() else None

    def add(self, repeat: Repeat) -> None:
        """One that counts."""
        self._made.append(repeat)

    def put_aside(self, reasons: Sequence[str], *, meter: bool = False, hidden: bool = False) -> None:
        """One that was no measurement, because of its ``meter`` alone or otherwise; what was wrong may have gone on ``hidden``
        in those that count, which makes the estimates indicative.

        Raises Unsettled, or MeterError for the meter's sake, when they are too many.
        """
        self.set_aside.append(f"repeat {len(self) + 1}: {'; '.join(reasons)}")
        self._hidden = self._hidden or hidden
        if len(self.set_aside) <= self._plan.most_set_aside:
            return
        listed = ". ".join(f"({number}) {text}" for number, text in enumerate(dict.fromkeys(self.set_aside), start=1))
        remedy = "look at the meter" if meter else "let it cool, power it well, and end what else runs there"
        raise (MeterError if meter else Unsettled)(
            f"{self.job.label}: {len(self.set_aside)} repeats on the device were no measurement: {listed}. "
            f"Joulefront gives no figure instead of a doubtful one: {remedy}, then run the same command again"
        )

    def measurement(
        self,
        provenance: Provenance,
        energy_provenance: Provenance,
        energy_reason: str | None,
        busy: float | None,
        more: Sequence[str],
    ) -> Measurement:
        """What the repeats come to. ``busy`` is the share of the cores' time that was taken before the first, ``more`` are
        warnings of the whole."""
        runs = [repeat.ran for repeat in self._made]
        repeats_s = tuple(ran.samples_s for ran in runs)
        latency_p99_s, latency_p99_reason = tail_latency(repeats_s)
        memory_b, memory_reason = memory.peak(runs)
        energy_j, made_of = self._joules(self._windows, self.latency_s) if self._joules else (None, None)
        if energy_j and made_of:
            net_j = self._doubted(made_of.net_j) if made_of.net_j else None
            made_of = replace(made_of, net_j=net_j, power_w=self._doubted(made_of.power_w))
            energy_j = self._doubted(energy_j)
        latency_p99_s = self._doubted(latency_p99_s) if latency_p99_s else None
        return Measurement(
            grade=self._plan.grade,
            provenance=provenance,
            latency_s=self.latency_s,
            repeats_s=repeats_s,
            energy_j=energy_j,
            energy_provenance=energy_provenance if energy_j else None,
            energy_reason=energy_reason,
            conditions={"before": {"busy": busy, **runs[0].before}, "after": runs[-1].after},
            warnings=(*more, *self._too_wide(), *self._doubts()),
            latency_p99_s=latency_p99_s,
            latency_p99_reason=latency_p99_reason,
            memory_b=memory_b,
            memory_reason=memory_reason,
            energy=made_of,
            set_aside=tuple(self.set_aside),
        )

    @property
    def latency_s(self) -> Estimate:
        """The median latency by now, in s."""
        return self._doubted(median_latency([repeat.ran.samples_s for repeat in self._made]))

    def _doubted(self, estimate: Estimate) -> Estimate:
        if not self._hidden:
            return estimate
        return replace(estimate, indicative="; ".join(filter(None, (_HIDDEN, estimate.indicative))))

    @property
    def _windows(self) -> list[EnergyWindow]:
        return [repeat.window for repeat in self._made if repeat.window]

    def _latency_width(self) -> float:
        return relative_width(self.latency_s)

    def _joules_parts(self) -> dict[str, float]:
        """Of the interval of the joules, as shares, what is not common to all that the meter measures; none without a meter."""
        if self._joules is None:
            return {}
        _, made_of = self._joules(self._windows, self.latency_s)
        return {part: share for part, share in made_of.parts.items() if part not in COMMON_PARTS}

    def _would_windows_help(self) -> bool:
        """Whether the joules' interval is wider than was asked for, and more windows could make it narrow enough."""
        parts, limit = self._joules_parts(), self._plan.energy_interval or math.inf
        once = math.hypot(*(share for part, share in parts.items() if part != "repeats"))
        return math.hypot(*parts.values()) > limit > once

    def _has_time(self) -> bool:
        """Whether another repeat's share for the latency fits in, as long as they are on average."""
        spent_s = sum(repeat.ran.took_s for repeat in self._made) - sum(self._spans_s())
        return spent_s + spent_s / len(self) <= self._plan.time_s

    def _has_time_for_a_window(self) -> bool:
        spans_s = self._spans_s()
        return sum(spans_s) + sum(spans_s) / len(spans_s) <= self._plan.energy_time_s

    def _spans_s(self) -> list[float]:
        """How long each window was."""
        windows = [repeat.ran.window for repeat in self._made]
        return [window.end_s - window.begin_s for window in windows if window]

    def _too_wide(self) -> list[str]:
        """Which interval is wider than was asked for, and why it may be, in words."""
        plan, said = self._plan, []
        if (width := self._latency_width()) > plan.interval:
            said.append(
                f"after {len(self)} repeats the latency's interval is ± {width:.2%}, "
                f"not ± {plan.interval:.2%}: the time of {plan.time_s:g} s was up"
            )
        if plan.energy_interval and (width := math.hypot(*self._joules_parts().values())) > plan.energy_interval:
            why = f"the time of {plan.energy_time_s:g} s was up" if self._would_windows_help() else _TOO_COARSE
            said.append(
                f"after {len(self._windows)} energy windows the joules' interval is ± {width:.2%}, "
                f"not ± {plan.energy_interval:.2%}: {why}"
            )
        if few := plan.few_updates(self._windows):
            said.append(few)
        return said

    def _doubts(self) -> list[str]:
        """Those of single repeats: each once, with how many had it."""
        counted = Counter(doubt for repeat in self._made for doubt in dict.fromkeys(repeat.doubts))
        return [
            *restarted([loss for repeat in self._made for loss in repeat.lost]),
            *(f"{doubt} (in {count} of {len(self)} repeats)" for doubt, count in counted.items()),
        ]
