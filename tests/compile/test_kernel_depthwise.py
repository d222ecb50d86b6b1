"""Depthwise convolution against torch, over kernels, strides, paddings, dilations, multipliers and odd widths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from loading import NEON, WIDEST, difference
from torch import Tensor, nn

from joulefront.compile.compiler import TvmCompiler
from joulefront.compile.kernels import Choice, Machine
from joulefront.compile.kernels.depthwise import Depthwise
from joulefront.kernel_records import Variant, Workload
from joulefront.records import Target

Case = tuple[int, int, int | tuple[int, int], int | tuple[int, int], int | tuple[int, int], int | tuple[int, int]]

# Channels, multiplier, kernel, stride, padding, dilation: vectors that overlap, none of a full one, windows that are
# wholly outside, maps of several tiles.
CASES: list[Case] = [
    (16, 1, 3, 1, 1, 1),
    (24, 1, 3, 2, 1, 1),
    (13, 1, 5, 1, 2, 1),
    (3, 1, 3, 1, 0, 1),
    (67, 1, 7, 1, 3, 1),
    (32, 2, 3, 1, 1, 1),
    (33, 3, (3, 5), (1, 2), (0, 2), 1),
    (40, 1, 3, 1, 3, 2),
    (2, 1, (1, 3), 1, (0, 1), 1),
    (96, 1, 3, (2, 1), (1, 3), (1, 3)),
    (130, 1, 5, 2, 2, 1),
]


class Depthwises(nn.Module):
    """A depthwise convolution for each case, of some channels of one map; some are padded on one side."""

    def __init__(self, cases: list[Case]) -> None:
        super().__init__()
        self.before = nn.Conv2d(4, 130, 1)
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(channels, channels * multiplier, kernel, stride, pad, dilation, groups=channels)
                for channels, multiplier, kernel, stride, pad, dilation in cases
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        whole = self.before(x)
        maps = [whole[:, : layer.in_channels] for layer in self.layers]
        maps = [nn.functional.pad(y, (0, 1, 2, 0)) if number % 3 == 0 else y for number, y in enumerate(maps)]
        return tuple(torch.relu(layer(y)) for layer, y in zip(self.layers, maps, strict=True))


def network(cases: list[Case]) -> Depthwises:
    torch.manual_seed(0)
    return Depthwises(cases).eval()


def test_depthwise_computes_what_torch_does(target: Target, tmp_path: Path) -> None:
    cases = CASES if target.threads == 1 else CASES[4:7]
    assert difference(network(cases), (torch.randn(2, 4, 9, 11),), target, tmp_path) <= 1e-5


def test_several_tiles_a_row_and_blocks_of_rows_that_do_not_divide_the_map(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offered = Depthwise.variants
    monkeypatch.setattr(Depthwise, "variants", lambda *asked: {_short(v): 1.0 for v in offered(*asked)})
    assert difference(network(CASES[:3]), (torch.randn(1, 4, 17, 37),), WIDEST, tmp_path) <= 1e-5


def _short(variant: Variant) -> Variant:
    return Variant(variant.kernel, (*((name, v) for name, v in variant.parameters if name != "block"), ("block", (5,))))


def workload(channels: int, groups: int, side: int = 14) -> Workload:
    shape = (1, side, side)
    extents = (
        ("data", (*shape, groups)),
        ("weight", (3, 3, 1, channels)),
        ("out", (*shape, channels)),
        ("stride", (1, 1)),
        ("pad", (1, 1, 1, 1)),
        ("dilation", (1, 1)),
        ("groups", (groups,)),
        ("nchw", (0,)),
    )
    return Workload("conv2d", extents)


def test_only_convolutions_of_one_input_channel_are_depthwise() -> None:
    kernel, avx2 = Depthwise(), Machine(8, 16, 1)
    assert kernel.variants(workload(32, 32), avx2)
    assert not kernel.variants(workload(32, 1), avx2)


@pytest.mark.parametrize("channels", [1, 3, 7, 24, 144, 961])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_a_panel_never_has_more_channels_than_there_are(channels: int, lanes: int) -> None:
    vectors = Machine(lanes, 16, 1)
    for variant in Depthwise().variants(workload(channels * 2, channels), vectors):
        assert variant["tile"][0] * min(lanes, 1 << channels.bit_length() - 1) <= channels


def test_several_threads_get_a_part_each() -> None:
    threads = Machine(16, 32, 4)
    for variant in Depthwise().variants(workload(16, 16), threads):
        assert -(-14 // variant["block"][0]) >= threads.threads


def test_an_odd_width_is_predicted_to_take_no_longer_than_the_next_multiple() -> None:
    avx512 = Machine(16, 32, 1)
    choice = Choice((Depthwise(),), avx512)
    odd, even = (next(iter(choice.variants(workload(width, width)).values())) for width in (89, 96))
    assert odd <= even


def test_neon_code_is_made(tmp_path: Path) -> None:
    library = tmp_path / "model.so"
    TvmCompiler(NEON).compile(network(CASES[:2]), (torch.randn(1, 4, 9, 9),), library)
    assert library.stat().st_size > 0
