"""Any genome of any network gives a legal network: the property on which a search stands."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import NETWORKS, Net, built, conv, mean, prepared
from torch import Tensor, nn

from joulefront.prune.blocks import find_blocks
from joulefront.prune.cost import Cost, Predictor, count
from joulefront.prune.criteria import L2, Random
from joulefront.prune.groups import Groups, find_groups, shapes
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut, shrink
from joulefront.prune.weights import load, save
from joulefront.space_records import Gene, Pruning

GENES = {
    "cnn": ["conv1", "conv2", "dense1"],
    "resnet20": ["conv", "stage1.0.conv1", "stage1.1.conv1", "stage1.2.conv1", "stage2.0.conv1", "stage2.0.conv2"],
    "depthwise": ["stem", "point"],
    "grouped": ["stem", "point"],
    "concat": ["left", "right", "after"],
    "squeeze_excite": ["stem", "squeeze"],
    "residual_of_concat": ["left", "right", "after"],
    "convnext": ["stem", "up"],
    "transposed": ["stem", "up"],
    "reused": ["stem"],
    "attention": ["stem", "attend", "up"],
    "gated": ["after"],
    "two_outputs": ["stem"],
    "blocks": ["stem", "stage1.0.conv1", "stage1.1.conv1", "down", "stage2.0.conv1"],
    "vit": ["stem", "layers.0.attend.qkv", "layers.0.up", "layers.1.attend.qkv", "layers.1.up"],
    "gains": ["first", "second"],
    "bert": ["stem", "attend.query", "up"],
    "encoder": ["stem", "layer.self_attn", "layer.linear1"],
    "decoder": ["left", "layer.self_attn", "layer.multihead_attn", "layer.linear1"],
    "lstm": ["stem", "lstm"],
    "gru": ["stem", "first"],
    "rnn": ["rnn"],
    "conv1d": ["first", "second"],
    "dense": ["first", "second"],
}
"""The groups that each network has, those of ResNet-20 up to its second stage."""


@lru_cache(maxsize=1)
def analysed(name: str) -> tuple[nn.Module, tuple[Tensor], Groups, tuple[str, ...], Predictor]:
    """One network and what is known of it, for the examples that hypothesis tries."""
    net, example = built(name)
    groups = find_groups(net, example)
    return net, example, groups, find_blocks(net, example, groups), Predictor(net, example, groups)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_pruning_gives_a_legal_network_of_the_predicted_cost_that_survives_a_file(
    name: str, tmp_path: Path
) -> None:
    net, example, groups, blocks, predict = analysed(name)
    with torch.no_grad():
        expected = net(*example)

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=5,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        widths = {g.name: g.block * data.draw(st.integers(1, g.channels // g.block)) for g in groups.groups}
        dropped = tuple(block for block in blocks if data.draw(st.booleans()))
        pruning = Pruning(widths, dropped)
        criterion = Random(data.draw(st.integers(0, 9))) if data.draw(st.booleans()) else L2()
        small = cut(net, example, pruning, criterion, groups=groups)
        with torch.no_grad():
            outputs = small(*example)
        assert shapes(outputs) == shapes(expected)
        assert count(small, example) == predict(pruning)
        layers = dict(small.named_modules())
        for group, width in widths.items():
            if isinstance(layers.get(group), nn.Conv2d | nn.Linear) and not group.endswith("qkv"):
                assert len(layers[group].get_parameter("weight")) == width
        path = tmp_path / "weights.safetensors"
        save(small, path)
        again = load(net, example, pruning, path, groups=groups)
        assert repr(again) == repr(small)
        with torch.no_grad():
            torch.testing.assert_close(again(*example), outputs, rtol=0, atol=0)

    check()


@pytest.mark.parametrize("name", GENES)
def test_the_groups_are_in_the_order_of_execution(name: str) -> None:
    found = [group.name for group in analysed(name)[2].groups]
    assert found[: len(GENES[name])] == GENES[name]
    assert name == "resnet20" or len(found) == len(GENES[name])


SILENT = [
    *("cnn", "cnn_bn", "resnet20", "depthwise", "grouped", "group_norm", "concat", "squeeze_excite", "blocks", "gains"),
    *("lstm", "gru", "rnn", "conv1d", "dense"),
]
"""Networks in which a channel of zero filters, scales and biases is silent: no LayerNorm, no softmax, no gate of its own."""


@pytest.mark.parametrize("name", SILENT)
def test_a_cut_network_computes_what_the_whole_one_does_with_the_channels_silenced(name: str) -> None:
    """The slices that go are those that read the channels that go: only then do both networks agree."""
    net, example, groups, *_ = analysed(name)
    keep = {}
    silenced = copy.deepcopy(net)
    state = silenced.state_dict()
    for group in groups.groups:
        blocks = torch.arange(group.channels).reshape(-1, group.block)
        keep[group.name] = blocks[::2].flatten()  # every other one, so that every slice has to move
        gone = blocks[1::2].flatten()
        for axis in group.axes:
            if axis.produces and not axis.tensor.endswith(("running_mean", "running_var")):
                state[axis.tensor].movedim(axis.dim, 0)[axis.owned[gone].flatten()] = 0
    small = shrink(net, example, groups, keep)
    with torch.no_grad():
        torch.testing.assert_close(small(*example), silenced(*example), rtol=1e-4, atol=1e-5)


HEADS = {
    "attention": {"attend": ("attend.out_proj.weight", 8)},
    "vit": {
        "layers.0.attend.qkv": ("layers.0.attend.proj.weight", 4),
        "layers.1.attend.qkv": ("layers.1.attend.proj.weight", 4),
    },
    "bert": {"attend.query": ("dense.weight", 4)},
    "encoder": {"layer.self_attn": ("layer.self_attn.out_proj.weight", 4)},
    "decoder": {
        "layer.self_attn": ("layer.self_attn.out_proj.weight", 4),
        "layer.multihead_attn": ("layer.multihead_attn.out_proj.weight", 4),
    },
}
"""The groups of heads: what reads them, and the channels of a head."""


@pytest.mark.parametrize("name", HEADS)
def test_heads_go_whole_and_leave_the_others_as_they_are(name: str) -> None:
    net, example, groups, *_ = analysed(name)
    keep = {}
    silenced = copy.deepcopy(net)
    for group, (reader, size) in HEADS[name].items():
        assert groups.by_name[group].block == size
        keep[group] = torch.arange(groups.by_name[group].channels)[size:]
        silenced.state_dict()[reader][:, :size] = 0
    small = shrink(net, example, groups, keep)
    with torch.no_grad():
        torch.testing.assert_close(small(*example), silenced(*example), rtol=1e-4, atol=1e-5)


def test_the_cost_is_what_the_literature_counts() -> None:
    net, example = built("cnn")
    macs = 26 * 26 * 32 * 9 + 24 * 24 * 64 * 32 * 9 + 9216 * 128 + 1280
    assert count(net, example) == Cost(1_199_882, macs)


def test_weights_that_are_computed_from_others_cost_what_they_are_applied_for() -> None:
    def plain() -> Net:
        return Net(lambda n, x: n.head(mean(n.up(n.stem(x)))), stem=conv(3, 8), up=conv(8, 16), head=nn.Linear(16, 5))

    net, example = prepared(plain)
    expected = count(net, example)
    nn.utils.parametrizations.weight_norm(net.stem)
    # One length for each of the eight filters, beside the weight that is scaled to it.
    assert count(net, example) == Cost(expected.params + 8, expected.macs)
    space = find_space(net, example, multiple=4, floor=0.25, exclude=["stem"])
    assert space.genes == (Gene("up", (4, 8, 12, 16)),)
    small = cut(net, example, Pruning({"up": 8}), L2())
    assert count(small, example) == Predictor(net, example)(Pruning({"up": 8}))


def test_the_cost_of_attention_and_recurrence_is_that_of_their_weights() -> None:
    net, example = built("encoder")
    # Of 6 positions: the stem, queries, keys, values and what is behind them, and the two layers of the perceptron; the head.
    assert count(net, example).macs == 6 * (3 * 12 + 4 * 12 * 12 + 2 * 12 * 16) + 12 * 5
    net, example = built("rnn")
    assert count(net, example).macs == 6 * (3 * 8 + 3 * 8 * 8) + 8 * 5
