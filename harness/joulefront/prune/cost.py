"""What a network costs: its parameters and multiply-accumulates, counted, or predicted for any genome."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from joulefront.prune.groups import Example, find_groups
from joulefront.records import Genome, Space


@dataclass(frozen=True, slots=True)
class Cost:
    """``params`` is the number of parameters (buffers not counted). ``macs`` is the number of multiply-accumulates of
    the convolutions and linear layers in one forward pass of the example, as the literature counts them."""

    params: int
    macs: int


def count(model: nn.Module, example: Example) -> Cost:
    """The cost of ``model`` as it is."""
    sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    return _cost(sizes, *_applied(model, example))


class Predictor:
    """The cost of any genome, without surgery.

    Every axis of a parameter is as long as it was, less k for each channel that a gene removes, where k is how many of
    its indices one channel owns. A layer's multiply-accumulates are its weight's elements times the positions that the
    weight is applied at, which no width changes.
    """

    def __init__(self, model: nn.Module, example: Example, space: Space) -> None:
        self._space = space
        self._sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        self._positions, self._computed = _applied(model, example)
        groups = find_groups(model, example).by_name
        self._axes = [
            (index, axis.tensor, axis.dim, axis.owned.shape[1])
            for index, gene in enumerate(space.genes)
            for axis in groups[gene.name].axes
            if axis.tensor in self._sizes
        ]

    def __call__(self, genome: Genome) -> Cost:
        sizes = {name: list(shape) for name, shape in self._sizes.items()}
        removed = [gene.widths[-1] - gene.widths[index] for gene, index in zip(self._space.genes, genome, strict=True)]
        for gene, tensor, dim, owned in self._axes:
            sizes[tensor][dim] -= owned * removed[gene]
        return _cost({name: tuple(shape) for name, shape in sizes.items()}, self._positions, self._computed)


def _cost(sizes: dict[str, tuple[int, ...]], positions: Counter[str], computed: int) -> Cost:
    elements = {name: math.prod(shape) for name, shape in sizes.items()}
    return Cost(sum(elements.values()), computed + sum(elements[name] * times for name, times in positions.items()))


def _applied(model: nn.Module, example: Example) -> tuple[Counter[str], int]:
    """At how many positions each weight is applied in one forward pass, by its name.

    Also the multiply-accumulates of weights that are computed from other parameters (torch's parametrizations): these
    have no name, and no genome cuts them.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    positions: Counter[str] = Counter()
    computed = 0

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal computed
        applied = inputs[0] if isinstance(module, _ConvTransposeNd) else output
        weight = module.weight
        assert isinstance(weight, Tensor)
        times = applied.numel() // weight.shape[0]
        if id(weight) in names:
            positions[names[id(weight)]] += times
        else:
            computed += weight.numel() * times

    layers = [module for module in model.modules() if isinstance(module, _ConvNd | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return positions, computed
