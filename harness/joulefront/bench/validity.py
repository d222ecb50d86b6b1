"""What makes a repeat no measurement, and what only makes it doubtful."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joulefront.bench import firmware
from joulefront_agent import wire

_MOST_FALL = 0.02
_MOST_RISE_K = 10.0
_LEAST_OTHERS, _OTHERS_A_CORE, _MOST_OTHERS = 0.1, 0.01, 0.5
_MOST_SHARED = 0.5
_NO_NUMBER = 1e300  # an integer may be beyond every float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a repeat is ``invalid``, and what is doubtful about it, in words; nothing of either is a good one."""

    invalid: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def verdict(ran: wire.Ran, first: wire.Ran | None = None, threads: int = 1, *, at_rest: bool = True) -> Verdict:
    """Judge a repeat of a network with so many ``threads``; ``first`` is the first one of the same network that counts.

    A repeat is invalid when it shows another machine than was asked for: a processor that was throttled, a governor that
    changed, a clock that is to be steady and fell by more than 2 %, or work that came to the network's own cores of a
    device that was ``at_rest``; one that never is, is measured nevertheless. What may be of no consequence is a doubt. What
    the device never tells is neither.
    """
    before, after = ran.before, ran.after
    since, began = (first.after, first.before) if first else ({}, {})
    invalid, doubts = throttled(before, after), []
    for was in (before.get("governor"), since.get("governor")):
        if was and after.get("governor") and was != after["governor"]:
            invalid.append(f"the governor was changed from {_shown(was)} to {_shown(after['governor'])}")
            break
    fell = _fall(before, after, since, began)
    if fell and is_steady(after):
        invalid.append(fell)
    elif fell:
        doubts.append(f"the processor's frequency fell by more than {_MOST_FALL:.0%}, as it may: its clock is not held")
    for said, is_shared in _others(ran, threads):
        (invalid if is_shared and at_rest else doubts).append(said)
    if not ran.steady:
        doubts.append("warm-up was not shown to be steady")
    if ran.clock_steps:
        doubts.append("the device's clock was set meanwhile, and samples were left out")
    if any(_fell_silent(tell, before, after, since, began) for tell in (_bits, _throttles)):
        doubts.append("the device did not tell each time whether its processor was throttled, as it can")
    cool_c, hot_c = _number(before, "temperature_c"), _number(after, "temperature_c")
    if cool_c is not None and hot_c is not None and hot_c - cool_c > _MOST_RISE_K:
        doubts.append(f"it got hotter by more than {_MOST_RISE_K:g} K in one repeat")
    return Verdict(tuple(invalid), tuple(doubts))


def throttled(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """That the processor was slowed down by heat or for want of power between two readings of the conditions, in words."""
    said = []
    was, now = _throttles(before), _throttles(after)
    if was is not None and now is not None and now > was:
        said.append(f"the processor was throttled {now - was:.0f} times meanwhile")
    bits = firmware.meanwhile(_bits(before), _bits(after))
    if bits:
        said.append(f"the firmware says: {firmware.words(bits)}")
    return said


def hides_throttling(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the processor was throttled, on a device that counts how often that begins and tells neither its clock nor more.

    For how long it was is then unknown: repeats that it lasts through look like good ones.
    """
    tells = _bits(after) is not None or _number(after, "frequency_hz") is not None
    return bool(throttled(before, after)) and not tells


def is_steady(conditions: Mapping[str, Any]) -> bool:
    """Whether the clock has nothing to choose: the highest that is allowed, or a single one, and none beyond it."""
    lowest, highest = _number(conditions, "frequency_min_hz"), _number(conditions, "frequency_max_hz")
    is_single = lowest is not None and lowest == highest
    return (conditions.get("governor") == "performance" or is_single) and conditions.get("boost") != 1


def _fall(
    before: Mapping[str, Any], after: Mapping[str, Any], since: Mapping[str, Any], began: Mapping[str, Any]
) -> str | None:
    """That the clock fell: during the repeat, since the first one that counts, or, a steady one, below what was asked for.

    ``since`` and ``began`` are the first one's conditions after and before it. A throttled clock that is back before the end
    shows at the beginning only.

    The slowest core counts where the clock is steady; otherwise idle ones are slower, and it is the quickest.
    """
    steady = is_steady(after)
    name = "frequency_low_hz" if steady and _number(after, "frequency_low_hz") is not None else "frequency_hz"
    # Of unlike cores, the quickest was asked for the most.
    asked = (_number(after, "frequency_hz"), _number(after, "frequency_max_hz") if steady else None)
    for now_hz, was_hz, what in (
        (_number(after, name), _number(before, name), "fell meanwhile"),
        (_number(after, name), _number(since, name), "fell since the first repeat"),
        (
            _number(before, name),
            _number(began, name) if steady else None,
            "was lower at first than in the first repeat",
        ),
        (*asked, "is not what was asked for"),
    ):
        if now_hz is not None and was_hz is not None and now_hz < (1 - _MOST_FALL) * was_hz:
            return f"the processor's frequency {what}: {now_hz:.4g} Hz, not {was_hz:.4g} Hz"
    return None


def least_others(cores: float) -> float:
    """How many cores' time of other work is worth a word on a machine of so many."""
    return min(max(_LEAST_OTHERS, _OTHERS_A_CORE * cores), _MOST_OTHERS)


def _others(ran: wire.Ran, threads: int) -> list[tuple[str, bool]]:
    """That others worked while the network was timed or had its energy window, and whether on the network's own cores.

    A tenth of a core counts; of large machines, which do a little by themselves, a hundredth of the cores, but half a
    core at most. What is more than half a core beyond those that the network left free was taken from the network.
    """
    cores = _number(ran.after, "cpu_cores") or 1.0
    bound = least_others(cores)
    free = max(0.0, cores - threads)
    said = []
    for what, others in (("it was timed", ran.others_cores), ("its energy was measured", _others_in(ran))):
        if others is not None and others > bound:
            is_shared = others > free + _MOST_SHARED
            own = ", the network's own among them," if is_shared else ""
            said.append((f"other work took more than {bound:.2g} of {cores:.0f} cores{own} while {what}", is_shared))
    return said


def _others_in(ran: wire.Ran) -> float | None:
    """How many cores' time others took in the energy window."""
    window = ran.window
    return None if window is None or window.busy_cores is None else window.busy_cores - window.own_cores


def _fell_silent(
    tell: Callable[[Mapping[str, Any]], float | None],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *others: Mapping[str, Any],
) -> bool:
    """Whether the device told something once, and not both before and after."""
    now, other = (tell(before), tell(after)), map(tell, others)
    return None in now and any(one is not None for one in (*now, *other))


def _throttles(conditions: Mapping[str, Any]) -> float | None:
    return _number(conditions, "throttles")


def _bits(conditions: Mapping[str, Any]) -> int | None:
    bits = conditions.get("throttled")
    return bits if isinstance(bits, int) and not isinstance(bits, bool) else None


def _number(conditions: Mapping[str, Any], key: str) -> float | None:
    """A figure that the device told; whatever else it said there is none."""
    value = conditions.get(key)
    return float(value) if isinstance(value, int | float) and abs(value) < _NO_NUMBER else None


def _shown(text: Any) -> str:
    return repr(str(text)[:40])
