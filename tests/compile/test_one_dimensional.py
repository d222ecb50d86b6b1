"""One-dimensional networks computed as two-dimensional ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from loading import WIDEST, difference, settled
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.compile.export import imported
from joulefront.compile.simplify import simplify


class Sequences(nn.Module):
    """Convolutions over sequences, and what may come between and behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(6, 9, 5, 2, 2, bias=False), nn.BatchNorm1d(9)
        self.dilated = nn.Conv1d(9, 9, 3, padding="same", dilation=2)
        self.depthwise = nn.Conv1d(9, 9, 4, groups=9, padding=(2,))
        self.transposed = nn.ConvTranspose1d(9, 5, 4, 3, 1, output_padding=1)
        self.slope = nn.PReLU(9)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        pooled = F.max_pool1d(F.relu(self.norm(self.conv(x))), 3, 2, 1)
        both = torch.cat([pooled, self.dilated(pooled) * pooled], 1)
        return (
            F.gelu(F.avg_pool1d(self.dilated(self.slope(pooled)), 2)),
            self.depthwise(pooled).mean(-1),
            self.transposed(pooled).sum((1, 2)),
            torch.cat([both, both.mean(2, keepdim=True)], 2),
            F.adaptive_avg_pool1d(both + x[:, :1, :32], 1).flatten(1),
            x + pooled.mean(),
        )


def test_sequences_are_computed_as_in_torch(tmp_path: Path) -> None:
    assert difference(settled(Sequences()), (torch.randn(2, 6, 128),), WIDEST, tmp_path) <= 1e-5


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.PReLU(8), nn.GELU()])
def test_nothing_is_moved_between_convolutions(activation: nn.Module) -> None:
    layers = [nn.Conv1d(6, 8, 3), nn.BatchNorm1d(8), activation, nn.Conv1d(8, 8, 3), nn.BatchNorm1d(8), activation]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3))
    text = simplify(imported(settled(model), (torch.zeros(1, 6, 32),))).script(show_meta=False)
    assert "conv1d" not in text
    assert text.count("permute_dims") == 1  # of the input
