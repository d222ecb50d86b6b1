"""Whole networks: what comes out of the compiled library is what torch computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loading import TARGETS, WIDEST, difference, run, settled
from nets import Concatenated, DigitsNet, Inverted, Offset, PreActivated, Recurrent, ResNet20
from torch import Tensor, nn

from joulefront.compile.compiler import TvmCompiler
from joulefront.records import Target

ODD = (7, 9, 16, 21, 30, 11, 50, 37, 63)
DIGIT, PHOTO = (1, 1, 28, 28), (1, 3, 32, 32)

DEMOS = {
    "digits": (lambda: DigitsNet(), DIGIT),
    "digits without norm, pruned": (lambda: DigitsNet((13, 29, 89), norm=False), DIGIT),
    "digits with two pools, pruned": (lambda: DigitsNet((1, 3, 7), pools=2), DIGIT),
}

OTHERS = {
    "resnet20, pruned": (lambda: ResNet20((13, 29, 51), ODD), PHOTO),
    "resnet20, of one channel": (lambda: ResNet20(channels=1), DIGIT),
    "batch of 3": (lambda: DigitsNet((5, 6, 7)), (3, 1, 28, 28)),
    "mobilenet": (
        lambda: nn.Sequential(nn.Conv2d(3, 9, 3, 2, 1), Inverted(9), nn.Flatten(), nn.Linear(576, 3)),
        (1, 3, 15, 15),
    ),
    "concatenation": (lambda: nn.Sequential(Concatenated(), nn.Conv2d(18, 4, 3)), (1, 5, 9, 9)),
    "norms that cannot be folded": (PreActivated, (1, 5, 8, 8)),
    "a bias of its own before a norm": (lambda: Offset(5, 1, 1), (2, 2, 4, 5)),
    "an offset along the width before a norm": (lambda: Offset(5), (2, 2, 4, 5)),
    "an offset along the height before a norm": (lambda: Offset(1, 5, 1), (2, 2, 5, 4)),
    "groups, dilation, transposed": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, 3, dilation=2, padding=2),
            nn.Conv2d(6, 6, 3, groups=3),
            nn.ConvTranspose2d(6, 3, 2, stride=2),
        ),
        (1, 4, 11, 13),
    ),
    "pools": (
        lambda: nn.Sequential(
            nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(3, 5, (3, 1), (2, 1), (1, 0)),
            nn.AvgPool2d(2, ceil_mode=True),
            nn.AdaptiveAvgPool2d(2),
        ),
        (2, 3, 19, 21),
    ),
    "one-dimensional": (
        lambda: nn.Sequential(
            nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(30, 5)
        ),
        (1, 4, 10),
    ),
    "perceptron": (lambda: nn.Sequential(nn.Linear(10, 33), nn.BatchNorm1d(33), nn.GELU(), nn.Linear(33, 1)), (2, 10)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(10, 33), nn.LayerNorm(33), nn.Softmax(-1)), (2, 5, 10)),
    "attention": (lambda: nn.TransformerEncoderLayer(24, 4, 48, batch_first=True), (2, 7, 24)),
    "recurrence": (Recurrent, (1, 3, 4)),
    "no operator": (nn.Identity, (2, 3)),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize(("make", "shape"), DEMOS.values(), ids=DEMOS)
def test_demo_networks_compute_what_torch_does(
    make: object, shape: tuple[int, ...], target: Target, tmp_path: Path
) -> None:
    assert _difference(make, shape, target, tmp_path) <= 1e-5


@pytest.mark.parametrize(("make", "shape"), OTHERS.values(), ids=OTHERS)
def test_other_networks_compute_what_torch_does(make: object, shape: tuple[int, ...], tmp_path: Path) -> None:
    assert _difference(make, shape, WIDEST, tmp_path) <= 1e-5


def test_a_network_may_have_several_inputs(tmp_path: Path) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor, gate: Tensor) -> Tensor:
            gated: Tensor = self.conv(x) * gate
            return gated

    torch.manual_seed(0)
    inputs = (torch.randn(1, 3, 6, 6), torch.randn(1, 3, 6, 6))
    assert difference(Gated().eval(), inputs, WIDEST, tmp_path) <= 1e-5


def test_integers_take_the_same_passes(tmp_path: Path) -> None:
    class Conditioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.embedding = nn.Conv2d(3, 5, 3, padding=1), nn.Embedding(10, 5)

        def forward(self, x: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
            row = number.clamp(min=0).unsqueeze(-1).squeeze(-1).unsqueeze(-1)
            embedded = self.embedding(row).unsqueeze(-1).transpose(1, 2)
            return self.conv(x) + embedded, number.clamp(max=4)

    torch.manual_seed(0)
    inputs = (torch.randn(2, 3, 6, 6), torch.tensor([-3, 7]))
    assert difference(Conditioned().eval(), inputs, WIDEST, tmp_path) <= 1e-5


@pytest.mark.parametrize("bounds", [(0.25, None), (None, 0.25), (-0.25, 0.25), (float("-inf"), float("inf"))])
def test_clamp_has_one_bound_or_two(bounds: tuple[float | None, float | None], tmp_path: Path) -> None:
    class Clamped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.clamp(x, *bounds) + 1

    assert difference(Clamped().eval(), (torch.linspace(-1, 1, 9),), WIDEST, tmp_path) <= 1e-6


@pytest.mark.parametrize(
    "pick",
    [
        lambda y: y[:, -1],
        lambda y: y.select(1, -2),
        lambda y: y[:, torch.tensor([0, -1, 2])],
        lambda y: y[..., torch.tensor([[-1, 1], [-5, 3]])],
        lambda y: y[:, y.argmax(1) - 3],
    ],
    ids=["last", "select", "list", "table", "computed"],
)
def test_negative_indices_count_from_the_end(pick: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    class Picked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return pick(self.fc(x))

    torch.manual_seed(0)
    assert difference(Picked().eval(), (torch.randn(2, 3, 4),), WIDEST, tmp_path) <= 1e-5


def test_an_index_out_of_bounds_does_not_crash(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(10, 8), nn.Flatten(), nn.Linear(24, 4)).eval()
    library = tmp_path / "model.so"
    TvmCompiler(WIDEST).compile(model, (torch.tensor([[1, 2, 3]]),), library)
    inside, outside = torch.tensor([[1, 9, 3]]), torch.tensor([[1, 10**6, 3]])
    torch.testing.assert_close(run(library, [inside])[0], model(inside).detach())
    assert run(library, [outside])[0].shape == (1, 4)


def _difference(make: object, shape: tuple[int, ...], target: Target, folder: Path) -> float:
    assert callable(make)
    torch.manual_seed(0)
    return difference(settled(make()), (torch.randn(shape),), target, folder)
