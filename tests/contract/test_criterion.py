"""What every Criterion keeps to, and what each of the ready-made ones computes, worked by hand."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from torch_pruning.pruner import importance

from joulefront.config import Plugin
from joulefront.errors import ConfigError, PruneError
from joulefront.plugins import build
from joulefront.protocols import Criterion, Group
from joulefront.prune import READY
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
    GroupHessian,
    GroupL2,
    GroupTaylor,
    Hessian,
    Lamp,
    Random,
    RelativeThreshold,
    StandardScore,
    Taylor,
    Transfer,
)
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.surgery import cut
from joulefront.records import Pruning
from joulefront.tasks.task import Task

TAKES_DATA = {
    *("gradient", "taylor", "hessian", "group-taylor", "group-hessian"),
    *("activation", "activation-std", "apoz", "transfer", "contribution"),
}
CHANNELS_ONLY = {"fpgm", "bn-scale", "activation", "activation-std", "apoz", "contribution"}
FREE_OF_SCALE = TAKES_DATA - {"gradient"} | {"random", "bn-scale", "lamp", "relative-threshold", "standard-score"}
"""Those whose scores are the same for a network that computes the same with other weights."""


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


def network(width: int = 6) -> nn.Sequential:
    """Two convolutions with BatchNorm, and a linear layer behind them: two groups of channels."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(2, width, 3, padding=1, bias=False), nn.BatchNorm2d(width, eps=1e-30), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, eps=1e-30), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(8 * 4, 3)),
    )
    with torch.no_grad():
        for norm in (net[1], net[5]):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
        net(torch.randn(16, 2, 4, 4))
    return net.eval()


def task_for(net: nn.Module) -> Task:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(24, 2, 4, 4, generator=generator), torch.randint(0, 3, (24,), generator=generator)
    return Task(net, (images[:1],), TensorDataset(images, labels))


def evidence_for(net: nn.Module) -> Evidence:
    task = task_for(net)
    return Evidence(net, task, task.example)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_for(network())


@pytest.fixture(params=READY)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def criterion(kind: str) -> Criterion:
    made: Criterion = build(Plugin(kind=kind), READY, folder=Path(), where="[criterion]")
    return made


@pytest.mark.parametrize(("name", "channels"), [("0", 6), ("4", 8)])
def test_one_finite_float_a_channel(criterion: Criterion, evidence: Evidence, name: str, channels: int) -> None:
    scores = criterion(evidence.group(name))
    assert scores.shape == (channels,)
    assert scores.dtype == torch.float32
    assert scores.device.type == "cpu"
    assert scores.isfinite().all()
    assert not scores.requires_grad
    assert len(scores.unique()) > 1


def test_the_same_model_has_the_same_scores(criterion: Criterion, evidence: Evidence) -> None:
    torch.manual_seed(123)
    assert torch.equal(criterion(evidence_for(network()).group("4")), criterion(evidence.group("4")))


def test_the_model_and_the_generators_are_left_alone(criterion: Criterion) -> None:
    net = network()
    net[0].weight.requires_grad_(False)
    net[4].weight.grad = torch.ones_like(net[4].weight)
    net[5].train()
    before = copy.deepcopy(net)
    evidence = evidence_for(net)
    net[5].train()  # the task sets its model to eval mode
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 -- the global state is what this is about
    torch.manual_seed(1)
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    for group in (evidence.group("4"), evidence.group("0")):
        criterion(group)
    assert states[:2] == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    assert torch.equal(states[2], torch.get_rng_state())
    assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(net[4].weight.grad, torch.ones_like(net[4].weight))
    assert [name for name, parameter in net.named_parameters() if parameter.grad is not None] == ["4.weight"]
    assert [p.requires_grad for p in net.parameters()] == [p.requires_grad for p in before.parameters()]
    assert [module.training for module in net.modules()] == [module.training for module in before.modules()]
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in net.modules())


def test_the_scale_of_the_weights(kind: str, criterion: Criterion, evidence: Evidence) -> None:
    """A convolution four times as large before a BatchNorm that undoes it: the network computes the very same."""
    net = network()
    with torch.no_grad():
        net[0].weight *= 4
        net[1].running_mean *= 4
        net[1].running_var *= 16
    before, after = criterion(evidence.group("0")), criterion(evidence_for(net).group("0"))
    if kind in FREE_OF_SCALE:
        torch.testing.assert_close(after, before, rtol=1e-5, atol=0)
    elif kind == "group-l2":  # weighs the convolution against the layer that reads it
        assert not torch.allclose(after, before)
    else:
        assert not torch.allclose(after, before)
        assert torch.equal(after.argsort(), before.argsort())


def test_one_unit(criterion: Criterion) -> None:
    scores = criterion(evidence_for(network(width=1)).group("0"))
    assert scores.shape == (1,)
    assert scores.isfinite().all()


@pytest.mark.parametrize("name", ["4", "8", "8.weight"])
def test_single_weights(kind: str, criterion: Criterion, evidence: Evidence, name: str) -> None:
    group = evidence.layer(name)
    if kind in CHANNELS_ONLY:
        with pytest.raises(ConfigError, match=rf"criterion '{kind}' cannot judge layer '{name}': .*take"):
            score(group, criterion)
        return
    scores = score(group, criterion)
    assert scores.shape == (group.channels,) == ({"4": 6 * 8 * 9}.get(name, 32 * 3),)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, score(evidence.layer(name), criterion))
    assert len(scores.unique()) > group.channels / 2


def test_without_data(kind: str, criterion: Criterion) -> None:
    net = network()
    evidence = Evidence(net, None, (torch.zeros(1, 2, 4, 4),))
    if kind in TAKES_DATA:
        with pytest.raises(ConfigError, match=f"criterion '{kind}' cannot judge layer '0': .*train split.*'l2'"):
            score(evidence.group("0"), criterion)
    else:
        assert torch.equal(score(evidence.group("0"), criterion), criterion(evidence_for(net).group("0")))


def test_a_threshold_has_a_cutoff() -> None:
    made = {kind: build(Plugin(kind=kind), READY, folder=Path(), where="[criterion]") for kind in READY}
    assert {kind for kind, criterion in made.items() if hasattr(criterion, "cutoff")} == {
        "absolute-threshold",
        "relative-threshold",
    }
    given = build(Plugin(kind="absolute-threshold", cutoff=0.5), READY, folder=Path(), where="[criterion]")  # type: ignore[call-arg]
    assert given.cutoff == 0.5


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


# torch-pruning's own.


def test_torch_prunings_formulas() -> None:
    """GroupMagnitudeImportance: the mean over layers of Σ w², (25 + 1)/2 and (1 + 4)/2, divided by their mean."""
    given = Channels("layer", 2, [rows([3, 4], [0, 1])], [rows([1], [2])])
    assert GroupL2()(given).tolist() == pytest.approx([13 / 7.75, 2.5 / 7.75])
    scaled = Channels("layer", 2, scales=[rows([2, 4], [-1, 1])])
    assert BnScale()(scaled).tolist() == pytest.approx([3 / 2, 1 / 2])


@pytest.mark.parametrize("name", ["0", "4"])
def test_they_judge_a_group_as_torch_pruning_does_itself(name: str, evidence: Evidence) -> None:
    net, group = network(), evidence.group(name)
    images, labels = task_for(net).train.tensors  # type: ignore[union-attr]
    graph = torch_pruning.DependencyGraph().build_dependency(net, images[:1])
    layer = net.get_submodule(name)
    theirs = graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, list(range(group.channels)))
    F.cross_entropy(net(images), labels).backward()
    torch.testing.assert_close(GroupL2()(group), importance.GroupMagnitudeImportance()(theirs))
    torch.testing.assert_close(BnScale()(group), importance.BNScaleImportance()(theirs))
    torch.testing.assert_close(GroupTaylor()(group), importance.GroupTaylorImportance()(theirs))
    squares = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    for image, label in zip(images, labels, strict=True):
        net.zero_grad()
        F.cross_entropy(net(image[None]), label[None]).backward()
        for parameter_name, parameter in net.named_parameters():
            squares[parameter_name] += parameter.grad.square() / len(images)  # type: ignore[union-attr]
    for parameter_name, parameter in net.named_parameters():
        parameter.grad = squares[parameter_name]
    torch.testing.assert_close(GroupHessian()(group), importance.GroupHessianImportance()(theirs))


# A user's own.

OWN = '''
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Busiest:
    """Channels that are seldom zero and have large weights."""

    power: float = 1.0

    def __call__(self, group):
        magnitude = torch.cat(list(group.weights), dim=1).abs().mean(dim=1)
        return magnitude * (1 - group.outputs.zeros) ** self.power
'''


def test_a_criterion_of_the_users_own(tmp_path: Path, evidence: Evidence) -> None:
    (tmp_path / "own.py").write_text(OWN)
    plugin = Plugin(kind="own.py:Busiest", power=2.0)  # type: ignore[call-arg]
    own = build(plugin, READY, folder=tmp_path, where="[criterion]")
    group = evidence.group("0")
    torch.testing.assert_close(score(group, own), AbsoluteThreshold()(group) * Apoz()(group) ** 2)
    net = network()
    small = cut(net, (torch.zeros(1, 2, 4, 4),), Pruning({"0": 2}), own, evidence=evidence)
    best = score(group, own).topk(2).indices.sort().values
    assert torch.equal(small.get_parameter("0.weight"), net[0].weight[best])


def test_a_criterion_that_fails_is_named(evidence: Evidence) -> None:
    class Odd:
        def __call__(self, group: Group) -> Any:
            return {"0": torch.zeros(5), "4": [1.0] * 8}[group.name]

    with pytest.raises(PruneError, match="Odd gives layer '0' no finite score for each of its 6 channels"):
        score(evidence.group("0"), Odd())
    with pytest.raises(PruneError, match="Odd gives layer '4' no finite score"):
        score(evidence.group("4"), Odd())
    with pytest.raises(ConfigError, match="Odd fails on layer '8': KeyError"):
        score(evidence.layer("8"), Odd())


def test_the_docs_know_each_criterion_and_show_this_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "criteria.md").read_text()
    assert {kind for kind in READY if f"| `{kind}` |" not in page} == set()
    assert OWN.strip() in page
