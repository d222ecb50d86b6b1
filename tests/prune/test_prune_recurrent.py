"""Recurrent layers and attentions that cannot be cut, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from networks import SEQUENCE, Net, built, prepared
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from joulefront.errors import PruneError
from joulefront.prune.cost import count
from joulefront.prune.criteria import L2
from joulefront.prune.groups import find_groups
from joulefront.prune.resize import FewerHeads
from joulefront.prune.surgery import cut
from joulefront.space_records import Pruning


def in_a_loop(n: Any, x: Tensor) -> Any:
    h = n.start(x[:, 0])
    for step in range(x.shape[1]):
        h = n.cell(x[:, step], h)
    return n.head(h)


CUT_NOT: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "projected": (
        lambda: Net(
            lambda n, x: n.head(n.lstm(x)[0][:, -1]),
            lstm=nn.LSTM(3, 8, proj_size=4, batch_first=True),
            head=nn.Linear(4, 5),
        ),
        "lstm",
        "'lstm' projects its hidden state",
    ),
    "cell": (
        lambda: Net(in_a_loop, start=nn.Linear(3, 8), cell=nn.GRUCell(3, 8), head=nn.Linear(8, 5)),
        "start",
        "'cell' is a GRUCell, which cannot be cut: nn.GRU can",
    ),
    "last": (
        lambda: Net(lambda n, x: n.lstm(x)[0], lstm=nn.LSTM(3, 8, batch_first=True)),
        "lstm",
        "its channels are the network's output",
    ),
    "one head": (
        lambda: Net(
            lambda n, x: n.head(n.attend(x, x, x)[0][:, 0]),
            attend=nn.MultiheadAttention(3, 1, batch_first=True),
            head=nn.Linear(3, 5),
        ),
        "attend",
        "it has a single head",
    ),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's, of how it computes them
@pytest.mark.parametrize("name", CUT_NOT)
def test_what_cannot_be_cut_is_left_alone_for_a_reason(name: str) -> None:
    make, layer, reason = CUT_NOT[name]
    net, example = prepared(make, SEQUENCE)
    groups = find_groups(net, example)
    assert reason in groups.fixed[layer]
    assert layer not in groups.by_name


def test_packed_sequences_are_refused() -> None:
    def run(n: Any, x: Tensor) -> Any:
        return n.head(n.lstm(pack_padded_sequence(x, [6] * len(x), batch_first=True))[1][0][-1])

    net, example = prepared(lambda: Net(run, lstm=nn.LSTM(3, 8, batch_first=True), head=nn.Linear(8, 5)), SEQUENCE)
    with pytest.raises(PruneError, match="'lstm' is given packed sequences, which cannot be exported"):
        find_groups(net, example)


def test_a_recurrent_layer_says_its_own_size() -> None:
    net, example = built("lstm")
    small = cut(net, example, Pruning({"stem": 4, "lstm": 2}), L2())
    assert repr(small.get_submodule("lstm")) == "LSTM(4, 2, num_layers=2, batch_first=True, bidirectional=True)"


def test_fewer_heads_can_be_cut_again() -> None:
    net, example = built("encoder")
    small = cut(net, example, Pruning({"layer.self_attn": 8, "stem": 6}), L2())
    attention = small.get_submodule("layer.self_attn")
    assert isinstance(attention, FewerHeads)
    assert (attention.num_heads, attention.embed_dim) == (2, 6)
    smaller = cut(small, example, Pruning({"layer.self_attn": 4, "stem": 5}), L2()).get_submodule("layer.self_attn")
    assert isinstance(smaller, FewerHeads)
    assert (smaller.num_heads, smaller.embed_dim) == (1, 5)


def test_a_layer_that_is_called_by_keyword_is_the_same() -> None:
    """Of an LSTM of 3 inputs and 8 units, and the dense layer behind it: 4 * 8 * (3 + 8) weights at 6 steps, and 8 * 5."""
    layers = {"lstm": nn.LSTM(3, 8, batch_first=True), "head": nn.Linear(8, 5)}
    net, example = prepared(lambda: Net(lambda n, x: n.head(n.lstm(input=x)[0][:, -1]), **layers), SEQUENCE)
    assert [(group.name, group.channels) for group in find_groups(net, example).groups] == [("lstm", 8)]
    steps = example[0].shape[:2].numel()
    assert count(net, example).macs == 4 * 8 * (3 + 8) * steps + 8 * 5 * len(example[0])
    assert count(cut(net, example, Pruning({"lstm": 2}), L2()), example).macs == 4 * 2 * 5 * steps + 2 * 5 * len(
        example[0]
    )
