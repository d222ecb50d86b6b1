"""A power that was recorded, as if it were measured now."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from joulefront.bench.meters.recordings import recording
from joulefront.bench.meters.span import Span
from joulefront.records import EnergyWindow, Provenance, Stretch


class Replay(Span):
    """Plays the power in ``file`` from its beginning, each time that something is recorded. See ``protocols.PowerMeter``.

    What it tells was measured, but not of what runs now: its provenance is "simulated". It is for trying a study out without a
    meter, and for tests. ``covers`` is what the recording covers.

    Raises ConfigError for a file that cannot be read.
    """

    provenance: Provenance = "simulated"

    def __init__(self, file: str, covers: str = "what was recorded") -> None:
        super().__init__()
        path = Path(file).expanduser()
        self._trace = recording(path)
        self._period_s = float(np.median(np.diff(self._trace.times_s)))
        self.name = f"replay:{path.name}"
        self.covers = covers

    def energy(self, stretch: Stretch) -> EnergyWindow:
        """See PowerMeter."""
        self.check(stretch, self.name)
        energy_j = self._trace.energy_j(stretch.begin_s - self.begin_s, stretch.end_s - self.begin_s)
        window_s = stretch.end_s - stretch.begin_s
        return EnergyWindow(energy_j, window_s, stretch.inferences, 0.0, self._period_s, None, stretch.edges_s, 0.0)
