"""Single weights, which become zero and stay in the network."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from joulefront.errors import ConfigError
from joulefront.protocols import Criterion, Task
from joulefront.prune.axes import NO_GROUPS, Example
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.granularities.network import Network, There
from joulefront.prune.masks import weight_masks, zero
from joulefront.prune.ratios import Stock
from joulefront.prune.resize import FewerHeads
from joulefront.space_records import Pruning, inside
from joulefront.training import Masks

_MASKED = (_ConvNd, nn.Linear, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, FewerHeads, nn.Bilinear)


@dataclass(frozen=True, slots=True)
class Weights:
    """Single weights: of convolutions, linear and recurrent layers and attentions that are not below a name in ``exclude``.

    Layers whose weights are computed from other parameters, as by weight_norm, are left alone.
    """

    is_cut = False
    exclude: tuple[str, ...] = ()

    def there(self, network: Network) -> dict[str, Tensor]:
        """See Granularity. What is zero is gone."""
        modules = dict(network.model.named_modules())
        found = {}
        for name, parameter in network.model.named_parameters():
            path, _, attribute = name.rpartition(".")
            module = modules[path]
            if isinstance(vars(module).get(attribute.rpartition("_")[0]), Tensor):
                continue  # what torch.nn.utils.weight_norm computes the weight from, weight_g and weight_v
            if parameter.dim() > 1 and isinstance(module, _MASKED) and not inside(name, self.exclude):
                layer = path if attribute == "weight" else name
                found[layer] = parameter.detach().cpu().reshape(-1).nonzero().flatten()
        if not found:
            raise ConfigError("the model has no weights of convolutions, linear or recurrent layers to prune")
        return found

    def scores(self, network: Network, there: There, criterion: Criterion, task: Task, seed: int) -> dict[str, Tensor]:
        """See Granularity."""
        evidence = Evidence(network.model, task, task.example, NO_GROUPS, seed=seed)
        return {name: score(evidence.layer(name), criterion)[units] for name, units in there.items()}

    def stocks(self, network: Network, full: Mapping[str, int], scores: Mapping[str, Tensor]) -> dict[str, Stock]:  # noqa: ARG002 -- all weights are alike
        """See Granularity. One weight of a layer stays, or it would pass nothing on."""
        return {name: Stock(full[name], values) for name, values in scores.items()}

    def pruning(self, network: Network, there: There) -> Pruning:
        """See Granularity."""
        sizes = {name: _weight(network.model, name).numel() for name in there}
        return Pruning(sparsity={name: 1 - len(units) / sizes[name] for name, units in there.items()})

    def keeping(self, network: Network, there: There, example: Example) -> Network:  # noqa: ARG002 -- no shape changes
        """See Granularity."""
        model = copy.deepcopy(network.model).eval()
        zero(model, self.masks(network, there))
        sparsity = {**network.pruning.sparsity, **self.pruning(network, there).sparsity}
        return replace(network, model=model, pruning=replace(network.pruning, sparsity=sparsity))

    def masks(self, network: Network, there: There) -> Masks:
        """See Granularity."""
        ranks = {}
        for name, units in there.items():
            ranks[name] = torch.zeros(_weight(network.model, name).numel())
            ranks[name][units] = 1.0
        return weight_masks(network.model, ranks, self.pruning(network, there).sparsity)


def sparsity_of(network: Network) -> dict[str, float]:
    """The share of zeros in each layer whose weights were pruned and that is still there, as the network is now."""
    weights = {
        name: _weight(network.model, name)
        for name in network.pruning.sparsity
        if not inside(name, network.pruning.dropped)
    }
    return {name: float((weight == 0).double().mean()) for name, weight in weights.items()}


def _weight(model: nn.Module, layer: str) -> Tensor:
    """The weight of a layer, named as ``Evidence.layer`` has it."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return parameters[layer if layer in parameters else f"{layer}.weight"].detach()
