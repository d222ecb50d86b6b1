"""The import without torch's decompositions: which graphs it takes, and that it takes them rightly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loading import WIDEST, difference, settled
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.compile import direct
from joulefront.compile.compiler import TvmCompiler
from joulefront.errors import CompileError


class Module(nn.Module):
    """A function as a module, with a few layers at hand."""

    def __init__(self, function: Callable[[Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.conv, self.norm, self.linear = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 8)
        self.rows = nn.LayerNorm(8)
        self.parameter = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def every(self: Module, x: Tensor) -> Tensor:
    """Operators of many kinds, among them those that write over what nobody reads again."""
    y = self.norm(self.conv(x))
    y = F.relu_(y) + F.hardswish(y * 0.5) - F.relu6(y).div(3.0).neg()
    y = F.silu(F.max_pool2d(y, 2)) * torch.sigmoid(F.adaptive_avg_pool2d(y, 1))
    parts = torch.cat([*y.chunk(2, 1), y.split(4, 1)[1].contiguous()], 1)[:, :, 1:]
    rows = self.linear(self.rows(y.flatten(2).transpose(1, 2))).unsqueeze(1)
    query, key, value = (F.gelu(rows), rows.tanh(), rows.expand(1, 1, -1, -1))
    mixed = F.scaled_dot_product_attention(query, key, value) + F.scaled_dot_product_attention(
        query, key, value, scale=0.3
    )
    return F.dropout(mixed.mean(2).reshape(1, 8), training=False) + parts.mean((2, 3))[:, :8].softmax(-1)


def padded_by_words(self: Module, x: Tensor) -> Tensor:
    """Convolutions whose padding is a word."""
    weight, bias = self.conv.weight, self.conv.bias
    return F.conv2d(x, weight, bias, padding="same") + F.conv2d(F.pad(x, (1, 1, 1, 1)), weight, bias, padding="valid")


def read_again(self: Module, x: Tensor) -> Tensor:
    """What is written over is read again afterwards, by the name that it had."""
    y = self.conv(x)
    z = y * 0.5
    F.relu_(y)
    return y.mul(2.0) + z


def under_another_name(self: Module, x: Tensor) -> Tensor:
    """What is written over is read again afterwards, as a view that was taken before."""
    y = self.conv(x)
    view = y.flatten(1)
    y.add_(1.0)
    return view


def through_a_view(self: Module, x: Tensor) -> Tensor:
    """A view is written over, and what it is a view of is read again."""
    y = self.conv(x)
    F.relu_(y.flatten(1))
    return y + 1.0


def batch_statistics(_self: Module, x: Tensor) -> Tensor:
    """BatchNorm without running statistics, which normalises by the batch in eval mode, too."""
    return F.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize(
    "function", [every, padded_by_words, read_again, under_another_name, through_a_view, batch_statistics]
)
def test_the_import_is_right_by_whichever_way(function: Callable[[Module, Tensor], Tensor], tmp_path: Path) -> None:
    model, x = settled(Module(function)), torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    assert direct.is_known(torch.export.export(model, (x,))) == (function in {every, read_again})
    assert difference(model, (x,), WIDEST, tmp_path) <= 1e-5


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda _, x: torch.add(x, x, alpha=2), r"add with alpha=2: multiply first"),
        (lambda _, x: F.avg_pool2d(x, 2, divisor_override=3), r"avg_pool2d with divisor_override=3: divide afterwards"),
    ],
)
def test_what_tvm_would_compute_wrongly_is_refused(
    function: Callable[[Module, Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CompileError, match=message):
        TvmCompiler(WIDEST).compile(Module(function).eval(), (torch.ones(1, 3, 12, 12),), tmp_path / "model.so")
