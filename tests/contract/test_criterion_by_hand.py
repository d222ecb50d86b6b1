"""What each of the ready-made criteria computes, worked by hand from its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torch_pruning.pruner import importance

from joulefront.errors import ConfigError
from joulefront.protocols import Criterion
from joulefront.prune.coupled import coupled
from joulefront.prune.criteria import (
    L1,
    L2,
    AbsoluteThreshold,
    Activation,
    ActivationStd,
    Apoz,
    BnScale,
    Contribution,
    Fpgm,
    Gradient,
    GroupL2,
    Hessian,
    Lamp,
    Random,
    RelativeThreshold,
    StandardScore,
    Taylor,
    Transfer,
)
from joulefront.prune.evidence import Evidence, score
from joulefront.tasks.task import Task


@dataclass(frozen=True)
class Channels:
    """A protocols.Group made by hand."""

    name: str
    channels: int
    weights: Sequence[Tensor] = ()
    consumers: Sequence[Tensor] = ()
    scales: Sequence[Tensor] = ()
    gradients: Sequence[Tensor] = ()
    curvatures: Sequence[Tensor] = ()
    carried: Sequence[Tensor] = ()
    outputs: Any = None
    losses_without: Tensor = field(default_factory=lambda: torch.empty(0))
    single: bool = False

    def coupled(self, grad: Literal["gradients", "curvatures"] | None = None) -> Any:
        rows = {"writers": self.weights, "readers": self.consumers, "scales": self.scales}
        return coupled(rows, None if grad is None else {"writers": getattr(self, grad)})


def rows(*values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


# Worked by hand: by the weights.

TWO_LAYERS = Channels("layer", 2, [rows([3, -4], [0, 0]), rows([12], [2])])


def test_l1_and_l2_are_norms_over_all_that_produces_the_channel() -> None:
    """Li 2017, section 3.1: the norm of a filter; here 3-4-12 and 0-0-2."""
    assert L1()(TWO_LAYERS).tolist() == [19.0, 2.0]
    assert L2()(TWO_LAYERS).tolist() == [13.0, 2.0]


def test_lamp_is_a_share_of_the_squares_that_are_as_large() -> None:
    """Lee 2021, section 2: 1, 9 and 4 as shares of 14, 9 and 13."""
    weights = Channels("layer", 3, [rows([1], [-3], [2])], single=True)
    torch.testing.assert_close(Lamp()(weights), torch.tensor([1 / 14, 1.0, 4 / 13]))
    torch.testing.assert_close(Lamp()(weights), importance.LAMPImportance()(weights.coupled()))
    assert Lamp()(Channels("layer", 3, [rows([0], [0], [2])])).tolist() == [0.0, 0.0, 1.0]


def test_thresholds_are_in_the_size_of_a_weight() -> None:
    """Means 2 and 0.25 of one layer, 2 and 4 of another: as shares 1 and 1/8, 1/2 and 1."""
    given = Channels("layer", 2, [rows([1, -3], [0.5, 0]), rows([2], [4])])
    assert AbsoluteThreshold()(given).tolist() == [2.0, 1.5]
    assert RelativeThreshold()(given).tolist() == [0.75, 0.5625]
    single = Channels("layer", 4, [rows([0.2], [-0.5], [2.0], [-1.0])], single=True)
    assert RelativeThreshold()(single).tolist() == pytest.approx([0.1, 0.25, 1.0, 0.5])
    assert RelativeThreshold()(Channels("layer", 2, [torch.zeros(2, 3)])).tolist() == [0.0, 0.0]


def test_fpgm_is_the_distance_to_all_other_filters() -> None:
    """He 2019, section 3: the middle one of three in a row can be replaced; a filter and its negative are far apart."""
    assert Fpgm()(Channels("layer", 3, [rows([0, 0], [3, 4], [6, 8])])).tolist() == [15.0, 10.0, 15.0]
    opposite = Channels("layer", 2, [rows([3], [-3]), rows([4], [-4])])
    assert Fpgm()(opposite).tolist() == [10.0, 10.0]
    assert not importance.FPGMImportance(normalizer=None)(opposite.coupled()).any()


def test_the_standard_score_of_weights_and_connections() -> None:
    """1, 1, 1 and 5: the mean is 2 and the standard deviation the root of 3."""
    values = rows([1, 1], [1, 5])
    expected = pytest.approx([1 / sqrt(3), 2 / sqrt(3)])
    assert StandardScore()(Channels("layer", 2, [values])).tolist() == expected
    assert StandardScore("connections")(Channels("layer", 2, [rows([0], [9])], [values])).tolist() == expected
    assert StandardScore()(Channels("layer", 2, [torch.ones(2, 2)])).tolist() == [0.0, 0.0]
    with pytest.raises(ConfigError, match='take of = "weights"'):
        StandardScore("connections")(Channels("layer", 2, [values]))


def test_random_depends_on_the_seed_and_on_the_group() -> None:
    given = Channels("layer", 12)
    assert not torch.equal(Random(0)(given), Random(1)(given))
    assert not torch.equal(Random(0)(given), Random(0)(replace(given, name="other")))


# Worked by hand: by data, on a network of one convolution and one linear layer.
#
# Two images of two pixels, (1, -2) and (3, 0). Channel 0 is their positive part: (1, 0) and (3, 0); channel 1 their
# negative one: (0, 2) and (0, 0). The linear layer weighs those four by (0.5, 7, -3, 2), so that its outputs are 4.5 and
# 1.5. The loss is the negative mean output, -3.


@pytest.fixture(scope="module")
def by_hand() -> Evidence:
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1, bias=False))
    net[0].weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    net[3].weight.data = rows([0.5, 7, -3, 2])
    images = torch.tensor([[1.0, -2.0], [3.0, 0.0]]).reshape(2, 1, 1, 2)

    class Negative(Task):
        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return -outputs.mean()

    task = Negative(net, (images[:1],), TensorDataset(images, torch.zeros(2)))
    return Evidence(net, task, task.example)


def scores_of(evidence: Evidence, criterion: Criterion) -> Any:
    return pytest.approx(score(evidence.group("0"), criterion).tolist(), rel=1e-6)


def test_activations_are_those_behind_the_relu(by_hand: Evidence) -> None:
    """Channel 0 gives 1, 0, 3, 0, channel 1 gives 0, 2, 0, 0. Hu 2016, section 3: zeros of 1/2 and 3/4."""
    assert scores_of(by_hand, Activation()) == [1.0, 0.5]
    assert scores_of(by_hand, Apoz()) == [0.5, 0.25]
    assert scores_of(by_hand, ActivationStd()) == [sqrt(10 / 4 - 1), sqrt(4 / 4 - 0.25)]
    assert scores_of(by_hand, StandardScore("outputs")) == [1.0, 1.0]


def test_transfer_is_what_the_connections_carry(by_hand: Evidence) -> None:
    """The linear layer is given 2, 0, 0 and 1 on average, and weighs it; the convolution is given 1.5."""
    assert scores_of(by_hand, Transfer()) == [0.5 * 2, 2 * 1]
    assert score(by_hand.layer("3"), Transfer()).tolist() == [1.0, 0.0, 0.0, 2.0]
    assert score(by_hand.layer("0"), Transfer()).tolist() == [1.5, 1.5]


def test_contribution_is_what_the_loss_grows_by(by_hand: Evidence) -> None:
    """Without channel 0 the outputs are 4 and 0, without channel 1 they are 0.5 and 1.5."""
    assert scores_of(by_hand, Contribution()) == [-2.0 + 3.0, -1.0 + 3.0]


def test_gradients(by_hand: Evidence) -> None:
    """∂output/∂w of channel 0 is 0.5 and 1.5 by example, of channel 1 it is -4 and 0.

    Molchanov 2017, section 2.2: w · ∂L/∂w; for a unit that the loss is linear in, that is its contribution.
    LeCun 1990, section 2: h w²/2, with the mean squares 1.25 and 8 of the gradients as h.
    """
    assert scores_of(by_hand, Gradient()) == [1.0, 2.0]
    assert scores_of(by_hand, Taylor()) == [1.0, 2.0]
    assert scores_of(by_hand, Hessian()) == [1.25 / 2, 8 / 2]
    assert score(by_hand.layer("3"), Gradient()).tolist() == [2.0, 0.0, 0.0, 1.0]
    assert score(by_hand.layer("3"), Taylor()).tolist() == [1.0, 0.0, 0.0, 2.0]
    assert score(by_hand.layer("3"), Hessian()).tolist() == [5 * 0.25 / 2, 0.0, 0.0, 2 * 4 / 2]


def test_taylor_takes_the_weights_of_a_unit_together() -> None:
    """Molchanov 2019, section 3: the sum over the unit's weights comes before its absolute value."""
    given = Channels("layer", 2, [rows([1, 2], [3, 4])], gradients=[rows([1, -0.5], [2, -1])])
    assert Taylor()(given).tolist() == [0.0, 2.0]


def test_torch_prunings_formulas() -> None:
    """GroupMagnitudeImportance: the mean over layers of Σ w², (25 + 1)/2 and (1 + 4)/2, divided by their mean."""
    given = Channels("layer", 2, [rows([3, 4], [0, 1])], [rows([1], [2])])
    assert GroupL2()(given).tolist() == pytest.approx([13 / 7.75, 2.5 / 7.75])
    scaled = Channels("layer", 2, scales=[rows([2, 4], [-1, 1])])
    assert BnScale()(scaled).tolist() == pytest.approx([3 / 2, 1 / 2])
