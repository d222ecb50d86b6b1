"""Sums, means and variances along the last axis, in vectors."""

from __future__ import annotations

from pathlib import Path

import torch
from loading import WIDEST, error
from torch import Tensor, nn

from joulefront.compile.compiler import TvmCompiler


class Reductions(nn.Module):
    """Reductions whose elements lie side by side, of rows that are odd, short, and whole vectors."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = x + 1.0
        return (
            x.mean(-1),
            torch.relu(x.sum((1, 3)) - 35 * 7),
            x.mean(),
            x.var(-1),
            torch.norm(x[..., :3], dim=-1),
            x[..., :32].mean((2, 3), keepdim=True) * x[..., :1],
            torch.exp(x[:, 0]).sum((0, 2)),
            -x[..., 0].sum((0, 1)),
        )


def test_reductions_are_as_in_torch(tmp_path: Path) -> None:
    x = torch.randn(2, 5, 7, 41, generator=torch.Generator().manual_seed(0))
    model, library = Reductions().eval(), tmp_path / "model.so"
    assert not TvmCompiler(WIDEST).compile(model, (x,), library).fallbacks
    assert error(model, (x,), library) <= 1e-5
