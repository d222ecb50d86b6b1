"""What a search may choose: which layers share a gene, and what a genome stands for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import resnet20_like
from torch import nn
from torch.nn.utils import parametrizations

from joulefront.errors import ConfigError, PruneError
from joulefront.prune.genes import criterion_genes, sparsity_genes, together, width_genes
from joulefront.prune.space import find_space
from joulefront.space_records import Gene, Pruning, Space

STAGES = [
    f"layer{stage}.{block}.{part}" for stage in (1, 2) for block in (0, 1, 2) for part in ("conv1", "norm.0.conv")
]


def test_few_layers_have_a_gene_each() -> None:
    assert together(["stem", "layer1.0.conv1"], "auto", 2) == {"stem": ["stem"], "layer1.0.conv1": ["layer1.0.conv1"]}


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (12, 12),  # as many as there are
        (11, 8),  # the last number of each name starred: conv1 of a stage share one, norm.*.conv do not
        (4, 4),  # all numbers starred, which leaves the stages apart
        (3, 2),  # all of a part of the network
        (1, 1),
    ],
)
def test_layers_of_one_role_share_a_gene_until_there_are_few_enough(most: int, expected: int) -> None:
    found = together(STAGES, "auto", most)
    assert len(found) == expected
    assert sorted(name for names in found.values() for name in names) == sorted(STAGES)


def test_the_shared_gene_is_named_after_what_its_layers_have_in_common() -> None:
    assert together(STAGES, "auto", 4)["layer2.*.norm.*.conv"] == [f"layer2.{block}.norm.0.conv" for block in (0, 1, 2)]
    assert list(together(STAGES, "auto", 1)) == ["all layers"]
    assert len(together(STAGES, "none", 1)) == 12


def test_prefixes_join_what_lies_below_them_and_nothing_else() -> None:
    found = together([*STAGES, "layer10.conv"], ("layer1",), 40)
    assert len(found["layer1"]) == 6
    assert len(found) == 8
    assert len(together(STAGES, ("layer1", "layer1.0"), 40)["layer1.0"]) == 2  # the narrower of two has its own
    with pytest.raises(ConfigError, match=r"space.shared: no layer that can be cut lies below 'layer3'; did you mean"):
        together(STAGES, ("layer3",), 40)


def test_each_member_of_a_shared_gene_takes_its_nearest_legal_width() -> None:
    (gene,) = width_genes({"s.0": (4, 8, 12, 16), "s.1": (16, 32)}, ("s",))
    assert gene == Gene("s", (0.25, 0.5, 0.75, 1.0), "width", (("s.0", (4, 8, 12, 16)), ("s.1", (16, 16, 16, 32))))
    assert Space((gene,)).pruning((1,)).widths == {"s.0": 8, "s.1": 16}
    assert gene.kept(1) == 0.5


def test_zeros_come_last_to_none_and_share_genes_where_there_is_little_room() -> None:
    genes = sparsity_genes(["a.0", "a.1", "b"], [0.5, 0.9], "auto", 2)
    assert [gene.name for gene in genes] == ["zeros of a.*", "zeros of b"]
    assert genes[0].options == (0.9, 0.5, 0.0)
    assert [genes[0].kept(index) for index in range(3)] == pytest.approx([0.1, 0.5, 1.0])
    assert Space(tuple(genes)).pruning((0, 2)).sparsity == {"a.0": 0.9, "a.1": 0.9, "b": 0.0}
    assert len(sparsity_genes(["a.0", "a.1", "b"], [0.5], "auto", -3)) == 1


def test_the_own_criterion_is_the_unpruned_choice_and_is_no_choice_alone() -> None:
    (gene,) = criterion_genes(["l2", "taylor", "taylor"], "l2")
    assert gene.options == ("taylor", "l2")
    assert criterion_genes(["l2"], "l2") == []
    assert gene.kept(0) == 1.0


def test_a_genome_is_resolved_into_all_that_it_decides() -> None:
    space = Space(
        (
            Gene("conv1", (4, 8)),
            Gene("layer1.1", (0, 1), "block"),
            Gene("zeros of all layers", (0.5, 0.0), "sparsity", (("conv1", (0.5, 0.0)), ("fc", (0.5, 0.0)))),
            Gene("criterion", ("taylor", "l2"), "criterion"),
        )
    )
    assert space.pruning((0, 0, 0, 0)) == Pruning({"conv1": 4}, ("layer1.1",), {"conv1": 0.5, "fc": 0.5}, "taylor")
    assert space.pruning((0, 0, 0, 0)).text == "conv1=4 without layer1.1 50% zeros of conv1 50% zeros of fc taylor"
    assert space.pruning(space.full) == Pruning({"conv1": 8}, (), {"conv1": 0.0, "fc": 0.0}, "l2")
    assert space.uniform(0.5) == (0, 1, 1, 1)
    assert space.size == 16


def test_a_space_holds_what_the_study_asks_for() -> None:
    model, example = resnet20_like(), (torch.zeros(1, 1, 8, 8),)
    space = find_space(
        model, example, multiple=4, floor=0.25, floors={"stage2": 0.5}, exclude=["conv"], blocks=True, sparsity=[0.5],
        criteria=["random"],
    )  # fmt: skip
    kinds = [gene.kind for gene in space.genes]
    assert kinds == sorted(kinds, key=["width", "block", "sparsity", "criterion"].index)
    widths = {gene.name: gene.options for gene in space.genes if gene.kind == "width"}
    assert widths == {"stage1.0.conv1": (4, 8), "stage1.1.conv1": (4, 8), "stage2.0.conv1": (8, 12, 16),
                      "stage2.0.conv2": (8, 12, 16), "stage2.1.conv1": (8, 12, 16)}  # fmt: skip
    assert [gene.name for gene in space.genes if gene.kind == "block"] == ["stage1.0", "stage1.1", "stage2.1"]
    zeros = {layer for gene in space.genes if gene.kind == "sparsity" for layer, _ in gene.members}
    assert "conv" not in zeros
    assert {"stage1.0.conv1", "dense"} <= zeros


def test_weights_that_are_computed_have_no_share_of_zeros() -> None:
    def net(*layers: nn.Module) -> nn.Sequential:
        return nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 16)), *layers)

    asked: Any = {"example": (torch.zeros(1, 8),), "multiple": 4, "floor": 0.25, "sparsity": [0.5]}
    space = find_space(net(nn.Linear(16, 16), nn.Linear(16, 4)), **asked)
    assert [gene.name for gene in space.genes] == ["1", "zeros of 1", "zeros of 2"]
    with pytest.raises(ConfigError, match=r"space.sparsity: there is no .* layer"):
        find_space(net(), **asked)


def test_blocks_and_zeros_take_room_from_the_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joulefront.prune.space.MOST_GENES", 8)
    model, example = resnet20_like(), (torch.zeros(1, 1, 8, 8),)
    space = find_space(model, example, multiple=4, floor=0.25, blocks=True, sparsity=[0.5], criteria=["random"])
    kinds = [gene.kind for gene in space.genes]
    assert len(kinds) <= 8
    assert (kinds.count("block"), kinds.count("sparsity"), kinds.count("criterion")) == (3, 1, 1)


def test_a_space_may_be_of_blocks_alone() -> None:
    model, example = resnet20_like(), (torch.zeros(1, 1, 8, 8),)
    whole = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    space = find_space(model, example, multiple=64, floor=1.0, blocks=["stage1.1"])
    assert [gene.name for gene in space.genes] == ["stage1.1"]
    assert space.pruning((0,)).dropped == ("stage1.1",)
    assert whole
    with pytest.raises(PruneError, match="no layer has a second legal width"):
        find_space(model, example, multiple=64, floor=1.0)


def test_a_block_that_is_none_is_named_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"space.blocks: 'stage1.7' is no residual block .* did you mean 'stage1.[01]'"
    ):
        find_space(resnet20_like(), (torch.zeros(1, 1, 8, 8),), multiple=4, floor=0.25, blocks=["stage1.7"])


def test_a_floor_of_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"space.floors: the model has no layer 'stge1'; did you mean 'stage1'"):
        find_space(resnet20_like(), (torch.zeros(1, 1, 8, 8),), multiple=4, floor=0.25, floors={"stge1": 0.5})
