"""Which widths a search may choose from, and what is said when there are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from networks import (
    Net,
    built,
    conv,
    data_dependent,
    fixed_view,
    flattened_concat,
    input_residual,
    mean,
    prepared,
    residual_of_concat,
)
from torch import nn
from torch.nn import functional as F

from joulefront.errors import ConfigError, PruneError
from joulefront.prune.criteria import L2
from joulefront.prune.groups import ChannelGroup, find_groups
from joulefront.prune.space import find_space, legal_widths
from joulefront.prune.surgery import cut
from joulefront.space_records import Gene


@pytest.mark.parametrize(
    ("channels", "block", "multiple", "floor", "expected"),
    [
        (64, 1, 16, 0.125, (16, 32, 48, 64)),
        (64, 1, 16, 0.5, (32, 48, 64)),
        (64, 1, 8, 0.3, (24, 32, 40, 48, 56, 64)),
        (20, 1, 8, 0.125, (8, 16, 20)),  # the full width is legal whatever it is
        (10, 1, 1, 0.3, (3, 4, 5, 6, 7, 8, 9, 10)),  # 0.3 of 10 is 3, not 3.0000000000000004
        (16, 1, 16, 0.1, (16,)),
        (6, 1, 8, 0.1, (6,)),
        (24, 6, 4, 0.1, (12, 24)),
        (24, 6, 1, 0.1, (6, 12, 18, 24)),
        (8, 1, 4, 1.0, (8,)),
    ],
)
def test_widths_are_multiples_from_the_floor_up_and_the_full_width(
    channels: int, block: int, multiple: int, floor: float, expected: tuple[int, ...]
) -> None:
    assert legal_widths(ChannelGroup("layer", channels, block, ()), multiple, floor) == expected


@pytest.mark.parametrize(
    ("channels", "multiple", "expected"),
    [
        (128, 16, tuple(range(16, 129, 16))),  # has eight as it is
        (64, 16, tuple(range(8, 65, 8))),
        (32, 16, tuple(range(4, 33, 4))),
        (16, 16, (4, 8, 12, 16)),  # no finer than 4
        (40, 10, (5, 10, 15, 20, 25, 30, 35, 40)),
        (20, 10, (5, 10, 15, 20)),  # an odd multiple is not halved
    ],
)
def test_a_narrow_layer_gets_finer_widths_but_not_below_four(
    channels: int, multiple: int, expected: tuple[int, ...]
) -> None:
    assert legal_widths(ChannelGroup("layer", channels, 1, ()), multiple, 0.1, least_widths=8) == expected


def test_a_layer_that_adds_to_others_has_one_gene_with_them() -> None:
    net, example = built("resnet20")
    groups = find_groups(net, example)
    stage = groups.by_name["conv"]
    assert {"conv.weight", "stage1.0.conv2.weight", "stage1.2.conv2.weight"} <= {
        axis.tensor for axis in stage.axes if axis.produces
    }
    assert groups.fixed == {"dense": "its channels are the network's output"}


def test_excluded_layers_keep_their_width_and_so_does_what_is_coupled_to_them() -> None:
    net, example = built("resnet20")
    names = [gene.name for gene in find_space(net, example, multiple=4, floor=0.25).genes]
    without = find_space(net, example, multiple=4, floor=0.25, exclude=["stage1.1.conv2", "stage2.0"])
    gone = ["conv", "stage2.0.conv1", "stage2.0.conv2"]
    assert [gene.name for gene in without.genes] == [name for name in names if name not in gone]


def test_a_gene_with_one_width_is_no_gene() -> None:
    net, example = built("tiny")
    space = find_space(net, example, multiple=16, floor=0.125)
    assert space.genes == (Gene("conv2", (16, 32)), Gene("dense1", (16, 32, 48, 64)))


def test_the_model_is_left_as_it_was() -> None:
    net, example = built("tiny")
    net.conv1.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    find_space(net, example, multiple=4, floor=0.125)
    assert not net.training
    assert [name for name, parameter in net.named_parameters() if not parameter.requires_grad] == ["conv1.weight"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("exclude", "message"),
    [("conv", "did you mean 'conv"), ("relu1", "has no weights"), ("xyz", "no layer 'xyz'; known: ")],
)
def test_an_excluded_name_that_means_nothing_is_an_error(exclude: str, message: str) -> None:
    net, example = built("tiny")
    with pytest.raises(ConfigError, match=message):
        find_space(net, example, multiple=4, floor=0.125, exclude=[exclude])


def linear() -> nn.Module:
    return Net(lambda n, x: n.head(mean(x)), head=nn.Linear(3, 5))


def only_softmax() -> nn.Module:
    return Net(lambda n, x: torch.softmax(x, 1))


def two_channels() -> nn.Module:
    return Net(lambda n, x: n.head(mean(n.stem(x))), stem=conv(3, 2), head=nn.Linear(2, 5))


def multiplied() -> nn.Module:
    return Net(
        lambda n, x: n.head(mean(n.depth(n.stem(x)))),
        stem=conv(3, 8),
        depth=conv(8, 16, 3, groups=8),
        head=nn.Linear(16, 5),
    )


def behind(norm: nn.Module) -> Callable[[], nn.Module]:
    """A network whose one layer that can be cut is followed by ``norm``."""
    return lambda: Net(
        lambda n, x: n.head(mean(F.relu(n.norm(n.stem(x))))), stem=conv(3, 8), norm=norm, head=nn.Linear(8, 5)
    )


def weight_norm() -> nn.Module:
    stem = nn.utils.parametrizations.weight_norm(conv(3, 8))
    return Net(lambda n, x: n.head(mean(n.stem(x))), stem=stem, head=nn.Linear(8, 5))


def class_number() -> nn.Module:
    return Net(lambda n, x: n.head(mean(n.stem(x))).argmax(1), stem=conv(3, 8), head=nn.Linear(8, 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (linear, "'head': its channels are the network's output"),
        (only_softmax, "it has no convolution or linear layer"),
        (two_channels, "widest layer, 'stem', has 2 channels"),
        (multiplied, "'stem': 'depth' is a grouped convolution with other channels out than in"),
        (input_residual, r"layer 'stem' cannot be cut: .* set exclude = \[\"stem\"\] in \[space\]"),
        (fixed_view, r'does not run: RuntimeError: shape .* set exclude = \["stem"\] in \[space\]'),
        (flattened_concat, "'left': torch-pruning finds more channels in 'after' than it has"),
        (behind(nn.GroupNorm(4, 8, affine=False)), "'stem': 'norm' has no weights to tell its width by"),
        (behind(nn.InstanceNorm2d(8)), "'stem': 'norm' has no weights to tell its width by"),
        (behind(nn.LayerNorm([8, 6, 6])), "'stem': 'norm' normalises over several dimensions"),
        (weight_norm, "'stem': 'stem.weight' is computed from other parameters"),
        (class_number, "torch-pruning cannot trace the network: TypeError: an output cannot be differentiated"),
        (data_dependent, "torch.export does not take the model: GuardOnDataDependentSymNode"),
    ],
)
def test_what_cannot_be_cut_is_said_in_one_line_and_nothing_else_is(
    make: Callable[[], nn.Module], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    net, example = prepared(make)
    with pytest.raises(PruneError, match=message) as raised:
        find_space(net, example, multiple=1 if make is input_residual else 4, floor=0.125)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(8, affine=False), nn.BatchNorm2d(8, affine=False, track_running_stats=False), nn.GroupNorm(1, 8)],
)
def test_a_norm_is_cut_with_what_it_norms(norm: nn.Module) -> None:
    net, example = prepared(behind(norm))
    space = find_space(net, example, multiple=4, floor=0.125)
    assert space.genes == (Gene("stem", (4, 8)),)
    cut(net, example, space.pruning((0,)), L2())


def test_excluding_what_cannot_be_cut_leaves_the_rest() -> None:
    net, example = prepared(fixed_view)
    space = find_space(net, example, multiple=4, floor=0.125, exclude=["stem"])
    assert space.genes == (Gene("hidden", (4, 8)),)


def test_channels_that_only_partly_reach_a_layer_are_left_alone() -> None:
    def reversed_sum() -> nn.Module:
        net = residual_of_concat()
        net.run = lambda n, x: n.head(mean(n.after(n.across(x) + torch.cat([n.left(x), n.right(x)], 1))))
        return net

    net, example = prepared(reversed_sum)
    assert "only some of its channels reach 'left'" in find_groups(net, example).fixed["across"]
    assert [gene.name for gene in find_space(net, example, multiple=4, floor=0.125).genes] == ["after"]
