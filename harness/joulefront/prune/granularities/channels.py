"""Channels, filters, neurons, hidden units and attention heads, with everything that is coupled to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from joulefront.errors import ConfigError, PruneError
from joulefront.protocols import Criterion, Task
from joulefront.prune.axes import ChannelGroup, Example, touches
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.granularities.network import Network, There
from joulefront.prune.masks import channel_masks
from joulefront.prune.ratios import Stock
from joulefront.prune.surgery import shrink
from joulefront.space_records import Pruning
from joulefront.training import Masks


@dataclass(frozen=True, slots=True)
class Channels:
    """Coupled channels: filters, neurons, hidden units, heads; or the ``heads`` of attentions alone, each a unit.

    Runs of channels that go together are a unit. Layers below the names ``exclude`` are left alone, with what is coupled to
    them. Widths are multiples of ``multiple`` where they can be, and at least the share ``floor`` of what there was.
    """

    is_cut = True
    heads: bool = False
    exclude: tuple[str, ...] = ()
    multiple: int = 1
    floor: float = 0.0

    def there(self, network: Network) -> dict[str, Tensor]:
        """See Granularity."""
        groups = [group for group in network.groups.groups if not self.heads or _is_heads(network.model, group)]
        if not groups:
            raise ConfigError(_nothing(network, "attention heads" if self.heads else "channels"))
        found = {
            group.name: torch.arange(group.channels // group.block)
            for group in groups
            if not touches(group, self.exclude)
        }
        if not found:
            raise ConfigError("--exclude leaves nothing to prune")
        return found

    def scores(self, network: Network, there: There, criterion: Criterion, task: Task, seed: int) -> dict[str, Tensor]:
        """See Granularity; of a run of channels it is the mean."""
        evidence = Evidence(network.model, task, task.example, network.groups, seed=seed)
        return {
            name: score(evidence.group(name), criterion).reshape(-1, network.groups.by_name[name].block).mean(1)[units]
            for name, units in there.items()
        }

    def stocks(self, network: Network, full: Mapping[str, int], scores: Mapping[str, Tensor]) -> dict[str, Stock]:
        """See Granularity."""
        found = {}
        for name, values in scores.items():
            size = network.groups.by_name[name].block
            least = max(1, math.ceil(self.floor * full[name] - 1e-9))
            found[name] = Stock(full[name], values, size, least, math.lcm(self.multiple, size) // size)
        return found

    def pruning(self, network: Network, there: There) -> Pruning:
        """See Granularity."""
        return Pruning({name: len(units) * network.groups.by_name[name].block for name, units in there.items()})

    def keeping(self, network: Network, there: There, example: Example) -> Network:
        """See Granularity. What to leave alone is looked for only where something does not work."""
        keep = self._channels(network, there)
        try:
            return network.shrunk(example, keep)
        except PruneError as error:
            broken = [name for name, channels in keep.items() if not _works(network, example, name, channels)]
            advice = "".join(f" --exclude {name}" for name in broken)
            raise PruneError(
                f"{error}; to leave alone what cannot be cut:{advice}" if broken else str(error)
            ) from error

    def masks(self, network: Network, there: There) -> Masks:
        """See Granularity."""
        return channel_masks(network.model, network.groups, self._channels(network, there))

    def _channels(self, network: Network, there: There) -> dict[str, Tensor]:
        """The channels of the units, of the groups that lose any."""
        found = {}
        for name, units in there.items():
            group = network.groups.by_name[name]
            if len(units) * group.block < group.channels:
                found[name] = (units[:, None] * group.block + torch.arange(group.block)).flatten()
        return found


def _works(network: Network, example: Example, name: str, channels: Tensor) -> bool:
    """Whether the network runs with only these ``channels`` of the group of that name."""
    try:
        shrink(network.model, example, network.groups, {name: channels})
    except PruneError:
        return False
    return True


def _is_heads(model: nn.Module, group: ChannelGroup) -> bool:
    """Whether the units of ``group`` are heads: runs of channels that no grouped convolution or norm holds together."""
    owners = {axis.tensor.rpartition(".")[0] for axis in group.axes}
    return group.block > 1 and not any(isinstance(model.get_submodule(name), _ConvNd | nn.GroupNorm) for name in owners)


def _nothing(network: Network, what: str) -> str:
    """Why a model has none of what is to be pruned."""
    reasons = [
        f"{name!r}: {reason}" for name, reason in network.groups.fixed.items() if what == "channels" or "head" in reason
    ]
    return f"the model has no {what} that can be pruned" + (f" ({'; '.join(reasons[:3])})" if reasons else "")
