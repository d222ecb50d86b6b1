"""What is learnt of a network by pruning one part of it at a time: the records of ``joulefront sensitivity``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from joulefront.estimates import ratio
from joulefront.records import Estimate, Failure, Measurement, Score
from joulefront.space_records import Pruning


@dataclass(frozen=True, slots=True)
class Part:
    """A group of coupled channels, of ``channels`` in all, or a residual block, which has None.

    ``contribution`` is the change of the mean validation loss, in the loss's unit, when the part's whole output is taken
    out. ``carried`` is the mean absolute activation that a connection of the part carries, in the activations' unit. Each is
    None where it cannot be told, with the reason.
    """

    name: str
    channels: int | None
    contribution: float | None = None
    contribution_reason: str | None = None
    carried: float | None = None
    carried_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The network with one part of it, of the name ``part``, cut to ``width`` channels; a block, whose width is 0, taken out.

    ``change`` is that of the metric, a share, with its 95 % ``interval`` where there is one. ``carried`` is what a connection
    of the part that the unpruned network had still carries, one that went carrying nothing. ``failure`` says why what follows
    it is missing: it may fail to be made, to be compiled or to run.
    """

    part: str
    width: int
    pruning: Pruning
    score: Score | None = None
    change: float | None = None
    interval: tuple[float, float] | None = None
    params: int | None = None
    macs: int | None = None
    carried: float | None = None
    carried_reason: str | None = None
    measurement: Measurement | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a device said: the unpruned network, measured several times from the first to the last, and drift.

    ``latency_s`` is of all of these together, so that its interval holds whatever drifted meanwhile.
    """

    device: str
    unpruned: tuple[Measurement, ...]
    latency_s: Estimate

    @property
    def drift(self) -> Estimate:
        """The unpruned network's latency in the end, by what it was first."""
        return ratio(self.unpruned[-1].latency_s, self.unpruned[0].latency_s)

    @property
    def metered(self) -> Measurement | None:
        """Of the unpruned network's measurements the middle one by joules an inference; None without a meter."""
        known = sorted((one.energy_j.value, place) for place, one in enumerate(self.unpruned) if one.energy_j)
        return self.unpruned[known[len(known) // 2][1]] if known else None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A model's parts in the order of execution, and the cuts that were tried.

    ``score``, ``params`` and ``macs`` are the unpruned network's. ``interval_reason`` says why changes of the metric have no
    interval, None where they have. ``left_alone`` gives the reason for each layer whose channels cannot be cut.
    """

    model: str
    criterion: str
    score: Score
    params: int
    macs: int
    parts: tuple[Part, ...]
    cuts: tuple[Cut, ...]
    interval_reason: str | None
    left_alone: Mapping[str, str]
    measured: Measured | None = None
