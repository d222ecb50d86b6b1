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

from joulefront.prune.cost import Cost, Predictor, count
from joulefront.prune.criteria import L2, Random
from joulefront.prune.groups import Groups, find_groups, shapes
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut, shrink
from joulefront.prune.weights import load, save
from joulefront.records import Gene, Space

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
    "attention": ["up"],
    "gated": ["after"],
    "two_outputs": ["stem"],
}
"""The genes that each network has, those of ResNet-20 up to its second stage."""


@lru_cache(maxsize=1)
def analysed(name: str) -> tuple[nn.Module, tuple[Tensor], Space, Groups, Predictor]:
    """One network and what is known of it, for the examples that hypothesis tries."""
    net, example = built(name)
    space = find_space(net, example, multiple=4, floor=0.125)
    return net, example, space, find_groups(net, example), Predictor(net, example, space)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_genome_gives_a_legal_network_of_the_predicted_cost_that_survives_a_file(name: str, tmp_path: Path) -> None:
    net, example, space, groups, predict = analysed(name)

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=5,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        genome = tuple(data.draw(st.integers(0, len(gene.options) - 1)) for gene in space.genes)
        criterion = Random(data.draw(st.integers(0, 9))) if data.draw(st.booleans()) else L2()
        small = cut(net, example, space, genome, criterion, groups=groups)
        with torch.no_grad():
            expected, outputs = net(*example), small(*example)
        assert shapes(outputs) == shapes(expected)
        assert count(small, example) == predict(genome)
        layers = dict(small.named_modules())
        for gene, width in space.pruning(genome).widths.items():
            weight = layers[gene].get_parameter("weight")
            assert weight.shape[int(isinstance(layers[gene], nn.ConvTranspose2d))] == width
        path = tmp_path / "weights.safetensors"
        save(small, path)
        again = load(net, example, space.pruning(genome), path, groups=groups)
        assert repr(again) == repr(small)
        with torch.no_grad():
            torch.testing.assert_close(again(*example), outputs, rtol=0, atol=0)

    check()


@pytest.mark.parametrize("name", GENES)
def test_the_genes_are_the_coupled_groups_in_the_order_of_execution(name: str) -> None:
    space = analysed(name)[2]
    assert [gene.name for gene in space.genes][: len(GENES[name])] == GENES[name]
    assert name == "resnet20" or len(space.genes) == len(GENES[name])


@pytest.mark.parametrize(
    "name", ["cnn", "cnn_bn", "resnet20", "depthwise", "grouped", "group_norm", "concat", "squeeze_excite"]
)
def test_a_cut_network_computes_what_the_whole_one_does_with_the_channels_silenced(name: str) -> None:
    """The slices that go are those that read the channels that go: only then do both networks agree."""
    net, example, space, groups, _ = analysed(name)
    keep = {}
    silenced = copy.deepcopy(net)
    state = silenced.state_dict()
    for gene in space.genes:
        group = groups.by_name[gene.name]
        blocks = torch.arange(group.channels).reshape(-1, group.block)
        keep[gene.name] = blocks[::2].flatten()  # every other one, so that every slice has to move
        gone = blocks[1::2].flatten()
        for axis in group.axes:
            if axis.produces and not axis.tensor.endswith(("running_mean", "running_var")):
                state[axis.tensor].movedim(axis.dim, 0)[axis.owned[gone].flatten()] = 0
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
    small = cut(net, example, space, (1,), L2())
    assert count(small, example) == Predictor(net, example, space)((1,))
