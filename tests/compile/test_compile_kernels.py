"""Each kernel against torch, over shapes, strides, paddings, widths and what is fused behind it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import tvm
import tvm_ffi
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from loading import TARGETS, difference
from torch import Tensor, nn
from torch.nn import functional as F
from tvm import tirx
from tvm.sym import Analyzer

from joulefront.compile.export import imported
from joulefront.compile.kernels import Choice, Machine, tiles
from joulefront.compile.kernels.conv2d import Conv2d
from joulefront.compile.kernels.dense import Dense
from joulefront.compile.lower import lower
from joulefront.compile.simplify import simplify
from joulefront.kernel_records import Variant, Workload
from joulefront.records import Target

EPILOGUES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda y: y,
    F.relu,
    F.relu6,
    F.silu,
    F.hardswish,
    lambda y: F.relu(y * 0.5 + 1.0) - y,
    lambda y: y.mean((2, 3)) if y.ndim == 4 else y.sum(-1),
    lambda y: F.max_pool2d(y, 2, 1, 1) if y.ndim == 4 else torch.tanh(y),
)

sides = st.integers(1, 3)
widths = st.sampled_from([1, 2, 3, 8, 13, 16, 17, 31, 40, 64, 65, 89])
epilogues = st.sampled_from(EPILOGUES)


class Branch(nn.Module):
    """One layer, perhaps two whose outputs are added, and an epilogue.

    ``first`` runs before them: behind a convolution a map is NHWC, while a network's input is read as NCHW.
    """

    def __init__(
        self,
        layers: list[nn.Module],
        shape: tuple[int, ...],
        epilogue: Callable[[Tensor], Tensor],
        first: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.first = first or nn.Identity()
        self.layers, self.shape, self.epilogue = nn.ModuleList(layers), shape, epilogue

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x[: torch.Size(self.shape).numel()].reshape(self.shape))
        total = self.layers[0](x)
        for layer in self.layers[1:]:
            total = total + layer(x)
        return self.epilogue(total)


class Branches(nn.Module):
    """Several branches in one library: compiling is what takes time."""

    def __init__(self, branches: list[Branch]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(branch(x) for branch in self.branches)


@st.composite
def convolutions(draw: st.DrawFn) -> Branch:
    """A convolution whose kernel fits its padded input, with any stride and padding."""
    channels, out = draw(widths), draw(widths)
    kernel, stride = (draw(sides), draw(sides)), (draw(sides), draw(sides))
    pad = (draw(st.integers(0, kernel[0])), draw(st.integers(0, kernel[1])))
    height, width = (draw(st.integers(max(extent, 2), 19)) for extent in kernel)
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out, kernel, stride, pad, bias=draw(st.booleans())) for _ in range(draw(st.integers(1, 2)))
    ]
    first = draw(st.sampled_from([nn.Conv2d(channels, channels, 1), None]))
    return Branch(layers, (draw(st.integers(1, 2)), channels, height, width), draw(epilogues), first)


@st.composite
def products(draw: st.DrawFn) -> Branch:
    """A linear layer on one to three leading dimensions."""
    depth, out = draw(st.integers(1, 70)), draw(widths)
    leading = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    epilogue = draw(epilogues) if len(leading) != 3 else F.relu
    return Branch([nn.Linear(depth, out, bias=draw(st.booleans()))], (*leading, depth), epilogue)


@st.composite
def depthwise(draw: st.DrawFn) -> Branch:
    """A depthwise convolution."""
    channels, kernel = draw(widths.filter(lambda width: width > 1)), draw(st.sampled_from([3, 5]))
    layer = nn.Conv2d(channels, channels, kernel, draw(sides), kernel // 2, groups=channels)
    return Branch([layer], (1, channels, draw(st.integers(5, 12)), draw(st.integers(5, 12))), draw(epilogues))


networks = st.builds(
    lambda *branches: Branches([branch for some in branches for branch in some]).eval(),
    st.lists(convolutions(), min_size=3, max_size=3),
    st.lists(products(), min_size=2, max_size=2),
    st.lists(depthwise(), min_size=1, max_size=1),
)


def edges() -> Branches:
    """Where the loops have more than one part: tiles of two sizes, panels with an odd last one, padding all around."""
    return Branches(
        [
            Branch([nn.Conv2d(3, 89, 1)], (1, 3, 5, 7), F.relu),
            Branch([nn.Linear(9, 70)], (2, 19, 9), F.relu),
            Branch([nn.Conv2d(2, 33, 3, padding=1)], (1, 2, 4, 47), F.relu),
            Branch([nn.Conv2d(2, 33, 3, padding=1)], (2, 2, 4, 47), F.relu, nn.Conv2d(2, 2, 1)),
            Branch([nn.Conv2d(3, 20, (2, 3), (2, 1))], (2, 3, 6, 23), F.relu, nn.Conv2d(3, 3, 1)),
            Branch([nn.Conv2d(3, 5, 1, padding=2)], (1, 3, 2, 2), F.relu),
            Branch([nn.Linear(517, 3)], (1, 517), F.relu),
        ]
    )


def test_kernels_of_several_parts(target: Target) -> None:
    check(edges(), target)


@given(width=st.integers(1, 300), most=st.integers(1, 31))
def test_tiles_lie_side_by_side_and_differ_by_one_at_most(width: int, most: int) -> None:
    cut = tiles.split(width, most)
    assert [pixel for first, size in cut for pixel in range(first, first + size)] == list(range(width))
    assert max(size for _, size in cut) <= min(most, min(size for _, size in cut) + 1)


def test_a_large_map_is_cut_in_no_time() -> None:
    begin_s = time.process_time()
    tiles.split(224 * 224, 1)
    tiles.costs(Machine(16, 32, 1), width=224 * 224, rows=1, channels=64, depth=64)
    assert time.process_time() - begin_s < 1.0


class Direct(Conv2d):
    """Direct convolution with its rows outside its panels, or the other way round."""

    def __init__(self, rows_outside: int) -> None:
        self.rows_outside = rows_outside

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        wanted = (self.rows_outside,)
        return {v: cycles for v, cycles in super().variants(workload, machine).items() if v["rows_outside"] == wanted}


@pytest.mark.parametrize("rows_outside", [0, 1])
def test_what_is_asked_for_ahead_is_inside_the_weights(rows_outside: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 128, 3)).eval()
    choice = Choice((Direct(rows_outside), Dense()), Machine.of(TARGETS["avx2"]))
    module = lower(simplify(imported(model, (torch.zeros(1, 3, 6, 6),))), choice)
    (function,) = (f for v, f in module.functions_items() if v.name_hint.startswith("fused_conv2d"))
    loops: list[Any] = []
    asked: list[Any] = []

    def note(node: Any) -> Any:
        if isinstance(node, tirx.For):
            loops.append(node)
        elif node.op.name == "tirx.prefetch":
            asked.append(node.args[0].args[0].indices[0])
        return node

    tvm_ffi.structural_map(function.body, ((tirx.For, tvm.ir.Call), note))
    analyzer = Analyzer()
    for one in reversed(loops):  # the outer ones are noted last
        analyzer.bind(one.loop_var, tvm.ir.Range.from_min_extent(one.min, one.extent))
    bounds = [analyzer.const_int_bound(at) for at in asked]
    assert bounds
    assert all(0 <= bound.min_value <= bound.max_value < 3 * 3 * 64 * 128 for bound in bounds)


@given(network=networks)
@settings(
    max_examples=3,
    derandomize=True,
    phases=[Phase.generate],  # shrinking would compile for minutes
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_kernels_compute_what_torch_does(network: Branches, target: Target) -> None:
    check(network, target)


def check(network: Branches, target: Target) -> None:
    """The compiled network computes what torch does, with weights and inputs that are always the same."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)
    x = torch.randn(2 * 89 * 19 * 19, generator=generator)
    with tempfile.TemporaryDirectory() as folder:
        assert difference(network.eval(), (x,), target, Path(folder)) <= 1e-5
