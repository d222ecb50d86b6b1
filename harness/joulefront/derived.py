"""What follows from a measurement's joules and its latency: figures that are computed, each with its 95 % interval."""

from __future__ import annotations

from joulefront import estimates
from joulefront.records import Estimate, Measurement, Provenance

NAMES = ("net_j", "power_w", "inferences_per_j", "energy_delay_js")
"""Those of one network, in SI units; ``energy_delay_js`` is joules times seconds of one inference (Horowitz et al. 1994)."""

NOT_TOLD = "the version that recorded it did not tell"


def found(measured: Measurement | None) -> dict[str, Estimate | None]:
    """Each of ``NAMES``; None where the measurement has no joules, or does not tell what they are made of."""
    if measured is None or measured.energy_j is None:
        return dict.fromkeys(NAMES)
    made = measured.energy
    # An inference that takes longer takes more joules: the two err together.
    return {
        "net_j": made.net_j if made else None,
        "power_w": made.power_w if made else None,
        "inferences_per_j": estimates.inverse(measured.energy_j),
        "energy_delay_js": estimates.product(measured.energy_j, measured.latency_s, together=True),
    }


def provenance(measured: Measurement, name: str) -> Provenance | None:
    """How such a figure came about: as its joules did; of the energy-delay product, simulated if its latency was."""
    if found(measured)[name] is None:
        return None
    return (
        "simulated" if name == "energy_delay_js" and measured.provenance == "simulated" else measured.energy_provenance
    )


def why_missing(name: str, measured: Measurement) -> str:
    """Why a measurement has no such figure, in words."""
    made = measured.energy
    return measured.energy_reason or (made.net_reason if made and name == "net_j" else None) or NOT_TOLD
