"""Whole residual blocks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from joulefront.errors import ConfigError
from joulefront.protocols import Criterion, Task
from joulefront.prune.axes import NO_GROUPS, Example
from joulefront.prune.blocks import find_blocks
from joulefront.prune.calibration import Calibration
from joulefront.prune.criteria.losses import Contribution
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.granularities.network import Network, There
from joulefront.prune.ratios import Stock
from joulefront.space_records import Pruning, inside
from joulefront.training import Masks

ALL_BLOCKS = "blocks"
"""What all blocks together are called, of which each is a unit."""


class Blocks:
    """Whole residual blocks of ``network`` that can be taken out and are not below a name in ``exclude``.

    All of them are one stock, ``ALL_BLOCKS``, and each is a unit.
    """

    is_cut = True

    def __init__(self, network: Network, example: Example, exclude: tuple[str, ...] = ()) -> None:
        found = find_blocks(network.model, example, network.groups)
        self.names = [name for name in found if not inside(name, exclude)]

    def there(self, network: Network) -> dict[str, Tensor]:
        """See Granularity."""
        if not self.names:
            raise ConfigError(
                "the model has no residual block that can be taken out: modules that add what they compute to what they "
                "are given; prune channels instead (--granularity channel)"
            )
        gone = set(network.pruning.dropped)
        return {ALL_BLOCKS: torch.tensor([unit for unit, name in enumerate(self.names) if name not in gone])}

    def scores(self, network: Network, there: There, criterion: Criterion, task: Task, seed: int) -> dict[str, Tensor]:
        """See Granularity.

        Of ``Contribution`` it is the mean loss without the block, less the loss as it is; of any other criterion the mean
        score of the single weights in the block.
        """
        names = [self.names[unit] for unit in there[ALL_BLOCKS].tolist()]
        parameters = {name: dict(network.model.get_submodule(name).named_parameters(name)) for name in names}
        if isinstance(criterion, Contribution):
            # A residual block without its parameters adds nothing.
            calibration = Calibration(network.model, task, seed)
            units = [
                [(key, 0, torch.arange(len(part) if part.dim() else 1)) for key, part in parameters[name].items()]
                for name in names
            ]
            return {ALL_BLOCKS: calibration.losses_without(units)}
        evidence = Evidence(network.model, task, task.example, NO_GROUPS, seed=seed)
        means = []
        for name in names:
            layers = [key for key, part in parameters[name].items() if part.dim() > 1]
            means.append(float(torch.cat([score(evidence.layer(layer), criterion) for layer in layers]).mean()))
        return {ALL_BLOCKS: torch.tensor(means)}

    def stocks(self, network: Network, full: Mapping[str, int], scores: Mapping[str, Tensor]) -> dict[str, Stock]:  # noqa: ARG002 -- all blocks are alike
        """See Granularity. A network works without any."""
        return {name: Stock(full[name], values, least=0) for name, values in scores.items()}

    def pruning(self, network: Network, there: There) -> Pruning:
        """See Granularity."""
        stay = {self.names[unit] for unit in there[ALL_BLOCKS].tolist()}
        gone = {*network.pruning.dropped, *stay}
        return Pruning(dropped=tuple(name for name in self.names if name not in gone))

    def keeping(self, network: Network, there: There, example: Example) -> Network:
        """See Granularity."""
        return network.shrunk(example, {}, self.pruning(network, there).dropped)

    def masks(self, network: Network, there: There) -> Masks:  # noqa: ARG002 -- there is none
        """See Granularity."""
        raise ConfigError(
            "a block goes at once, not during fine-tuning: take --schedule iterative, one-shot or adaptive for blocks"
        )
