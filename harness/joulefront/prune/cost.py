"""What a network costs: its parameters and multiply-accumulates, counted, or predicted for any pruning."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from joulefront.prune.groups import Example, Groups, find_groups
from joulefront.prune.resize import FewerHeads
from joulefront.space_records import Pruning, inside


@dataclass(frozen=True, slots=True)
class Cost:
    """``params`` is the number of parameters (buffers not counted). ``macs`` is the number of multiply-accumulates of
    the weights of convolutions, linear and recurrent layers in one forward pass of the example, as the literature counts
    them: the products of queries, keys and values are not among them."""

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
                    left[axis.tensor][axis.dim] -= axis.size - axis.left(width)
        positions = {name: times for name, times in self._positions.items() if name in left}
        computed = sum(macs for name, macs in self._computed.items() if not inside(name, pruning.dropped))
        return _cost({name: tuple(shape) for name, shape in left.items()}, positions, computed)


def _cost(sizes: dict[str, tuple[int, ...]], positions: Mapping[str, Fraction], computed: int) -> Cost:
    elements = {name: math.prod(shape) for name, shape in sizes.items()}
    applied = sum((elements[name] * times for name, times in positions.items()), Fraction(0))
    return Cost(sum(elements.values()), computed + int(applied))


def _applied(model: nn.Module, example: Example) -> tuple[dict[str, Fraction], Counter[str]]:
    """At how many positions each weight is applied in one forward pass, by its name.

    Also the multiply-accumulates of weights that are computed from other parameters (torch's parametrizations), by the
    layer's name: these weights have no name, and nothing cuts them.
    """
    layers: dict[nn.Module, str] = {
        module: name for name, module in model.named_modules() if isinstance(module, _KINDS)
    }
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    positions: dict[str, Fraction] = defaultdict(Fraction)
    computed: Counter[str] = Counter()

    def note(module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        for weight, times in _weights(module, args, keywords, output):
            if id(weight) in names:
                positions[names[id(weight)]] += times
            else:
                computed[layers[module]] += int(weight.numel() * times)

    hooks = [layer.register_forward_hook(note, with_kwargs=True) for layer in layers]
    try:
        with torch.no_grad():
            model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return positions, computed


def _weights(
    module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any], output: Any
) -> Iterator[tuple[Tensor, Fraction]]:
    """The weights that one call of a module applies, and at how many positions each."""
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        times = Fraction(_input(args, keywords).numel(), module.input_size)
        yield from ((weight, times) for name, weight in module.named_parameters() if name.startswith("weight"))
    elif isinstance(module, nn.MultiheadAttention | FewerHeads):
        given = [*args, *(keywords[name] for name in ("query", "key", "value") if name in keywords)][:3]
        query, key, value = (Fraction(x.numel(), x.shape[-1]) for x in given)
        if module.in_proj_weight is not None:
            yield module.in_proj_weight, (query + key + value) / 3
        else:
            yield from zip(
                (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight), (query, key, value), strict=True
            )
        if isinstance(module, nn.MultiheadAttention):  # which does not call the layer
            yield module.out_proj.weight, query
    else:
        applied = _input(args, keywords) if isinstance(module, _ConvTransposeNd) else output
        assert isinstance(module.weight, Tensor)
        yield module.weight, Fraction(applied.numel(), len(module.weight))


def _input(args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return args[0] if args else keywords["input"]


_KINDS = (_ConvNd, nn.Linear, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, FewerHeads)
