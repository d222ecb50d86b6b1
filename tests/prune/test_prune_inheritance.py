"""A candidate that begins with a larger one's weights: which one, and that each weight lands where it was cut from."""

from __future__ import annotations

import pytest
import torch
from networks import built
from torch import nn

from joulefront.errors import StoreError
from joulefront.prune.blocks import find_blocks
from joulefront.prune.criteria import L2
from joulefront.prune.evidence import Evidence
from joulefront.prune.groups import find_groups
from joulefront.prune.inheritance import learnt, nearest
from joulefront.prune.surgery import cut
from joulefront.space_records import Pruning


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every number one more than it was."""
    return {name: tensor + 1 for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", ["tiny", "depthwise", "blocks", "encoder", "lstm"])
def test_every_weight_is_the_parents(name: str) -> None:
    """Cut out of what the parent has learnt, the child has what it would have had, each number one more."""
    model, example = built(name)
    groups = find_groups(model, example)
    evidence, criterion = Evidence(model, None, example, groups), L2()
    widths = {group.name: group.channels for group in groups.groups}
    half, quarter = (
        {group.name: max(group.block, group.channels // part // group.block * group.block) for group in groups.groups}
        for part in (2, 4)
    )
    dropped = find_blocks(model, example, groups)[:2]
    parent = Pruning({**widths, **dict(list(half.items())[1:])}, dropped[:1])
    child = Pruning({**half, **dict(list(quarter.items())[1:])}, dropped)
    weights = trained(cut(model, example, parent, criterion, groups=groups, evidence=evidence))
    grown = learnt(model, parent, weights, criterion, groups=groups, evidence=evidence)

    heir = cut(grown, example, child, criterion, groups=groups, evidence=evidence).state_dict()
    fresh = cut(model, example, child, criterion, groups=groups, evidence=evidence).state_dict()
    assert sum(tensor.numel() for tensor in heir.values()) < sum(tensor.numel() for tensor in weights.values())
    assert set(heir) == set(fresh)
    for key, tensor in heir.items():
        assert torch.equal(tensor, fresh[key] + 1), key


def test_other_weights_are_refused() -> None:
    model, example = built("tiny")
    groups = find_groups(model, example)
    given = {"groups": groups, "evidence": Evidence(model, None, example, groups)}
    parent = Pruning({"conv1": 8})
    with pytest.raises(StoreError, match=r"'conv1\.weight' is \(16, 1, 3, 3\): these are the weights of another"):
        learnt(model, parent, model.state_dict(), L2(), **given)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="'odd' is no tensor of the model"):
        learnt(model, parent, {"odd": torch.ones(1)}, L2(), **given)  # type: ignore[arg-type]


def test_the_nearest_is_the_smallest_step_from_one_that_holds_the_child() -> None:
    """Of tiny: conv1 has 16 channels, conv2 32, dense1 64."""
    model, example = built("tiny")
    groups = find_groups(model, example)
    child = Pruning({"conv1": 8, "conv2": 16}, ("block",), {"dense2": 0.5}, "l2")
    others = [
        Pruning({"conv1": 16}, (), {}, "l2"),
        Pruning({"conv1": 4, "conv2": 16}, ("block",), {}, "l2"),  # narrower
        Pruning({"conv1": 8, "conv2": 16}, ("block",), {}, "l1"),  # of another criterion
        Pruning({"conv1": 8, "conv2": 16}, ("block", "other"), {}, "l2"),  # without a block that the child has
        Pruning({"conv1": 8, "conv2": 16}, ("block",), {"dense2": 0.8}, "l2"),  # with more zeros
        Pruning({"conv1": 8, "conv2": 16}, ("block",), {"dense1": 0.1}, "l2"),
        Pruning({"conv1": 12, "conv2": 16}, ("block",), {"dense2": 0.3}, "l2"),  # 1/4 and 0.2 away
        Pruning({"conv1": 8, "conv2": 24}, ("block",), {"dense2": 0.3}, "l2"),  # the same
        Pruning({"conv1": 8, "conv2": 16}, (), {"dense2": 0.5}, "l2"),  # a block away
    ]
    assert nearest(child, others, groups) == 6
    assert nearest(child, others[:1], groups) == 0
    assert nearest(child, others[1:6], groups) is None
    assert nearest(child, [*others, child], groups) == 9
