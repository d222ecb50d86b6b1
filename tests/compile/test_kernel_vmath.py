"""exp, log, tanh and their like against the C library's in float64, over all magnitudes of float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from loading import WIDEST, run
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.compile.compiler import TvmCompiler

# The function, and its largest error relative to the larger of its value and the magnitude given.
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], float, float]] = {
    "exp": (torch.exp, 2e-7, 1e-38),
    "sigmoid": (torch.sigmoid, 2e-7, 1e-31),
    "tanh": (torch.tanh, 4e-7, 1e-38),
    "erf": (torch.erf, 4e-7, 1e-38),
    "log": (torch.log, 2e-7, 1e-38),
    "silu": (F.silu, 3e-7, 1e-28),
    "gelu": (F.gelu, 7e-7, 1.0),
    "softplus": (F.softplus, 2e-7, 1.0),
}
SPECIAL = (0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1.0, 1e-45, -1e-45, 1e-40, 88.72, 88.73, -87.4, -103.9, -104.1)


class Functions(nn.Module):
    """Every function of the one input."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(x) for function, _, _ in FUNCTIONS.values())


def inputs() -> Tensor:
    """Floats of any bits, some of each range in which a function does something, and special ones."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**31), 2**31, (50_000,), generator=generator).to(torch.int32).view(torch.float32)
    ranges = [torch.rand(5_000, generator=generator) * 2 * width - width for width in (0.1, 1.0, 10.0, 105.0)]
    return torch.cat([bits, *ranges, torch.tensor(SPECIAL)])


def test_functions_are_as_in_the_c_library(tmp_path: Path) -> None:
    x = inputs()
    TvmCompiler(WIDEST).compile(Functions().eval(), (x,), tmp_path / "functions.so")
    for (label, (function, bound, least)), found in zip(
        FUNCTIONS.items(), run(tmp_path / "functions.so", (x,)), strict=True
    ):
        exact = function(x.double())
        expected = exact.float()
        assert torch.equal(found.isnan(), expected.isnan()), label
        assert torch.equal(found.isposinf(), expected.isposinf()), label
        assert torch.equal(found.isneginf(), expected.isneginf()), label
        finite = expected.isfinite()
        error = (found[finite].double() - exact[finite]).abs() / exact[finite].abs().clamp_min(least)
        assert float(error.max()) <= bound, label
    symbols = set((tmp_path / "functions.so").read_bytes().split(b"\0"))
    assert not symbols & {b"expf", b"tanhf", b"erff", b"logf"}
