"""A power that was recorded, as if it were measured now."""

from __future__ import annotations

from pathlib import Path
from time import CLOCK_MONOTONIC_RAW, clock_gettime

import numpy as np

from joulefront.bench.meters.recordings import recording
from joulefront.errors import MeterError
from joulefront.records import EnergyWindow, Provenance, Stretch


class Replay:
    """Plays the power in ``file`` from its beginning, each time that something is recorded. See ``protocols.PowerMeter``.

    What it tells was measured, but not of what runs now: its provenance is "simulated". It is for trying a study out without a
    meter, and for tests. ``covers`` is what the recording covers.

    Raises ConfigError for a file that cannot be read.
    """

    provenance: Provenance = "simulated"

    def __init__(self, file: str, covers: str = "what was recorded") -> None:
        path = Path(file).expanduser()
        self._trace = recording(path)
        self._period_s = float(np.median(np.diff(self._trace.times_s)))
        self._begin_s = self._end_s = 0.0
        self.name = f"replay:{path.name}"
        self.covers = covers

    def begin(self) -> None:
        """See PowerMeter."""
        self._begin_s = clock_gettime(CLOCK_MONOTONIC_RAW)

    def end(self) -> None:
        """See PowerMeter."""
        self._end_s = clock_gettime(CLOCK_MONOTONIC_RAW)

    def energy(self, stretch: Stretch) -> EnergyWindow:
        """See PowerMeter."""
        if not self._begin_s <= stretch.begin_s < stretch.end_s <= self._end_s:
            raise MeterError(f"{self.name}: the window does not lie within what was played: not covered")
        energy_j = self._trace.energy_j(stretch.begin_s - self._begin_s, stretch.end_s - self._begin_s)
        window_s = stretch.end_s - stretch.begin_s
        return EnergyWindow(energy_j, window_s, stretch.inferences, 0.0, self._period_s, None, stretch.edges_s, 0.0)

    def close(self) -> None:
        """See PowerMeter."""
