"""A candidate before its recovery: what goes, in which order, and what must be judged."""

from __future__ import annotations

import pytest
import torch
from networks import resnet20_like
from torch import Tensor
from torch.utils.data import TensorDataset

from joulefront.errors import ConfigError
from joulefront.protocols import Group
from joulefront.prune.candidate import Remembered, check, prune
from joulefront.prune.criteria.gradients import Taylor
from joulefront.prune.criteria.magnitudes import L1
from joulefront.prune.criteria.ready_made import BnScale
from joulefront.prune.evidence import Evidence
from joulefront.prune.groups import find_groups
from joulefront.prune.masks import masks_of
from joulefront.prune.surgery import cut
from joulefront.space_records import Pruning
from joulefront.tasks.task import Task

ALL = Pruning({"stage2.0.conv1": 8}, ("stage1.1",), {"conv": 0.5, "stage1.1.conv1": 0.5, "stage2.0.conv1": 0.25})


@pytest.fixture(scope="module")
def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    images = torch.randn(64, 1, 8, 8, generator=generator)
    return Task(resnet20_like(), images[:1], TensorDataset(images, torch.arange(64) % 5))


@pytest.mark.parametrize("criterion", [L1(), Taylor()])
def test_blocks_channels_and_weights_go(task: Task, criterion: object) -> None:
    groups = find_groups(task.model, task.example)
    small = prune(
        task.model, task.example, ALL, Remembered(criterion), task=task, groups=groups,  # type: ignore[arg-type]
        evidence=Evidence(task.model, task, task.example, groups),
    )  # fmt: skip
    assert isinstance(small.get_submodule("stage1.1"), torch.nn.Identity)
    assert small.get_parameter("stage2.0.conv1.weight").shape == (8, 8, 3, 3)
    zeros = {name: mask.float().mean().item() for name, mask in masks_of(small).items()}
    assert zeros == {"conv.weight": 0.5, "stage2.0.conv1.weight": 0.25}  # of what is left of it; none of what is gone


def test_single_weights_are_judged_in_the_network_that_was_cut(task: Task) -> None:
    """The weights that go are the smallest of what the cut left, whatever they would be in the whole."""
    groups = find_groups(task.model, task.example)
    evidence = Evidence(task.model, task, task.example, groups)
    pruning = Pruning({"stage2.0.conv1": 8}, (), {"stage2.0.conv1": 0.5})
    small = prune(task.model, task.example, pruning, Remembered(L1()), task=task, groups=groups, evidence=evidence)
    left = cut(task.model, task.example, pruning, L1(), groups=groups).get_parameter("stage2.0.conv1.weight").abs()
    gone = small.get_parameter("stage2.0.conv1.weight") == 0
    assert left[gone].max() <= left[~gone].min()


def test_a_criterion_is_asked_once_a_group(task: Task) -> None:
    asked: list[str] = []

    def counting(group: Group) -> Tensor:
        asked.append(group.name)
        return torch.arange(group.channels, dtype=torch.float32)

    groups = find_groups(task.model, task.example)
    evidence, remembered = Evidence(task.model, task, task.example, groups), Remembered(counting)
    for width in (4, 8, 12):
        pruning = Pruning({"stage2.0.conv1": width})
        small = prune(task.model, task.example, pruning, remembered, task=task, groups=groups, evidence=evidence)
        kept = small.get_parameter("stage2.0.conv1.weight")
        assert torch.equal(kept, task.model.get_parameter("stage2.0.conv1.weight")[-width:])
    assert asked == ["stage2.0.conv1"]


def test_a_criterion_that_cannot_judge_is_found_before_the_search(task: Task) -> None:
    evidence = Evidence(task.model, task, task.example, find_groups(task.model, task.example))
    check(Remembered(BnScale()), evidence, Pruning({"stage2.0.conv1": 8}), where="[criterion]")
    told = r"\[criterion\] criterion 'bn-scale' cannot judge layer 'conv': .* space.sparsity .* single weights"
    with pytest.raises(ConfigError, match=told):
        check(Remembered(BnScale()), evidence, Pruning({}, (), {"conv": 0.5}), where="[criterion]")


def test_scores_that_are_none_are_told_with_the_place_that_names_the_criterion(task: Task) -> None:
    evidence = Evidence(task.model, task, task.example, find_groups(task.model, task.example))
    empty = Remembered(lambda group: torch.full((group.channels,), torch.nan))
    with pytest.raises(ConfigError, match=r"\[space\] criteria: criterion .* no finite score .* 16 channels$"):
        check(empty, evidence, Pruning({"stage2.0.conv1": 8}, (), {"conv": 0.5}), where="[space] criteria:")
