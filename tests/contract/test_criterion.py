"""What every Criterion keeps to; ``test_criterion_by_hand`` has what each of the ready-made ones computes."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_pruning
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from torch_pruning.pruner import importance

from joulefront.config import Plugin
from joulefront.errors import ConfigError, PruneError
from joulefront.plugins import build
from joulefront.protocols import Criterion, Group
from joulefront.prune import READY
from joulefront.prune.criteria import (
    AbsoluteThreshold,
    Apoz,
    BnScale,
    GroupHessian,
    GroupL2,
    GroupTaylor,
)
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.surgery import cut
from joulefront.space_records import Pruning
from joulefront.tasks.task import Task

TAKES_DATA = {
    *("gradient", "taylor", "hessian", "group-taylor", "group-hessian"),
    *("activation", "activation-std", "apoz", "transfer", "contribution"),
}
CHANNELS_ONLY = {"fpgm", "bn-scale", "activation", "activation-std", "apoz", "contribution"}
FREE_OF_SCALE = TAKES_DATA - {"gradient"} | {"random", "bn-scale", "lamp", "relative-threshold", "standard-score"}
"""Those whose scores are the same for a network that computes the same with other weights."""


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


# torch-pruning's own.


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
