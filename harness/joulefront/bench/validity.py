"""What makes a repeat no measurement, and what makes it doubtful."""

from __future__ import annotations

from dataclasses import dataclass

from joulefront.bench.functions import throttled
from joulefront_agent import wire


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a repeat is ``invalid``, and what is doubtful about it, in words; nothing of either is a good one."""

    invalid: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def verdict(ran: wire.Ran, first: wire.Ran | None) -> Verdict:
    """Judge a repeat by what it tells; ``first`` is the first one of the same network that counts."""
    doubts = []
    if not ran.steady:
        doubts.append("warm-up was not shown to be steady")
    if ran.clock_steps:
        doubts.append("the device's clock was set back meanwhile, and samples were left out")
    doubts += throttled(ran.before, ran.after)
    first_hz, last_hz = first.after["frequency_hz"] if first else None, ran.after["frequency_hz"]
    if first_hz and last_hz and last_hz < 0.98 * first_hz:
        doubts.append(f"the processor's frequency fell from {first_hz:.3g} to {last_hz:.3g} Hz between repeats")
    return Verdict((), tuple(doubts))
