"""Which residual blocks can be taken out, and what is left without them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import Net, Residual, built, conv, mean, prepared
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.errors import PruneError
from joulefront.prune.blocks import find_blocks
from joulefront.prune.criteria import L2
from joulefront.prune.groups import find_groups
from joulefront.prune.surgery import cut, drop
from joulefront.space_records import Pruning

BLOCKS = {
    "blocks": ("stage1.0", "stage1.1", "stage2.0"),
    "resnet20": ("stage1.0", "stage1.1", "stage1.2", "stage2.1", "stage2.2", "stage3.1", "stage3.2"),
    "vit": ("layers.0", "layers.1"),
    "encoder": ("layer",),
    "cnn": (),
    "squeeze_excite": (),
    "decoder": (),  # takes two tensors
    "lstm": (),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_what_is_the_identity_without_its_weights(name: str) -> None:
    net, example = built(name)
    assert find_blocks(net, example, find_groups(net, example)) == BLOCKS[name]


def test_a_dropped_block_is_passed_by() -> None:
    net, example = built("blocks")
    small = cut(net, example, Pruning(dropped=("stage1.0", "stage2.0")), L2())
    with torch.no_grad():
        x = net.stage1[1](F.relu(net.stem(*example)))
        expected = net.head(mean(F.relu(net.down(x))))
        torch.testing.assert_close(small(*example), expected, rtol=0, atol=0)
    assert isinstance(small.get_submodule("stage1.0"), nn.Identity)
    assert isinstance(net.get_submodule("stage1.0"), Residual)


def test_what_lay_in_a_dropped_block_is_decided_by_nobody() -> None:
    net, example = built("blocks")
    groups = find_groups(net, example)
    assert "stage1.0.conv1" in groups.by_name
    assert "stage1.0.conv1" not in groups.without(["stage1.0"]).by_name
    small = cut(net, example, Pruning({"stage1.0.conv1": 3, "stem": 4}, ("stage1.0",)), L2())
    assert small.get_submodule("stage1.1.conv1").in_channels == 4


def test_a_group_that_begins_in_a_dropped_block_keeps_its_name() -> None:
    net, example = prepared(
        lambda: Net(
            lambda n, x: n.head(mean(n.after(n.block(F.relu(n.stem(x)))))),
            stem=nn.Identity(),
            block=Residual(3, 4),
            after=conv(3, 8),
            head=nn.Linear(8, 5),
        )
    )
    groups = find_groups(net, example)
    assert find_blocks(net, example, groups) == ("block",)
    assert [group.name for group in groups.groups] == ["block.conv1", "block.conv2", "after"]
    assert [group.name for group in groups.without(["block"]).groups] == ["block.conv2", "after"]


def test_other_names_are_no_blocks_by_their_beginning() -> None:
    net, example = built("blocks")
    left = find_groups(net, example).without(["stage1.1", "st"])
    assert "stage1.0.conv1" in left.by_name
    assert "stem" in left.by_name


@pytest.mark.parametrize("kind", ["called twice", "with tied weights", "with a keyword"])
def test_a_module_that_is_used_otherwise_is_no_block(kind: str) -> None:
    def run(n: Any, x: Tensor) -> Any:
        y = F.relu(n.stem(x))
        y = n.block(n.block(y)) if kind == "called twice" else n.block(x=y) if "keyword" in kind else n.block(y)
        return n.head(mean(n.other(y)))

    def make() -> nn.Module:
        net = Net(run, stem=conv(3, 8), block=Residual(8, 8), other=conv(8, 8, 3, bias=False), head=nn.Linear(8, 5))
        if "tied" in kind:
            net.other.weight = net.block.conv2.weight
        return net

    net, example = prepared(make)
    assert find_blocks(net, example, find_groups(net, example)) == ()


def test_a_group_that_cannot_be_cut_hides_no_block() -> None:
    net, example = prepared(
        lambda: Net(
            lambda n, x: n.head(n.wide(n.block(F.relu(n.stem(x)))).view(-1, 8, 36).mean(2)),
            stem=conv(3, 4),
            block=Residual(4, 4),
            wide=conv(4, 8),
            head=nn.Linear(8, 5),
        )
    )
    groups = find_groups(net, example)
    with pytest.raises(PruneError, match="does not run"):
        cut(net, example, Pruning({"wide": 4}), L2())
    assert find_blocks(net, example, groups) == ("block",)


def test_dropping_leaves_the_given_model_as_it_is() -> None:
    net, _ = built("blocks")
    small = drop(net, ["stage2.0"])
    assert isinstance(small.get_submodule("stage2.0"), nn.Identity)
    assert isinstance(net.get_submodule("stage2.0"), Residual)
    with pytest.raises(PruneError, match=r"no block 'stage2\.1'; did you mean 'stage2\.0'"):
        drop(net, ["stage2.1"])
