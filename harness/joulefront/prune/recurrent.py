"""Recurrent layers: their hidden units as channels.

A unit's rows in the weights of all gates go together, and so do the columns that read it: those of the hidden state, of the
next stacked layer and of what follows. All layers and both directions of one nn.LSTM have the same hidden size, so unit i of
each of them goes together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from joulefront.errors import PruneError
from joulefront.prune.opaque import Call, Opaque, Slices, StandIn, columns

KINDS = (nn.RNNBase, nn.RNNCellBase)
"""What is recurrent: layers, and cells, which a model's own loop calls."""


def opaque(name: str, module: nn.Module, call: Call) -> Opaque | None:
    """The recurrent module ``module``, called so; None for any other module.

    Raises PruneError when it is given packed sequences.
    """
    if isinstance(module, nn.RNNCellBase):
        stand_in = _Cell(module)
        reason = f"{name!r} is a {type(module).__name__}, which cannot be cut: nn.{type(module).__name__[:-4]} can"
        return Opaque(name, stand_in, (), (), name, fixed=reason)
    if not isinstance(module, nn.RNNBase):
        return None
    if isinstance(call.args[0] if call.args else call.keywords["input"], PackedSequence):
        raise PruneError(f"{name!r} is given packed sequences, which cannot be exported: give it padded ones")
    fixed = f"{name!r} projects its hidden state (proj_size), which cannot be cut" if module.proj_size else ""
    reads = tuple(Slices(weight, 1, columns(module.input_size), False) for weight in _named(module, "weight_ih", 0))
    return Opaque(name, _Layer(module), reads, tuple(_units(module)), name, fixed=fixed)


def _named(module: nn.RNNBase, kind: str, layer: int) -> list[str]:
    """The names of the tensors of one ``kind`` in one stacked layer, of both directions."""
    return [f"{kind}_l{layer}{end}" for end in ("", "_reverse")[: 1 + module.bidirectional]]


def _units(module: nn.RNNBase) -> Iterator[Slices]:
    """What each hidden unit owns."""
    units = columns(module.hidden_size)
    rows = units + torch.arange(len(module.get_parameter("weight_hh_l0")) // module.hidden_size) * module.hidden_size
    both = units + torch.arange(1 + module.bidirectional) * module.hidden_size
    for layer in range(module.num_layers):
        for kind in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if module.bias else ())):
            for tensor in _named(module, kind, layer):
                yield Slices(tensor, 0, rows, True)
                if kind == "weight_hh":
                    yield Slices(tensor, 1, units, False)
                elif kind == "weight_ih" and layer:
                    yield Slices(tensor, 1, both, False)


class _Layer(StandIn):
    """What an nn.LSTM, nn.GRU or nn.RNN looks like: unit i of both directions is one channel."""

    def __init__(self, module: nn.RNNBase) -> None:
        super().__init__(module, module.input_size, module.proj_size or module.hidden_size)
        self._states = 2 if isinstance(module, nn.LSTM) else 1
        self._directions = 1 + module.bidirectional
        self._stacked = module.num_layers * self._directions
        self._batch_first = module.batch_first

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:  # noqa: A002 -- torch's name
        time = 1 if self._batch_first and input.dim() == 3 else 0
        y = self.line(input)
        for state in () if hx is None else hx if isinstance(hx, tuple) else (hx,):
            y = y + state.mean(0).unsqueeze(time)
        last = torch.stack([y.select(time, -1)] * self._stacked)
        return torch.cat([y] * self._directions, -1), (last, last) if self._states == 2 else last


class _Cell(StandIn):
    """What a cell looks like."""

    def __init__(self, module: nn.RNNCellBase) -> None:
        super().__init__(module, module.input_size, module.hidden_size)
        self._has_two_states = isinstance(module, nn.LSTMCell)

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002 -- torch's name
        y = self.line(input)
        for state in () if hx is None else hx if isinstance(hx, tuple) else (hx,):
            y = y + state
        return (y, y) if self._has_two_states else y
