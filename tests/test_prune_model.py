"""Pruning a model without a device: every granularity and schedule, on a network of two residual blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from joulefront import training
from joulefront.config import Plugin
from joulefront.errors import ConfigError, PruneError
from joulefront.prune.cost import count
from joulefront.prune.surgery import drop
from joulefront.prune.weights import load, save
from joulefront.prune_model import Recovery, Removal, prune
from joulefront.prune_records import Pruned
from joulefront.tasks import Task

ONE = Recovery(epochs=1.0, batch_size=16, precision="float32")
NONE = Recovery(epochs=0.0)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = (
            nn.Conv2d(8, 12, 3, padding=1),
            nn.BatchNorm2d(12),
            nn.Conv2d(12, 8, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(F.relu(self.norm(self.one(x))))


class Attending(nn.Module):
    """Two residual blocks, and an attention of four heads over the rows of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), Block(), Block()
        self.attend = nn.MultiheadAttention(8, 4, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.second(self.first(F.relu(self.stem(x)))).mean(3).transpose(1, 2)
        scores: Tensor = self.head((rows + self.attend(rows, rows, rows, need_weights=False)[0]).mean(1))
        return scores


def images(count: int, seed: int) -> TensorDataset:
    """Noise with one bright corner of four, which is the class."""
    generator = torch.Generator().manual_seed(seed)
    pictures, labels = torch.rand(count, 1, 6, 6, generator=generator), torch.arange(count) % 4
    for label in range(4):
        rows, columns = (slice(3, 6) if bit else slice(0, 3) for bit in divmod(label, 2))
        pictures[labels == label, :, rows, columns] += 0.7
    return TensorDataset(pictures, labels)


def untrained() -> Task:
    torch.manual_seed(0)
    return Task(Attending(), (torch.rand(1, 1, 6, 6),), images(192, 0), images(64, 1), images(64, 2))


@pytest.fixture(scope="module")
def task() -> Task:
    torch.set_num_threads(1)
    made = untrained()
    training.fit(made.model, made, epochs=8, learning_rate=0.03, batch_size=16, seed=0, precision="float32")
    assert training.evaluate(made.model, made, "validation").metric > 0.9
    return made


def plugin(kind: str, **arguments: Any) -> Plugin:
    return Plugin(kind=kind, **arguments)


def zeros(model: nn.Module) -> dict[str, float]:
    """The share of zeros of each weight that has any."""
    shares = {name: float((part == 0).double().mean()) for name, part in model.named_parameters() if part.dim() > 1}
    return {name: share for name, share in shares.items() if share}


def test_channels_go_with_all_that_is_coupled_to_them(task: Task) -> None:
    before = {name: part.clone() for name, part in task.model.state_dict().items()}
    pruned = prune(task, Removal(ratio=0.5), recovery=ONE)
    widths = dict(pruned.pruning.widths)
    assert widths == {"stem": 4, "first.one": 6, "second.one": 6, "attend": 4}
    assert pruned.model.get_submodule("second.two").weight.shape == (4, 6, 3, 3)
    cost = count(pruned.model, task.example)
    assert (pruned.figures.params, pruned.figures.macs) == (cost.params, cost.macs)
    assert pruned.figures.nonzero == cost.params < pruned.unpruned.params
    step = pruned.steps[0]
    assert step.cut
    assert step.cut.params == step.recovered.params
    assert step.cut.score != step.recovered.score
    assert pruned.test is not None
    assert pruned.test.split == "test"
    assert pruned.test_change is not None
    assert pruned.test_change.value == pytest.approx(pruned.test.metric - pruned.unpruned_test.metric)  # type: ignore[union-attr]
    assert all(torch.equal(part, before[name]) for name, part in task.model.state_dict().items())


def test_the_same_seed_gives_the_same_network_and_another_one_another(task: Task) -> None:
    def weights(seed: int) -> Tensor:
        made = prune(task, Removal(ratio=0.5, criterion=plugin("taylor")), recovery=ONE, seed=seed)
        return nn.utils.parameters_to_vector(made.model.parameters())

    first, again, other = weights(0), weights(0), weights(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_heads_alone(task: Task) -> None:
    pruned = prune(task, Removal(granularity="head", ratio=0.5), recovery=NONE)
    assert dict(pruned.pruning.widths) == {"attend": 4}
    assert pruned.figures.score is not None


def test_weights_of_an_attention_that_lost_heads_go_like_any_others(task: Task) -> None:
    heads, weights = Removal(granularity="head", ratio=0.5), Removal(granularity="weight", ratio=0.5)
    whole, fewer = (
        prune(task, *removals, recovery=NONE).pruning.sparsity for removals in ((weights,), (heads, weights))
    )
    assert set(fewer) == set(whole)
    assert fewer["attend.in_proj_weight"] == 0.5


def test_blocks_by_what_they_contribute_and_by_their_weights(task: Task) -> None:
    few = Task(task.model, task.example, images(64, 0), task.validation)  # the criterion sees all of them
    inputs, targets = few.train.tensors  # type: ignore[union-attr]
    losses = {}
    with torch.no_grad():
        for name in ("first", "second"):
            losses[name] = float(few.loss(drop(few.model, [name])(inputs), targets))
    removal = Removal(granularity="block", ratio=0.5)
    pruned = prune(few, removal, recovery=NONE)
    assert pruned.pruning.dropped == (min(losses, key=losses.__getitem__),)
    assert isinstance(pruned.model.get_submodule(pruned.pruning.dropped[0]), nn.Identity)
    heavy = max(losses, key=losses.__getitem__)
    with torch.no_grad():  # the weights of the one that stays become the smaller ones by far, and say otherwise
        few.model.get_submodule(heavy).one.weight.mul_(1e-3)  # type: ignore[operator, union-attr]
        by_weight = prune(few, replace(removal, criterion=plugin("l1")), recovery=NONE)
        few.model.get_submodule(heavy).one.weight.mul_(1e3)  # type: ignore[operator, union-attr]
    assert by_weight.pruning.dropped == (heavy,)
    both = prune(few, replace(removal, of="macs"), recovery=NONE)
    assert both.figures.macs <= both.unpruned.macs / 2


def test_blocks_with_a_gain_of_one_number(task: Task) -> None:
    """As in SkipInit and ReZero: the gain is a parameter without a dimension, and a block without it adds nothing."""

    class Scaled(Block):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(0.5))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gain * self.two(F.relu(self.norm(self.one(x))))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), Scaled(), Scaled(), nn.Flatten(), nn.Linear(128, 4))
    pruned = prune(replace(task, model=model), Removal(granularity="block", ratio=0.5), recovery=NONE)
    assert len(pruned.pruning.dropped) == 1


def test_all_blocks_may_go_before_a_schedule_ends(task: Task) -> None:
    removal = Removal(granularity="block", ratio=0.95, criterion=plugin("l1"), schedule=plugin("iterative", steps=10))
    assert set(prune(task, removal, recovery=NONE).pruning.dropped) == {"first", "second"}


def test_single_weights_become_zero_stay_zero_and_are_stored_without_zeros(task: Task) -> None:
    pruned = prune(task, Removal(granularity="weight", ratio=0.75, exclude=("head",)), recovery=ONE)
    found = zeros(pruned.model)
    assert "head.weight" not in found
    assert all(share == pytest.approx(0.75, abs=0.01) for share in found.values())
    assert pruned.pruning.sparsity["first.one"] == pytest.approx(found["first.one.weight"])
    assert pruned.pruning.sparsity["attend.in_proj_weight"] == 0.75
    assert (pruned.figures.params, pruned.figures.macs) == (pruned.unpruned.params, pruned.unpruned.macs)
    assert pruned.figures.nonzero < 0.35 * pruned.figures.params
    assert pruned.figures.size_b < 0.7 * pruned.unpruned.size_b


def test_single_weights_of_a_model_whose_channels_cannot_be_found() -> None:
    class Odd(nn.Sequential):
        def forward(self, x: Tensor) -> Any:
            return {1, super().forward(x).sum()}

    odd = Task(Odd(nn.Linear(4, 8)), (torch.rand(1, 4),))
    assert zeros(prune(odd, Removal(granularity="weight", ratio=0.5), recovery=NONE).model) == {"0.weight": 0.5}
    with pytest.raises(PruneError, match="cannot trace the network"):
        prune(odd, Removal(ratio=0.5), recovery=NONE)


def test_weights_that_are_computed_from_others_are_left_alone() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        old = nn.utils.weight_norm(nn.Linear(4, 8))
    model = nn.Sequential(old, nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 2))
    with torch.no_grad():  # of this kind torch copies no network with gradients
        model(torch.rand(1, 4))
    pruned = prune(Task(model, (torch.rand(1, 4),)), Removal(granularity="weight", ratio=0.5), recovery=NONE)
    assert dict(pruned.pruning.sparsity) == {"2": 0.5}


def test_a_block_that_goes_takes_the_widths_inside_along(task: Task) -> None:
    blocks = Removal(granularity="block", ratio=0.5, schedule=plugin("iterative", steps=1))
    pruned = prune(task, Removal(ratio=0.5, shares={"second": 0.25}), blocks, recovery=NONE)
    (gone,) = pruned.pruning.dropped
    stays = "first" if gone == "second" else "second"
    assert list(pruned.pruning.widths) == ["stem", f"{stays}.one", "attend"]


def test_what_cannot_be_cut_is_named() -> None:
    class Fixed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self[2](self[1](self[0](x)).view(-1, 16))
            return scores

    fixed = Task(Fixed(nn.Linear(4, 8), nn.Linear(8, 16), nn.Linear(16, 2)), (torch.rand(1, 4),))
    with pytest.raises(PruneError, match=r"does not run: .*; to leave alone what cannot be cut: --exclude 1$"):
        prune(fixed, Removal(ratio=0.5), recovery=NONE)
    assert dict(prune(fixed, Removal(ratio=0.5, exclude=("1",)), recovery=NONE).pruning.widths) == {"0": 4}


def test_globally_some_layers_lose_more_and_the_sum_is_as_asked(task: Task) -> None:
    pruned = prune(task, Removal(granularity="weight", ratio=0.6, scope="global"), recovery=NONE)
    shares = pruned.pruning.sparsity
    assert max(shares.values()) - min(shares.values()) > 0.05
    gone = pruned.unpruned.nonzero - pruned.figures.nonzero
    weights = sum(part.numel() for part in task.model.parameters() if part.dim() > 1)
    assert gone == round(0.6 * weights)


def test_a_hybrid_keeps_the_zeros_of_what_its_second_part_leaves(task: Task) -> None:
    pruned = prune(task, Removal(granularity="weight", ratio=0.5), Removal(ratio=0.5), recovery=ONE)
    assert [step.granularity for step in pruned.steps] == ["weight", "channel"]
    assert [step.start for step in pruned.steps] == [0, 1]
    found = zeros(pruned.model)
    assert pruned.model.get_submodule("first.one").weight.shape[0] == 6
    assert 0.2 < found["first.one.weight"] < 0.6
    assert pruned.pruning.sparsity["first.one"] == pytest.approx(found["first.one.weight"])


def test_a_share_of_the_macs_is_met_and_hardly_more_goes(task: Task) -> None:
    for scope in ("uniform", "global"):
        pruned = prune(task, Removal(ratio=0.6, of="macs", scope=scope, criterion=plugin("lamp")), recovery=NONE)  # type: ignore[arg-type]
        assert 0.3 * pruned.unpruned.macs < pruned.figures.macs <= 0.4 * pruned.unpruned.macs


def test_groups_may_have_a_share_of_their_own(task: Task) -> None:
    pruned = prune(task, Removal(ratio=0.25, shares={"first": 0.75}), recovery=NONE)
    assert dict(pruned.pruning.widths) == {"stem": 6, "first.one": 3, "second.one": 9, "attend": 6}
    alone = prune(task, Removal(shares={"second": 0.5}, schedule=plugin("iterative", steps=2)), recovery=NONE)
    assert dict(alone.pruning.widths) == {"second.one": 6}
    assert [step.ratio for step in alone.steps] == pytest.approx([3 / 40, 6 / 40])


def test_a_threshold_needs_no_ratio(task: Task) -> None:
    cutoff = plugin("relative-threshold", cutoff=0.3)
    pruned = prune(task, Removal(granularity="weight", criterion=cutoff), recovery=NONE)
    weight = task.model.get_submodule("first.one").weight
    assert isinstance(weight, Tensor)
    below = weight.abs() < 0.3 * weight.abs().max()
    assert torch.equal(pruned.model.get_submodule("first.one").weight == 0, below)  # type: ignore[arg-type]
    widths = prune(task, Removal(criterion=plugin("relative-threshold", cutoff=0.7)), recovery=NONE).pruning.widths
    assert widths


def test_step_by_step_each_from_the_one_before(task: Task) -> None:
    pruned = prune(task, Removal(ratio=0.6, schedule=plugin("iterative", steps=3)), recovery=ONE)
    assert [(step.start, round(step.ratio, 3)) for step in pruned.steps] == [(0, 0.2), (1, 0.4), (2, 0.6)]
    widths = [step.recovered.params for step in pruned.steps]
    assert widths == sorted(widths, reverse=True)
    assert dict(pruned.pruning.widths)["first.one"] == 5


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_gradually_during_fine_tuning(task: Task, granularity: Any) -> None:
    removal = Removal(granularity=granularity, ratio=0.5, schedule=plugin("gradual", every=4))
    pruned = prune(task, removal, recovery=ONE.model_copy(update={"epochs": 2.0}))
    assert [step.cut for step in pruned.steps] == [None]
    if granularity == "weight":
        assert zeros(pruned.model)["first.one.weight"] == pytest.approx(0.5, abs=0.01)
    else:
        assert dict(pruned.pruning.widths) == {"stem": 4, "first.one": 6, "second.one": 6, "attend": 4}
        assert zeros(pruned.model) == {}


def test_a_floor_gives_up_what_falls_below_it(task: Task) -> None:
    floor = 0.9
    pruned = prune(task, Removal(ratio=0.85, schedule=plugin("adaptive", floor=floor, step=0.5)), recovery=ONE)
    for step in pruned.steps:
        assert step.recovered.score
        assert step.used == (step.recovered.score.metric >= floor)
    assert not all(step.used for step in pruned.steps)
    assert pruned.figures.score
    assert pruned.figures.score.metric >= floor
    impossible = prune(task, Removal(ratio=0.5, schedule=plugin("iterative", floor=1.1)), recovery=NONE)
    assert impossible.figures == impossible.unpruned
    assert impossible.warnings == ("every step fell below the accuracy's floor: the model is left as it was",)


def test_a_users_own_criterion_and_schedule(task: Task, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom joulefront.prune.schedules import Step\n\n"
        "class LastGo:\n    def __call__(self, group):\n        return -torch.arange(group.channels, dtype=torch.float32)\n\n"
        "class Halves:\n"
        "    def __init__(self, target):\n        self.target = target\n"
        "    def next(self, history):\n"
        "        return Step(len(history) - 1, self.target * len(history) / 2) if len(history) < 3 else None\n"
        "    def result(self, history):\n        return len(history) - 1\n"
    )
    removal = Removal(ratio=0.5, criterion=plugin("mine.py:LastGo"), schedule=plugin("mine.py:Halves"))
    pruned = prune(task, removal, recovery=NONE, folder=tmp_path)
    assert len(pruned.steps) == 2
    assert torch.equal(pruned.model.get_submodule("head").weight, task.model.get_submodule("head").weight[:, :4])  # type: ignore[index, arg-type]


@pytest.mark.parametrize(
    ("comparable", "expected"), [(True, {"stem": 4}), (False, {"first.one": 10, "second.one": 10})]
)
def test_a_criterion_says_whether_groups_can_be_ranked_as_they_are(
    task: Task, tmp_path: Path, comparable: bool, expected: dict[str, int]
) -> None:
    (tmp_path / f"ranked_{comparable}.py").write_text(
        f"import torch\n\n\nclass Ranked:\n    comparable = {comparable}\n\n    def __call__(self, group):\n"
        "        units = torch.arange(group.channels)\n"
        "        return 1 + units / 1000 if group.name == 'stem' else 100.0 + 10 * units\n"
    )
    removal = Removal(ratio=0.1, scope="global", criterion=plugin(f"ranked_{comparable}.py:Ranked"))
    assert dict(prune(task, removal, recovery=NONE, folder=tmp_path).pruning.widths) == expected


def test_without_data_what_needs_none_works(task: Task) -> None:
    bare = Task(task.model, task.example)
    pruned = prune(bare, Removal(ratio=0.5), recovery=NONE)
    assert pruned.figures.score is None
    assert pruned.figures.score_reason == "the task has no validation split"
    assert (pruned.test, pruned.test_reason) == (None, "the task has no test split")
    assert "BatchNorm" in pruned.warnings[0]
    for removal, recovery, reason in (
        (Removal(ratio=0.5), ONE, "no train split to recover the pruned model with"),
        (Removal(ratio=0.5, criterion=plugin("taylor")), NONE, "take a criterion that judges by the weights alone"),
        (Removal(ratio=0.5, schedule=plugin("adaptive", floor=0.9)), NONE, "needs a task with a validation split"),
    ):
        with pytest.raises(ConfigError, match=reason):
            prune(bare, removal, recovery=recovery)


@pytest.mark.parametrize(
    ("removal", "reason"),
    [
        (Removal(ratio=1.2), "--ratio: expected a share above 0 and below 1, not 1.2"),
        (Removal(shares={"stem": 1.2}), "--group stem: expected a share above 0 and below 1, not 1.2"),
        (Removal(ratio=float("nan")), "--ratio: expected a share"),
        (Removal(), "how much is to go"),
        (Removal(ratio=0.001), "takes away less than the least channel"),
        (Removal(ratio=0.001, schedule=plugin("gradual", every=1)), "takes away less than the least channel"),
        (Removal(ratio=0.9, floor=0.5), "--floor and --multiple leave at least 50.0%"),
        (Removal(ratio=0.99, of="macs"), "at the narrowest that is allowed"),
        (Removal(of="macs", shares={"stem": 0.5}), "--of macs needs a --ratio"),
        (Removal(ratio=0.5, of="macs", granularity="weight"), "single weights that are zero are computed"),
        (Removal(ratio=0.5, criterion=plugin("tailor")), "did you mean 'taylor'"),
        (Removal(ratio=0.5, criterion=plugin("bn-scale")), "no BatchNorm scales its channels"),
        (Removal(ratio=0.5, criterion=plugin("fpgm"), granularity="weight"), "compares filters, not single weights"),
        (Removal(ratio=0.5, schedule=plugin("gradul")), "did you mean 'gradual'"),
        (Removal(ratio=0.5, schedule=plugin("gradual"), granularity="block"), "a block goes at once"),
        (Removal(ratio=0.5, shares={"frist.one": 0.5}), "--group frist.one: nothing of that name.*'first.one'"),
        (Removal(ratio=0.5, shares={"first": 1.5}), "first: expected a share"),
        (Removal(ratio=0.5, exclude=("tsem",)), "--exclude tsem.*'stem'"),
        (Removal(ratio=0.5, exclude=("stem", "first", "second", "attend")), "--exclude leaves nothing"),
        (Removal(ratio=0.5, granularity="weight", multiple=8), "--granularity weight has none"),
        (Removal(criterion=plugin("absolute-threshold", cutoff=1e-9)), "nothing scores below the cutoff"),
        (Removal(criterion=plugin("absolute-threshold", cutoff=1e9)), "all there is scores below the cutoff"),
    ],
)
def test_what_cannot_be_is_refused_with_a_word(task: Task, removal: Removal, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        prune(task, removal, recovery=ONE)


def test_data_that_does_not_fit_the_model_is_refused_before_any_work(task: Task) -> None:
    odd = replace(task, train=TensorDataset(torch.rand(8, 3, 6, 6), torch.arange(8) % 4))
    with pytest.raises(ConfigError, match=r"task.train: its inputs have the shape \(3, 6, 6\)"):
        prune(odd, Removal(ratio=0.5), recovery=NONE)


def test_a_model_without_heads_or_blocks_says_so() -> None:
    plain = Task(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (torch.rand(1, 4),))
    for granularity, reason in (("head", "no attention heads"), ("block", "no residual block")):
        with pytest.raises(ConfigError, match=reason):
            prune(plain, Removal(granularity=granularity, ratio=0.5), recovery=NONE)  # type: ignore[arg-type]


def test_what_was_pruned_can_be_loaded_from_its_weights(task: Task, tmp_path: Path) -> None:
    removals = (Removal(granularity="block", ratio=0.5), Removal(granularity="weight", ratio=0.5), Removal(ratio=0.5))
    pruned: Pruned = prune(task, *removals, recovery=NONE)
    save(pruned.model, tmp_path / "weights.safetensors")
    again = load(task.model, task.example, pruned.pruning, tmp_path / "weights.safetensors")
    batch = task.validation[:8][0]  # type: ignore[index]
    with torch.no_grad():
        assert torch.equal(again(batch), pruned.model(batch))
