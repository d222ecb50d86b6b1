"""Pooling with padding: nothing is copied, since what is outside the map is decided where it is read."""

from __future__ import annotations

from pathlib import Path

import torch
from loading import WIDEST, difference
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.compile.export import imported
from joulefront.compile.kernels import KERNELS, Choice, Machine
from joulefront.compile.lower import lower
from joulefront.compile.simplify import simplify


class Pools(nn.Module):
    """Pools of an NHWC map of an odd width."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 21, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x)
        return F.max_pool2d(y, 3, 2, 1), F.max_pool2d(y, 3, 2, 1, ceil_mode=True), F.avg_pool2d(y, 3, 1, 1)


def test_padded_pools_copy_nothing(tmp_path: Path) -> None:
    x = torch.randn(2, 2, 8, 11, generator=torch.Generator().manual_seed(0))
    module = lower(simplify(imported(Pools().eval(), (x,))), Choice(KERNELS, Machine.of(WIDEST)))
    pools = {name.name_hint: function for name, function in module.functions_items() if "pool" in name.name_hint}
    assert len(pools) == 3
    assert not [name for name, function in pools.items() if "pad" in function.script(show_meta=False)]
    torch.manual_seed(0)
    assert difference(Pools().eval(), (x,), WIDEST, tmp_path) <= 1e-5
