"""The network that a study measures again and again, by which a drift of its device shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import TypeAdapter

from joulefront import estimates
from joulefront.records import Estimate, Fidelity, Measurement, Provenance

_NAMES: Mapping[Fidelity, str] = {"screen": "canary", "full": "settled-canary"}


@dataclass(frozen=True, slots=True)
class Canary:
    """The reference measured again ``before`` the trial of that number, or in the block of finalists that begins with it.

    ``network`` is the reference's trial, where it was measured first, in the same ``fidelity``. ``latency`` and ``energy``
    are the ratios of the new figures to those, with their 95 % intervals; no ``energy`` where there was none. ``at`` says
    when, in ISO 8601.
    """

    before: int
    fidelity: Fidelity
    network: int
    at: str
    latency: Estimate
    energy: Estimate | None
    provenance: Provenance

    @classmethod
    def of(cls, before: int, fidelity: Fidelity, network: int, first: Measurement, again: Measurement) -> Self:
        """What measuring it ``again`` says about drift since the ``first`` time."""
        return cls(
            before,
            fidelity,
            network,
            datetime.now(UTC).isoformat(timespec="seconds"),
            estimates.ratio(again.latency_s, first.latency_s),
            _ratio_of_joules(again, first),
            again.provenance,
        )

    @property
    def apart(self) -> tuple[str, ...]:
        """The figures that are not what they were: whose ratio's interval does not hold 1."""
        ratios = {"latency_s": self.latency, "energy_j": self.energy}
        return tuple(name for name, ratio in ratios.items() if ratio and not ratio.low <= 1.0 <= ratio.high)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it says about measurements since."""
        words = {"latency_s": ("latency", self.latency), "energy_j": ("energy", self.energy)}
        said = []
        for name in self.apart:
            word, ratio = words[name]
            assert ratio is not None
            said.append(
                f"the device drifted: the {word} of its reference, trial {self.network}, is {ratio.value:.4g} times "
                f"({ratio.low:.4g} to {ratio.high:.4g}) what it was at first"
            )
        return tuple(said)

    @property
    def plain(self) -> dict[str, Any]:
        """As plain values, to be recorded."""
        return {**_RECORD.dump_python(self, mode="json"), "apart": list(self.apart)}


_RECORD = TypeAdapter(Canary)


def name_of(fidelity: Fidelity, before: int) -> str:
    """What the canary before a trial is recorded by."""
    return f"{_NAMES[fidelity]}-{before}"


def of_plain(value: Mapping[str, Any]) -> Canary:
    """The canary that was recorded so. Raises ValueError."""
    return _RECORD.validate_python({name: told for name, told in value.items() if name != "apart"})


def recorded(decisions: Mapping[str, Any]) -> tuple[Canary, ...]:
    """All canaries among a study's decisions, in the order in which they were measured. Raises ValueError."""
    prefixes = tuple(f"{name}-" for name in _NAMES.values())
    found = [of_plain(value) for name, value in decisions.items() if name.startswith(prefixes)]
    return tuple(sorted(found, key=lambda canary: canary.before))


def _ratio_of_joules(again: Measurement, first: Measurement) -> Estimate | None:
    """Without what both have from their one meter; None without joules."""
    if not (again.energy_j and first.energy_j):
        return None
    if again.energy and first.energy and estimates.have_one_meter(again.energy, first.energy):
        return estimates.ratio(
            estimates.within_one_meter(again.energy_j, again.energy),
            estimates.within_one_meter(first.energy_j, first.energy),
        )
    return estimates.ratio(again.energy_j, first.energy_j)
