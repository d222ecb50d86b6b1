"""Winograd's convolution against torch: edges, odd widths, threads, its rounding, and where it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from loading import NEON, TARGETS, WIDEST, difference, run
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.compile import compiler, schedule
from joulefront.compile.compiler import TvmCompiler
from joulefront.compile.kernels import KERNELS, Choice
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.winograd import Winograd
from joulefront.kernel_records import Variant, Workload
from joulefront.records import Target

# Input and output channels, height, width, padding, batch.
SHAPES: list[tuple[int, int, int, int, int | tuple[int, int], int]] = [
    (16, 16, 17, 32, 1, 1),  # several blocks of tiles; a part of the lowest tiles
    (7, 44, 9, 13, (1, 0), 2),  # less than a vector in, an odd panel out
    (65, 4, 5, 6, 0, 1),  # tiles at the right that begin inside the map and end outside
    (12, 89, 2, 3, 2, 1),  # more padding than map; two panels that overlap
]


class Layer(nn.Module):
    """A convolution behind another, so that its input is NHWC, with a residual added and a ReLU."""

    def __init__(
        self, depth: int, channels: int, height: int, width: int, pad: int | tuple[int, int], batch: int
    ) -> None:
        super().__init__()
        self.shape = (batch, 4, height, width)
        self.first, self.layer = nn.Conv2d(4, depth, 1), nn.Conv2d(depth, channels, 3, 1, pad)
        self.residual = nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x[: torch.Size(self.shape).numel()].reshape(self.shape)
        y: Tensor = self.layer(self.first(x))
        return F.relu(y + self.residual(x)) if y.shape[2:] == x.shape[2:] else F.silu(y)


class Layers(nn.Module):
    """Several of them in one library: compiling is what takes time."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(*shape) for shape in SHAPES)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(layer(x) for layer in self.layers)


class Forced(Winograd):
    """The kernel wherever it applies, in the way that is predicted to be the worst: small blocks of tiles.

    Output tiles are of one size, or of either for every other input channel.
    """

    def __init__(self, size: int | None) -> None:
        self.size = size

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        size = self.size or (4, 2)[workload["data"][3] % 2]
        return {v: -cycles for v, cycles in super().variants(workload, machine).items() if v["size"] == (size,)}


def forced(monkeypatch: pytest.MonkeyPatch, size: int | None = None) -> None:
    kernels = (Forced(size), *(kernel for kernel in KERNELS if kernel.name != "winograd"))
    monkeypatch.setattr(compiler, "KERNELS", kernels)


def layer(depth: int, channels: int, side: int, **others: tuple[int, ...]) -> Workload:
    """A convolution by 3 x 3 of a square map, padded by one."""
    extents = {
        "data": (1, side, side, depth),
        "weight": (3, 3, depth, channels),
        "out": (1, side, side, channels),
        "stride": (1, 1),
        "pad": (1, 1, 1, 1),
        "dilation": (1, 1),
        "groups": (1,),
        "nchw": (0,),
    }
    return Workload("conv2d", tuple((extents | others).items()))


def test_it_computes_what_torch_does(target: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forced(monkeypatch)
    torch.manual_seed(0)
    assert difference(Layers().eval(), (torch.randn(4 * 17 * 32),), target, tmp_path) <= 1e-5


@pytest.mark.parametrize(("size", "bound"), [(2, 2e-6), (4, 1e-5)])
def test_rounding_is_bounded_with_many_channels(
    size: int, bound: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forced(monkeypatch, size)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 512, 1), nn.ReLU(), nn.Conv2d(512, 32, 3, padding=1)).eval()
    x = torch.randn(1, 1, 8, 8)
    TvmCompiler(WIDEST).compile(model, (x,), tmp_path / "model.so")
    (y,) = run(tmp_path / "model.so", (x,))
    with torch.inference_mode():
        expected = model.double()(x.double())
    assert float((y - expected).abs().max() / expected.abs().max()) <= bound


def test_its_anchor_is_valid_as_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forced(monkeypatch, 4)
    monkeypatch.setattr(schedule, "_kernel", lambda *_: None)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 5, 1), nn.Conv2d(5, 20, 3, padding=1))
    assert difference(model.eval(), (torch.randn(1, 4, 5, 6),), WIDEST, tmp_path) <= 1e-5


@pytest.mark.parametrize("target", [*TARGETS.values(), NEON])
def test_it_is_chosen_where_it_is_faster(target: Target) -> None:
    choice = Choice(KERNELS, Machine.of(target))

    def chosen(workload: Workload) -> str:
        return next(iter(choice.variants(workload))).kernel

    assert {chosen(layer(channels, channels, side)) for channels, side in ((64, 56), (89, 28), (16, 32))} == {
        "winograd"
    }
    assert chosen(layer(2048, 2048, 1)) == "conv2d"  # one output: nothing but weights to read


@pytest.mark.parametrize(
    "workload",
    [
        layer(64, 64, 56, stride=(2, 2), out=(1, 28, 28, 64)),
        layer(64, 64, 56, dilation=(2, 2), pad=(2, 2, 2, 2)),
        layer(64, 64, 56, groups=(2,), weight=(3, 3, 32, 64)),
        layer(64, 64, 56, weight=(5, 5, 64, 64), pad=(2, 2, 2, 2)),
        layer(3, 64, 56),
        layer(64, 64, 56, nchw=(1,), data=(1, 64, 56, 56)),
    ],
)
def test_it_does_not_apply_to_other_convolutions(workload: Workload) -> None:
    assert Winograd().variants(layer(64, 64, 56), Machine(8, 16, 1))
    assert not Winograd().variants(workload, Machine(8, 16, 1))


def test_a_setting_switches_it_off(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.Conv2d(1, 64, 1), nn.Conv2d(64, 64, 3, padding=1)).eval(), torch.ones(1, 1, 28, 28)
    compilers = [TvmCompiler(WIDEST), TvmCompiler(WIDEST, winograd=False)]
    libraries = [tmp_path / "with.so", tmp_path / "without.so"]
    for one, library in zip(compilers, libraries, strict=True):
        one.compile(model, (x,), library)
    sizes_b = [library.stat().st_size for library in libraries]
    assert sizes_b[0] > 36 * 64 * 64 * 4 > sizes_b[1] > 9 * 64 * 64 * 4  # transformed weights, and plain ones
    assert compilers[0].key != compilers[1].key
