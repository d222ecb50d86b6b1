"""Joules that nobody measured: from how busy the processor was."""

from __future__ import annotations

from joulefront.bench.meters.span import Span
from joulefront.errors import ConfigError, MeterError
from joulefront.records import EnergyWindow, Provenance, Stretch


class CpuModel(Span):
    """A line between two powers of the user's: all cores idle, ``idle_w``, and all of them busy, ``busy_w``, both in W.

    watts = idle_w + (busy_w - idle_w) * busy cores / cores. Its joules are called estimated wherever they are shown. It knows
    nothing of frequencies, of memory, nor of what instructions take; between two networks on one device it says little
    that their latencies do not. See ``protocols.PowerMeter``.

    Raises ConfigError for powers that are none.
    """

    name = "cpu-model"
    provenance: Provenance = "estimated"

    def __init__(self, idle_w: float, busy_w: float, covers: str = "what its two powers cover") -> None:
        super().__init__()  # there is nothing to record: the device tells how busy it was
        if not 0 < idle_w < busy_w:
            raise ConfigError(
                f"cpu-model: expected 0 < idle_w < busy_w, not idle_w = {idle_w:g} and busy_w = {busy_w:g}"
            )
        self._idle_w, self._busy_w = idle_w, busy_w
        self.covers = covers

    def energy(self, stretch: Stretch) -> EnergyWindow:
        """See PowerMeter."""
        self.check(stretch, self.name)
        if stretch.busy_cores is None:
            raise MeterError("cpu-model: the device does not tell how busy its cores were, as its /proc/stat would")
        share = min(1.0, stretch.busy_cores / stretch.cores)
        window_s = stretch.end_s - stretch.begin_s
        energy_j = (self._idle_w + (self._busy_w - self._idle_w) * share) * window_s
        return EnergyWindow(energy_j, window_s, stretch.inferences, 0.0, 0.0, None, stretch.edges_s, 0.0)
