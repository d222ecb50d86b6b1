"""What pruning a model is asked to do, and what it came to: the records of ``joulefront prune``, and their document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field

from joulefront.config import FineTuning, Plugin
from joulefront.prune.granularities import Name
from joulefront.prune.rationing import Of
from joulefront.prune.ratios import Scope
from joulefront.records import Estimate, Score
from joulefront.space_records import Pruning

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What is to be taken away, and how it is chosen.

    ``ratio`` is the share, above 0 and below 1, ``of`` the units of this granularity, of the multiply-accumulates or of the
    parameters. Without it, a criterion with a threshold takes what scores below its ``cutoff``. ``shares`` gives
    single groups or layers, or all below a name, a share of their own units instead. ``scope`` says whether the rest
    lose the same share each (uniform), or whatever ranks lowest among all (global). ``criterion`` is l2 by default, of blocks
    contribution. Layers below the names ``exclude`` are left alone. Of channels and heads, widths are multiples of
    ``multiple`` where they can be, and at least the share ``floor``: 0.1, or what the ratio asks for if that is less.
    """

    granularity: Name = "channel"
    ratio: float | None = None
    of: Of = "units"
    scope: Scope = "uniform"
    shares: Mapping[str, float] = field(default_factory=dict)
    criterion: Plugin | None = None
    schedule: Plugin = Plugin(kind="one-shot")  # noqa: RUF009 -- frozen
    exclude: tuple[str, ...] = ()
    multiple: int = 1
    floor: float | None = None


class Recovery(FineTuning):
    """What follows each step: BatchNorm's statistics anew, then ``epochs`` of fine-tuning (see ``training.recover``).

    ``epochs`` are those of every step, so that a schedule of more steps trains longer. The rest is as in a study file.
    """

    epochs: float = Field(default=3.0, ge=0)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a network is: counted, and judged on the validation split.

    ``params`` and ``macs`` are of the network as it is computed, zeros included; ``nonzero`` counts the parameters that
    are not zero. ``size_b`` is its weights' file in bytes, where zeros are left out if that is shorter, but for the widths
    that the header of an exported one has. ``score`` is None with a reason.
    """

    params: int
    nonzero: int
    macs: int
    size_b: int
    score: Score | None
    score_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a schedule: out of the network of step ``start`` (0 is the unpruned one), one that lost ``ratio`` in all.

    ``ratio`` is a share of what its ``granularity`` began with, of what ``of`` says. ``cut`` is the network before it was
    recovered, None where it lost its units during fine-tuning; ``recovered`` is the network after that. ``used`` tells
    whether the final network came by this one; one that did not was below the floor.
    """

    number: int
    granularity: str
    start: int
    ratio: float
    of: str
    cut: Figures | None
    recovered: Figures
    used: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """A pruned model, and how it came about.

    ``model`` is in eval mode, on the CPU; ``pruning`` is what it lost of the unpruned one. ``test`` is its score on the test
    split and ``unpruned_test`` the unpruned model's, both looked at once; None with ``test_reason``. ``test_change`` is the
    change of a classifier's accuracy, taken in pairs, example by example, which is surer than the two intervals; None for
    anything else. ``warnings`` are what makes one doubt it.
    """

    model: nn.Module
    pruning: Pruning
    unpruned: Figures
    steps: tuple[Step, ...]
    test: Score | None
    unpruned_test: Score | None
    test_change: Estimate | None
    test_reason: str | None
    seed: int
    warnings: tuple[str, ...] = field(default=())

    @property
    def figures(self) -> Figures:
        """Of the final network."""
        used = [step for step in self.steps if step.used]
        return used[-1].recovered if used else self.unpruned

    def document(self) -> dict[str, Any]:
        """What ``joulefront prune --json`` prints of it."""
        return {
            "unpruned": _figures(self.unpruned),
            "pruned": _figures(self.figures),
            "steps": [_step(step) for step in self.steps],
            "test": _score(self.test),
            "unpruned_test": _score(self.unpruned_test),
            "test_change": _change(self.test_change),
            "test_reason": self.test_reason,
            "widths": dict(self.pruning.widths),
            "dropped": list(self.pruning.dropped),
            "sparsity": dict(self.pruning.sparsity),
            "seed": self.seed,
            "warnings": list(self.warnings),
        }


def path_to(result: int, starts: Sequence[int]) -> set[int]:
    """The steps that a network came by, itself as well: step n, from 1, began at step ``starts[n - 1]``; 0 is none."""
    used = set()
    while result:
        used.add(result)
        result = starts[result - 1]
    return used


def _step(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "granularity": step.granularity,
        "start": step.start,
        "ratio": step.ratio,
        "of": step.of,
        "cut": None if step.cut is None else _figures(step.cut),
        "recovered": _figures(step.recovered),
        "used": step.used,
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "params": figures.params,
        "nonzero": figures.nonzero,
        "macs": figures.macs,
        "size_b": figures.size_b,
        "validation": _score(figures.score),
        "validation_reason": figures.score_reason,
    }


def _score(score: Score | None) -> dict[str, Any] | None:
    """``interval`` is the metric's, 95 %."""
    if score is None:
        return None
    return {
        "metric": score.metric,
        "interval": [1 - score.error.high, 1 - score.error.low],
        "loss": score.loss,
        "examples": score.examples,
    }


def _change(change: Estimate | None) -> dict[str, Any] | None:
    return None if change is None else {"value": change.value, "interval": [change.low, change.high]}
