"""What a network costs: its parameters and multiply-accumulates, counted, or predicted for any genome."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from joulefront.prune.groups import Example, Groups, find_groups, inside
from joulefront.records import Pruning


@dataclass(frozen=True, slots=True)
class Cost:
    """``params`` is the number of parameters (buffers not counted). ``macs`` is the number of multiply-accumulates of
    the convolutions and linear layers in one forward pass of the example, as the literature counts them."""

    params: int
    macs: int


def count(model: nn.Module, example: Example) -> Cost:
    """The cost of ``model`` as it is."""
    sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    positions, computed = _applied(model, example)
    return _cost(sizes, positions, sum(computed.values()))


class Predictor:
    """The cost of any pruning, without surgery.

    Every axis of a parameter is as long as it was, less k for each channel that goes, where k is how many of its indices one
    channel owns. A layer's multiply-accumulates are its weight's elements times the positions that the weight is applied
    at, which no width changes. What lies in a block that is taken out costs nothing. Single weights that are zero are
    parameters like others, and multiplied like others.
    """

    def __init__(self, model: nn.Module, example: Example, groups: Groups | None = None) -> None:
        self._sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        self._positions, self._computed = _applied(model, example)
        self._groups = groups or find_groups(model, example)

    def __call__(self, pruning: Pruning) -> Cost:
        left = {name: list(shape) for name, shape in self._sizes.items() if not inside(name, pruning.dropped)}
        groups = self._groups.without(pruning.dropped).by_name
        for name, width in pruning.widths.items():
            for axis in groups[name].axes if name in groups else ():
                if axis.tensor in left:
                    left[axis.tensor][axis.dim] -= axis.owned.shape[1] * (groups[name].channels - width)
        positions = Counter({name: times for name, times in self._positions.items() if name in left})
        computed = sum(macs for name, macs in self._computed.items() if not inside(name, pruning.dropped))
        return _cost({name: tuple(shape) for name, shape in left.items()}, positions, computed)


def _cost(sizes: dict[str, tuple[int, ...]], positions: Counter[str], computed: int) -> Cost:
    elements = {name: math.prod(shape) for name, shape in sizes.items()}
    return Cost(sum(elements.values()), computed + sum(elements[name] * times for name, times in positions.items()))


def _applied(model: nn.Module, example: Example) -> tuple[Counter[str], Counter[str]]:
    """At how many positions each weight is applied in one forward pass, by its name.

    Also the multiply-accumulates of weights that are computed from other parameters (torch's parametrizations), by the
    layer's name: these weights have no name, and nothing cuts them.
    """
    layers: dict[nn.Module, str] = {
        module: name for name, module in model.named_modules() if isinstance(module, _ConvNd | nn.Linear)
    }
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    positions: Counter[str] = Counter()
    computed: Counter[str] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        applied = inputs[0] if isinstance(module, _ConvTransposeNd) else output
        weight = module.weight
        assert isinstance(weight, Tensor)
        times = applied.numel() // weight.shape[0]
        if id(weight) in names:
            positions[names[id(weight)]] += times
        else:
            computed[layers[module]] += weight.numel() * times

    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return positions, computed
