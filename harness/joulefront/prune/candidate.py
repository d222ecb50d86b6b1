"""A candidate's network, before it is recovered: blocks taken out, channels cut, single weights zeroed."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from joulefront.errors import ConfigError, PruneError
from joulefront.protocols import Criterion, Group, Task
from joulefront.prune.axes import NO_GROUPS
from joulefront.prune.evidence import Evidence, called, score
from joulefront.prune.groups import Example, Groups
from joulefront.prune.masks import weight_masks, zero
from joulefront.prune.surgery import cut
from joulefront.space_records import Pruning, inside


class Remembered:
    """A criterion that judges each group of one model once: for many cuts of it.

    To be used with the groups of that model alone, since it tells them by their names.
    """

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self.__name__ = called(criterion)
        self._scores: dict[str, Tensor] = {}

    def __call__(self, group: Group) -> Tensor:
        """See protocols.Criterion."""
        if group.name not in self._scores:
            self._scores[group.name] = self.criterion(group)
        return self._scores[group.name]


def prune(
    model: nn.Module,
    example: Example,
    pruning: Pruning,
    criterion: Remembered,
    *,
    task: Task | None,
    groups: Groups,
    evidence: Evidence,
) -> nn.Module:
    """A copy of ``model`` that is pruned as ``pruning`` says: of everything, what scores highest stays.

    ``groups`` and ``evidence`` are the model's; ``task`` has the data that criteria look at, if any.

    Channels are judged in the unpruned network, of which ``evidence`` is, so that what is kept of a smaller width is also kept
    of a larger one; single weights in the network that was cut.

    Raises PruneError as ``surgery.cut``, and ConfigError when the criterion cannot judge what it is asked to.
    """
    small = cut(model, example, pruning, criterion, groups=groups, evidence=evidence)
    shares = {layer: share for layer, share in effective(pruning, groups).sparsity.items() if share}
    if shares:
        left = Evidence(small, task, example, NO_GROUPS)
        scores = {layer: score(left.layer(layer), criterion.criterion) for layer in shares}
        zero(small, weight_masks(small, scores, shares))
    return small


def check(criterion: Remembered, evidence: Evidence, pruning: Pruning, *, where: str) -> None:
    """Raise ConfigError unless ``criterion`` can judge all that ``pruning`` names; channels it remembers.

    ``where`` is how messages call the place that names it.
    """
    hint = ""
    try:
        for name in pruning.widths:
            score(evidence.group(name), criterion)
        hint = (
            ". With space.sparsity every criterion has to judge single weights: name another one, or leave sparsity out"
        )
        for layer in pruning.sparsity:
            score(evidence.layer(layer), criterion.criterion)
    except (ConfigError, PruneError) as error:
        raise ConfigError(f"{where} {error}{hint}") from error


def effective(pruning: Pruning, groups: Groups) -> Pruning:
    """``pruning`` less what it says of the inside of blocks that are taken out: the same for all that make one network."""
    left = groups.without(pruning.dropped).by_name
    return replace(
        pruning,
        widths={name: width for name, width in pruning.widths.items() if name in left},
        sparsity={layer: share for layer, share in pruning.sparsity.items() if not inside(layer, pruning.dropped)},
    )
