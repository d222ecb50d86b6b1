"""What criteria are shown of a model: what its layers read, its gradients, and its loss without a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from networks import built
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

from joulefront.errors import ConfigError, PruneError
from joulefront.prune.criteria import L2, Activation, Taylor, Transfer
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.groups import find_groups
from joulefront.prune.surgery import shrink
from joulefront.tasks.task import Task


def classes(images: Tensor) -> TensorDataset:
    return TensorDataset(images, torch.randint(0, 5, (len(images),), generator=torch.Generator().manual_seed(1)))


def task_for(net: nn.Module, example: tuple[Tensor, ...], examples: int = 12) -> Task:
    generator = torch.Generator().manual_seed(0)
    return Task(net, example, classes(torch.randn(examples, *example[0].shape[1:], generator=generator)))


@pytest.mark.parametrize(
    "name", ["tiny", "depthwise", "concat", "squeeze_excite", "residual_of_concat", "attention", "reused"]
)
def test_the_loss_without_a_channel_is_that_of_the_network_cut_by_it(name: str) -> None:
    net, example = built(name)
    groups, task = find_groups(net, example), task_for(net, example)
    evidence = Evidence(net, task, example, groups)
    images, labels = task.train.tensors  # type: ignore[union-attr]

    def loss(model: nn.Module) -> float:
        with torch.no_grad():
            return float(F.cross_entropy(model(images), labels))

    for group in groups.groups:
        if group.block > 1:  # such channels only go together
            continue
        unit = group.channels // 2
        small = shrink(
            net, example, groups, {group.name: torch.tensor([i for i in range(group.channels) if i != unit])}
        )
        expected = loss(small) - loss(net)
        assert float(evidence.group(group.name).losses_without[unit]) == pytest.approx(expected, abs=2e-6)


def test_what_is_read_is_told_by_the_channel_that_gave_it() -> None:
    """Two convolutions side by side, whose channels the next one reads behind a norm and a ReLU."""
    net, example = built("concat")
    task = task_for(net, example)
    evidence = Evidence(net, task, example)
    images, _ = task.train.tensors  # type: ignore[union-attr]
    with torch.no_grad():
        read = F.relu(net.norm(torch.cat([net.left(images), net.right(images)], 1)))  # type: ignore[operator]
    for name, own in [("left", read[:, :16]), ("right", read[:, 16:])]:
        outputs = evidence.group(name).outputs
        torch.testing.assert_close(outputs.mean_abs, own.abs().mean((0, 2, 3)))
        torch.testing.assert_close(outputs.std, own.std((0, 2, 3), correction=0))
        torch.testing.assert_close(outputs.zeros, (own == 0).float().mean((0, 2, 3)))
        assert outputs.zeros.any()


def test_a_group_shows_each_layer_that_reads_and_writes_it() -> None:
    net, example = built("squeeze_excite")
    group = Evidence(net, task_for(net, example), example).group("stem")
    assert [tuple(rows.shape) for rows in group.weights] == [(16, 27), (16, 8)]
    assert [tuple(rows.shape) for rows in group.consumers] == [(16, 8), (16, 5)]
    assert [tuple(rows.shape) for rows in group.gradients] == [(16, 27), (16, 8)]
    assert [tuple(rows.shape) for rows in group.curvatures] == [(16, 27), (16, 8)]
    assert [tuple(rows.shape) for rows in group.carried] == [(16, 8), (16, 5)]
    torch.testing.assert_close(group.consumers[1], net.head.weight.detach().T)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(("name", "layer"), [("grouped", "wide"), ("transposed", "up"), ("squeeze_excite", "head")])
def test_a_weight_carries_what_it_is_given(name: str, layer: str) -> None:
    net, example = built(name)
    task = task_for(net, example)
    seen: list[Tensor] = []
    images, _ = task.train.tensors  # type: ignore[union-attr]
    module: Any = net.get_submodule(layer)
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net(images)
    hook.remove()
    given = seen[0].abs().transpose(0, 1).flatten(1).mean(1)  # by input feature
    expected = module.weight.detach().abs().clone()
    for out in range(expected.shape[0]):
        for into in range(expected.shape[1]):
            reads = {"grouped": out // 6 * 6 + into, "transposed": out, "squeeze_excite": into}[name]
            expected[out, into] *= given[reads]
    scores = score(Evidence(net, task, example).layer(layer), Transfer())
    torch.testing.assert_close(scores, expected.flatten())


def test_recurrent_layers_have_several_weights() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 6, batch_first=True)
            self.head = nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            hidden: Tensor = self.lstm(x)[0]
            output: Tensor = self.head(hidden[:, -1])
            return output

    torch.manual_seed(0)
    net, example = Recurrent().eval(), (torch.randn(1, 4, 3),)
    evidence = Evidence(net, task_for(net, example), example)
    with pytest.raises(PruneError, match=r"no layer 'lstm' of one weight; .*lstm\.weight_ih_l0, lstm\.weight_hh_l0"):
        evidence.layer("lstm")
    into, across = evidence.layer("lstm.weight_ih_l0"), evidence.layer("lstm.weight_hh_l0")
    for criterion in (L2(), Taylor(), Transfer()):
        assert score(into, criterion).shape == (4 * 6 * 3,)
    assert score(across, Taylor()).shape == (4 * 6 * 6,)
    with pytest.raises(ConfigError, match=r"'transfer' cannot judge layer 'lstm.weight_hh_l0': .*'l2'"):
        score(across, Transfer())
    units = evidence.group("lstm")
    assert score(units, Activation()).shape == (6,)
    assert [tuple(rows.shape) for rows in units.weights] == [(6, 12), (6, 24)]


def test_names_that_the_model_does_not_have() -> None:
    net, example = built("tiny")
    evidence = Evidence(net, None, example)
    with pytest.raises(PruneError, match=r"no channels named 'conv'.* 'conv[12]'"):
        evidence.group("conv")
    with pytest.raises(PruneError, match="no layer 'norm1' of one weight"):
        evidence.layer("norm1")


class Noisy(Dataset[Any]):
    """Examples that are drawn anew each time, and the indices that were asked for."""

    def __init__(self, size: int, shape: Sequence[int]) -> None:
        self.size, self.shape, self.asked = size, tuple(shape), list[int]()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.asked.append(index)
        return torch.randn(self.shape), index % 5


def test_a_sample_of_the_train_split_is_drawn_by_the_seed() -> None:
    net, example = built("squeeze_excite")
    asked = {}
    for seed in (0, 0, 1):
        noisy = Noisy(600, example[0].shape[1:])
        evidence = Evidence(net, Task(net, example, noisy), example, seed=seed)
        gradients = [*evidence.group("stem").gradients]
        first = list(noisy.asked)
        assert len(set(first)) == len(first) == 512
        evidence.group("squeeze").gradients  # noqa: B018 -- looked at again, it is kept
        assert noisy.asked == first
        evidence.group("stem").curvatures  # noqa: B018
        assert noisy.asked[512:] == first[:64]
        if seed in asked:
            assert asked[seed][0] == first
            assert all(torch.equal(old, new) for old, new in zip(asked[seed][1], gradients, strict=True))
        asked[seed] = first, gradients
    assert set(asked[0][0]) != set(asked[1][0])
