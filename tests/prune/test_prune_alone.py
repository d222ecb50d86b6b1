"""One part of a network pruned at a time: which cuts are tried, and what they are said to be worth."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from joulefront import training
from joulefront.errors import ConfigError
from joulefront.protocols import Group
from joulefront.prune.alone import Alone, silenced
from joulefront.prune.criteria.magnitudes import L2
from joulefront.prune.criteria.ready_made import BnScale
from joulefront.prune.groups import find_groups
from joulefront.records import Failure
from joulefront.sensitivity_records import Cut
from joulefront.space_records import Pruning
from joulefront.tasks.models import Block
from joulefront.tasks.task import Task


def dense_task(kind: type[Task] = Task) -> Task:
    """Two layers without an activation between them: what flows where can be written down."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 3, generator=generator)
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    model = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return kind(model, (inputs[:1],), data, data, data)


def residual_task() -> Task:
    """A residual block behind a convolution, with BatchNorm in the block alone."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(24, 1, 4, 4, generator=generator)
    data = TensorDataset(images, torch.arange(24) % 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), Block(4, 4, 1), nn.Flatten(), nn.Linear(64, 3))
    return Task(model.eval(), (images[:1],), data, data, data)


def test_what_is_tried() -> None:
    found = Alone(residual_task(), L2()).cuts(widths=2, multiple=8)
    assert [(cut.part, cut.width) for cut in found] == [("0", 1), ("0", 3), ("2.conv1", 1), ("2.conv1", 3), ("2", 0)]
    assert found[-1].pruning == Pruning(dropped=("2",))
    (single,) = [cut.width for cut in Alone(residual_task(), L2()).cuts(1, 8) if cut.part == "0"]
    assert single == 2


def test_the_contribution_of_a_group_is_the_loss_of_what_is_left_without_its_output() -> None:
    task = dense_task()
    part = Alone(task, L2()).part("0")
    inputs, targets = task.train.tensors  # type: ignore[union-attr]
    last = task.model[1]
    assert isinstance(last, nn.Linear)
    blind = task.loss(last.bias.expand(len(targets), 2), targets)
    with torch.no_grad():
        assert part.contribution == pytest.approx(float(blind - task.loss(task.model(inputs), targets)), rel=1e-5)
    assert (part.channels, part.contribution_reason) == (6, None)


def test_the_loss_is_averaged_over_batches_and_small_ones_count_less() -> None:
    class Doubtful(Task):
        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs.sum() / len(targets)

    task = dense_task(Doubtful)
    inputs = torch.randn(130, 3, generator=torch.Generator().manual_seed(1))
    many = Doubtful(task.model, task.example, task.train, TensorDataset(inputs, torch.arange(130) % 2))
    last = task.model[1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        expected = float(last.bias.sum() - task.model(inputs).sum(1).mean())
    assert Alone(many, L2()).part("0").contribution == pytest.approx(expected, rel=1e-5)


def test_information_transfer_is_what_connections_carry_before_and_after() -> None:
    task = dense_task()
    alone = Alone(task, L2())
    first, last = task.model[0], task.model[1]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        activations = first(task.train.tensors[0]).abs().mean(0)  # type: ignore[union-attr]
        flows = last.weight.abs() * activations
    assert alone.part("0").carried == pytest.approx(float(flows.mean()), rel=1e-5)
    cut, _ = alone.made(Cut("0", 2, Pruning({"0": 2})))
    kept = first.weight.norm(dim=1).topk(2).indices
    assert cut.carried == pytest.approx(float(flows[:, kept].sum() / flows.numel()), rel=1e-5)


class Attention(nn.Module):
    """Two heads of two channels. In and out (n, tokens, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim = 2, 2
        self.qkv, self.proj = nn.Linear(4, 12), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def test_what_is_left_of_a_group_is_told_even_when_it_can_be_cut_no_further() -> None:
    tokens = torch.randn(16, 3, 4, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(tokens, torch.arange(16) % 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(Attention(), nn.Flatten(), nn.Linear(12, 2)).eval()
    alone = Alone(Task(model, (tokens[:1],), data, data, data), L2())
    head = next(cut for cut in alone.cuts(1, 2) if cut.part == "0.qkv")
    cut, single = alone.made(head)
    assert single is not None
    assert "0.qkv" not in find_groups(single, (tokens[:1],)).by_name
    read: list[Tensor] = []
    single.get_submodule("0.proj").register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.no_grad():
        single(tokens)
        kept = single.get_submodule("0.proj").weight.abs() * read[0].abs().mean((0, 1))  # type: ignore[operator, union-attr]
    assert cut.carried == pytest.approx(float(kept.sum()) / 16, rel=1e-5)


def test_a_cut_is_recalibrated_judged_on_the_same_examples_and_counted() -> None:
    task = residual_task()
    before = copy.deepcopy(task.model.state_dict())
    alone = Alone(task, L2(), examples=20)
    cut, model = alone.made(Cut("2.conv1", 2, Pruning({"2.conv1": 2})))
    assert model is not None
    assert cut.score == training.evaluate(model, task, "validation", limit=20)
    assert cut.score.examples == alone.score.examples == 20
    assert cut.change == cut.score.metric - alone.score.metric
    assert cut.interval is not None
    assert cut.interval[0] <= cut.change <= cut.interval[1]
    assert cut.params == sum(parameter.numel() for parameter in model.parameters())
    assert cut.macs is not None
    assert cut.macs < alone.cost.macs
    norm = model.get_submodule("2.norm1")
    assert not torch.equal(norm.running_mean, before["2.norm1.running_mean"][:2])  # type: ignore[arg-type]
    assert all(torch.equal(value, before[name]) for name, value in task.model.state_dict().items())


def test_a_block_that_is_taken_out_carries_nothing() -> None:
    alone = Alone(residual_task(), L2())
    part = alone.part("2")
    assert part.channels is None
    assert part.contribution is not None
    assert part.carried is not None
    assert part.carried > 0
    cut, model = alone.made(Cut("2", 0, Pruning(dropped=("2",))))
    assert cut.carried == 0
    assert model is not None
    assert isinstance(model.get_submodule("2"), nn.Identity)


def test_a_metric_that_is_no_share_of_right_answers_has_no_interval() -> None:
    class Blurred(Task):
        def metric(self, outputs: Tensor, targets: Tensor) -> float:
            return super().metric(outputs, targets) / 2

    alone = Alone(dense_task(Blurred), L2())
    cut, _ = alone.made(Cut("0", 2, Pruning({"0": 2})))
    assert cut.interval is None
    assert cut.change is not None
    assert "not the share" in str(alone.interval_reason)


def test_what_a_criterion_cannot_judge_fails_alone() -> None:
    cut, model = Alone(dense_task(), BnScale()).made(Cut("0", 2, Pruning({"0": 2})))
    assert model is None
    assert cut.failure is not None
    assert cut.failure.kind == "ConfigError"
    judged, _ = Alone(residual_task(), BnScale()).made(Cut("2.conv1", 2, Pruning({"2.conv1": 2})))
    assert judged.failure is None

    def broken(group: Group) -> Tensor:
        return torch.full((group.channels,), torch.nan)

    cut, model = Alone(residual_task(), broken).made(Cut("0", 2, Pruning({"0": 2})))
    assert model is None
    assert isinstance(cut.failure, Failure)
    assert cut.failure.kind == "PruneError"
    assert cut.score is None


def test_outputs_that_nothing_reads_cannot_be_silenced() -> None:
    task = dense_task()
    group = find_groups(task.model, task.example).by_name["0"]
    unread = type(group)(group.name, group.channels, group.block, tuple(axis for axis in group.axes if axis.produces))
    with pytest.raises(ConfigError, match="nothing that can be seen reads"):
        silenced(task.model, unread)
