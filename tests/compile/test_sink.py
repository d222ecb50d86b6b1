"""Reshapes and transpositions that undo one another go."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from loading import WIDEST, difference, settled
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.compile.export import imported
from joulefront.compile.simplify import simplify


class ChannelsLast(nn.Module):
    """A layer norm over the channels of a map, as ConvNeXt has it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return result


class Moves(nn.Module):
    """Reshapes and transpositions before all kinds of elementwise operators."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, row, column = x.permute(0, 2, 1), torch.arange(5.0), torch.arange(6.0)[:, None]
        flat = x.reshape(2, 30)
        return (
            y * row + column,
            y + x.reshape(2, 6, 5),
            torch.where(y > 0.5, y, y * column).permute(0, 2, 1),
            F.relu(flat).reshape(2, 5, 6) + x * x.reshape(2, 30, 1).reshape(2, 5, 6),
            flat * torch.arange(30.0) - flat[:, :1],
            x.reshape(2, 1, 5, 6) + torch.arange(2.0)[:, None, None, None] * x.reshape(2, 1, 5, 6),
            y.mean(1),
            y.permute(2, 0, 1).sum((0, 2), keepdim=True),
            x.permute(2, 1, 0).mean(1) * 2,
            F.softmax(x.reshape(2, 30).reshape(10, 6), -1),
            F.softmax(x.reshape(60).reshape(10, 6), 0),
        )


def test_what_is_moved_comes_out_as_in_torch(tmp_path: Path) -> None:
    assert difference(Moves().eval(), (torch.randn(2, 5, 6),), WIDEST, tmp_path) <= 1e-5


@pytest.mark.parametrize(
    "between", [ChannelsLast(8), nn.PReLU(8), nn.Sequential(nn.PReLU(8), ChannelsLast(8), nn.GELU())], ids=repr
)
def test_maps_are_moved_once(between: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), between, nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    text = simplify(imported(settled(model), (torch.zeros(1, 3, 9, 9),))).script(show_meta=False)
    assert text.count("permute_dims") == 1  # of the input


def test_products_and_their_activations_meet() -> None:
    model = nn.Sequential(nn.Linear(8, 5), nn.GELU(), nn.LayerNorm(5), nn.Linear(5, 4))
    text = simplify(imported(settled(model), (torch.zeros(2, 3, 8),))).script(show_meta=False)
    assert text.count("reshape") == 0
