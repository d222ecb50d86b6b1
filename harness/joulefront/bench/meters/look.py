"""A moment's look at a meter on this host: how often it is updated, how fine it is, and what one read of it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from joulefront.bench.meters.sampling import Sampling
from joulefront.protocols import PowerMeter
from joulefront.records import EnergyWindow

_LOOK_S = 1.0
_PERIODS, _MOST_S = 12, 60.0
_OFTENER, _LEAST_REST_S = 10, 1e-3
_LEAST_CHANGES = 5
_MOST_SLOWER = 1.5
_LEAST_STEP_W = 1e-6  # what differs by less was computed from the same
# Meters that are not asked, by what their joules are called.
_NOT_ASKED = {
    "measured": "nothing is asked: it sends by itself",
    "simulated": "nothing is asked: a recording is played",
    "estimated": "nothing is asked: it is computed from how busy the device was",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What showed: ``period_s`` between two updates, one step in ``resolution_unit``, and what one read takes in s.

    Of each that is None, ``unseen`` says why, by its name. ``doubt`` is what showed to be other than the meter's class says.
    """

    period_s: float | None = None
    resolution: float | None = None
    resolution_unit: Literal["W", "J"] | None = None
    read_s: float | None = None
    unseen: Mapping[str, str] = field(default_factory=dict)
    doubt: str | None = None


def look(meter: PowerMeter, window: Callable[[float], EnergyWindow]) -> Seen:
    """Look at an open ``meter`` for a second, or for as long as a dozen updates of it are to take, 60 s at most.

    ``window`` has it record for so many s, and tells the energy; what it raises is raised.
    """
    if not isinstance(meter, Sampling):
        return _told(window(_LOOK_S), _NOT_ASKED[meter.provenance])
    # Asked as often as its class says, it would seem to have something new just as often.
    meter.every_s = max(meter.period_s / _OFTENER, _LEAST_REST_S)
    window(min(max(_LOOK_S, _PERIODS * meter.period_s), _MOST_S))
    return _sampled(meter)


def _told(window: EnergyWindow, not_asked: str) -> Seen:
    """What the window of a meter says that records by itself."""
    period_s, resolution_j = window.period_s or None, window.resolution_j or None
    unseen = {"read_s": not_asked}
    if period_s is None:
        unseen["period_s"] = "it tells none"
    if resolution_j is None:
        unseen["resolution"] = "it tells none"
    return Seen(period_s, resolution_j, "J" if resolution_j else None, None, unseen)


def _sampled(meter: Sampling) -> Seen:
    """What the samples of a meter show that is asked; its step is no finer than its class says."""
    samples, reads_s = meter.heard()
    times_s, watts = np.array(samples).T
    changed_s = times_s[1:][np.diff(watts) != 0]
    steps_w = np.diff(np.unique(watts))
    seen_w = float(np.min(steps_w[steps_w > _LEAST_STEP_W], initial=np.inf))
    resolution_w = max(seen_w if np.isfinite(seen_w) else 0.0, meter.resolution_w) or None
    unseen, period_s, doubt = {}, None, None
    if len(changed_s) >= _LEAST_CHANGES:
        # As of a device's sensors: an update that changes nothing makes some of them too long.
        period_s = float(np.quantile(np.diff(changed_s), 0.25))
        if period_s > _MOST_SLOWER * meter.period_s:
            doubt = f"its class says {meter.period_s * 1e3:.3g} ms: correct period_s, or the joules' intervals are too narrow"
    else:
        unseen["period_s"] = (
            f"its value changed {len(changed_s)} times in {times_s[-1] - times_s[0]:.2g} s, too seldom to tell; its class "
            f"says {meter.period_s * 1e3:.3g} ms"
        )
    if resolution_w is None:
        unseen["resolution"] = "its value did not change, and its class says none"
    return Seen(period_s, resolution_w, "W" if resolution_w else None, float(np.median(reads_s)), unseen, doubt)
