"""Which weights are zero, and that a channel that is masked is as good as cut out."""

from __future__ import annotations

import pytest
import torch
from networks import built
from torch import nn

from joulefront.errors import PruneError
from joulefront.prune.groups import find_groups
from joulefront.prune.masks import channel_masks, masks_of, weight_masks, zero
from joulefront.prune.surgery import shrink


def layer() -> nn.Linear:
    """Two rows of four weights, 1 to 8, one of which is zero."""
    linear = nn.Linear(4, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.arange(1.0, 9.0).reshape(2, 4))
        linear.weight[1, 2] = 0.0
        linear.bias.zero_()
    return linear


def test_the_lowest_scores_go_and_what_is_zero_goes_first() -> None:
    model = nn.Sequential(layer())
    scores = {"0": torch.tensor([5.0, 1.0, 5.0, 5.0, 5.0, 5.0, 9.0, 5.0])}
    masks = weight_masks(model, scores, {"0": 0.5})
    # The zero, the 1, and of the many 5s the last two.
    assert masks["0.weight"].int().tolist() == [[0, 1, 0, 0], [0, 1, 1, 1]]
    zero(model, masks)
    assert torch.equal(masks_of(model)["0.weight"], masks["0.weight"])
    assert set(masks_of(model)) == {"0.weight"}  # the bias is zero, and was never pruned


def test_masks_of_layers_are_of_these_alone_by_whatever_name() -> None:
    """What begins with zeros elsewhere is to be trained; weights that two layers share have both layers' names."""
    model = nn.Sequential(layer(), nn.ReLU(), layer())
    model[2].weight = model[0].weight
    assert set(masks_of(model)) == {"0.weight"}
    assert set(masks_of(model, ["2"])) == set(masks_of(model, ["2.weight"])) == {"2.weight"}
    assert masks_of(model, ["1"]) == masks_of(model, []) == {}


@pytest.mark.parametrize(("share", "zeros"), [(0.0, 0), (0.3, 2), (0.99, 7), (1.0, 7)])
def test_the_share_is_rounded_and_one_weight_stays(share: float, zeros: int) -> None:
    masks = weight_masks(nn.Sequential(nn.Linear(4, 2)), {"0.weight": torch.arange(8.0)}, {"0.weight": share})
    assert int(masks["0.weight"].sum()) == zeros
    assert masks["0.weight"].reshape(-1)[:zeros].all()


@pytest.mark.parametrize(
    ("scores", "shares", "said"),
    [
        ({}, {"1": 0.5}, "no weights named '1'"),
        ({"0": torch.ones(3)}, {"0": 0.5}, "'0' needs a score for each of its 8 weights"),
        ({}, {"0": 0.5}, "'0' needs a score for each of its 8 weights"),
        ({"0": torch.ones(8)}, {"0": 1.5}, "expected a share of zeros from 0 to 1, not 1.5"),
    ],
)
def test_what_cannot_be_masked(scores: dict[str, torch.Tensor], shares: dict[str, float], said: str) -> None:
    with pytest.raises(PruneError, match=said):
        weight_masks(nn.Sequential(layer()), scores, shares)


@pytest.mark.parametrize("name", ["tiny", "depthwise", "concat", "squeeze_excite", "gated", "attention"])
def test_a_masked_channel_can_be_cut_out_without_a_change(name: str) -> None:
    """Every other channel of every group goes, in runs as they hang together."""
    model, example = built(name)
    groups = find_groups(model, example)
    keep = {group.name: torch.arange(group.channels).reshape(-1, group.block)[::2].flatten() for group in groups.groups}
    assert keep
    zero(model, channel_masks(model, groups, keep))
    small = shrink(model, example, groups, keep)
    with torch.no_grad():
        torch.testing.assert_close(small(*example), model(*example), rtol=1e-5, atol=1e-5)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
