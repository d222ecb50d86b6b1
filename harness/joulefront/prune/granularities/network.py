"""A network on its way to be pruned, and what takes units out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor, nn

from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront.protocols import Criterion, Task
from joulefront.prune.axes import Example, Groups
from joulefront.prune.groups import find_groups
from joulefront.prune.ratios import Stock
from joulefront.prune.surgery import shrink
from joulefront.space_records import Pruning
from joulefront.training import Masks

There = Mapping[str, Tensor]
"""Which units there are, ascending, by the name of the group or layer that has them: (units,) each."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network under way: the model, in eval mode, its groups, and what it has lost of the unpruned one (``pruning``).

    Its groups and blocks go by the unpruned network's names.
    """

    model: nn.Module
    groups: Groups
    pruning: Pruning

    @classmethod
    def unpruned(cls, model: nn.Module, example: Example) -> Network:
        """The network that all begins with. Raises PruneError when it cannot be traced."""
        return cls(model, find_groups(model, example), Pruning())

    def shrunk(self, example: Example, keep: Mapping[str, Tensor], dropped: Sequence[str] = ()) -> Network:
        """The network with only the channels ``keep`` of these groups, and without the blocks ``dropped``.

        Raises PruneError when it does not work.
        """
        model = shrink(self.model, example, self.groups, keep, dropped)
        widths = {**self.pruning.widths, **{name: len(channels) for name, channels in keep.items()}}
        gone = (*self.pruning.dropped, *dropped)
        left = self.groups.without(dropped)
        return Network(
            model, _renamed(find_groups(model, example), left), replace(self.pruning, widths=widths, dropped=gone)
        )


class Granularity(Protocol):
    """What goes, as one kind of unit. ``is_cut`` tells whether it is computed no more; what is set to zero still is."""

    @property
    def is_cut(self) -> bool: ...

    def there(self, network: Network) -> dict[str, Tensor]:
        """The units that can go, by what has them. Raises ConfigError when there is none."""
        ...

    def scores(self, network: Network, there: There, criterion: Criterion, task: Task, seed: int) -> dict[str, Tensor]:
        """One score for each unit of ``there``, higher is kept. Raises ConfigError for what the criterion cannot judge."""
        ...

    def stocks(self, network: Network, full: Mapping[str, int], scores: Mapping[str, Tensor]) -> dict[str, Stock]:
        """What has units to give, where there were ``full`` of them, and ``scores`` are of those that are left."""
        ...

    def pruning(self, network: Network, there: There) -> Pruning:
        """What a network with only the units ``there`` has lost of ``network``."""
        ...

    def keeping(self, network: Network, there: There, example: Example) -> Network:
        """The network with only these units. Raises PruneError when it does not work."""
        ...

    def masks(self, network: Network, there: There) -> Masks:
        """What silences all other units, while they are still there. Raises ConfigError where that cannot be."""
        ...


def check_excluded(model: nn.Module, exclude: Sequence[str]) -> None:
    """Raise ConfigError for a name that is no layer of ``model``."""
    layers = {name for name, _ in model.named_modules() if name}
    for name in exclude:
        if name not in layers:
            raise ConfigError(f"--exclude {name}: the model has no layer of that name; {nearest(name, layers)}")


def _renamed(found: Groups, before: Groups) -> Groups:
    """The groups ``found`` by the names that those had ``before`` that own the same tensors: a first layer may be gone."""
    names = {(axis.tensor, axis.dim): group.name for group in before.groups for axis in group.axes}
    known = before.by_name
    return replace(
        found,
        groups=tuple(
            group
            if group.name in known
            else replace(
                group,
                name=next((names[key] for axis in group.axes if (key := (axis.tensor, axis.dim)) in names), group.name),
            )
            for group in found.groups
        ),
    )
