"""Functions without a kernel behind which they could be fused, against torch: concatenations, pads, slices, transposes."""

from __future__ import annotations

from pathlib import Path

import torch
import tvm
from hypothesis import given
from hypothesis import strategies as st
from loading import difference
from torch import Tensor, nn
from torch.nn import functional as F
from tvm import tirx

from joulefront.compile.kernels import pieces
from joulefront.records import Target


class Moves(nn.Module):
    """Everything that moves data, and what is fused to it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 19, 1), nn.Conv2d(3, 32, 1), nn.Conv2d(3, 5, 1)
        self.norm = nn.BatchNorm2d(56)
        self.scale = nn.Parameter(torch.randn(1, 56, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b, c = self.a(x), self.b(x), self.c(x)
        joined = F.relu(self.norm(torch.cat([a, b, c], 1)))
        return (
            joined,
            joined * self.scale,
            joined[:, ::2, 1::3],
            F.pad(b, (1, 2, 3, 0)),
            F.pad(joined, (0, 1, 1, 0), value=1.5) * 2,
            b * torch.sigmoid(F.adaptive_avg_pool2d(b, 1)),
            torch.cat([a, a * 2], 0),
            torch.cat([b[:, :, :2], b[:, :, 3:]], 2),
            torch.stack([b, b + 1], 1),
            F.pixel_shuffle(b[:, :16], 2) + 1,
            b.chunk(2, 1)[1] - b.chunk(2, 1)[0],
            torch.exp(c) * c,
            x.flatten(1) * 2,
            (a.permute(0, 2, 3, 1) + 1.0).contiguous(),
            b.transpose(2, 3) * 3.0,
            torch.cat([a.transpose(2, 3), b.transpose(2, 3) * 2], 1),
            a.reshape(2, 19, -1).transpose(1, 2),
        )


def test_what_moves_data_moves_it_as_torch_does(target: Target, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Moves().eval()
    network.norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    network.norm.running_mean.normal_()  # type: ignore[union-attr]
    assert difference(network, (torch.randn(2, 3, 9, 17),), target, tmp_path) <= 1e-5


sources = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@given(sources=sources, step=st.sampled_from([-2, -1, 1, 3]), shift=st.integers(-9, 9))
def test_within_a_piece_nothing_is_decided(sources: list[int], step: int, shift: int) -> None:
    axis, extent = tirx.Var("axis", "int64"), sum(sources)
    value = tirx.if_then_else(axis * step + shift < 0, tirx.FloatImm("float32", 0.5), tirx.FloatImm("float32", -0.5))
    first = 0
    for number, width in enumerate(sources):
        last = tirx.FloatImm("float32", float(number))
        value = tirx.if_then_else(tirx.all(axis >= first, axis <= first + width - 1), last, value)
        first += width
    value = tirx.if_then_else(axis * step + shift < 0, value + 100.0, value)
    found = pieces.pieces(value, {axis: extent})
    places = [place for piece in found for place in range(piece.starts[0], piece.stops[0])]
    assert places == list(range(extent))
    for piece in found:
        assert isinstance(piece.value, tirx.FloatImm)
        for place in range(piece.starts[0], piece.stops[0]):
            number = next(n for n in range(len(sources)) if place < sum(sources[: n + 1]))
            assert float(piece.value.value) == number + (100 if place * step + shift < 0 else 0)


def test_a_concatenation_has_a_piece_for_each_source() -> None:
    axis = tirx.Var("axis", "int64")
    value = tirx.if_then_else(axis >= 32, tirx.FloatImm("float32", 1.0), tirx.FloatImm("float32", 0.0))
    assert [(piece.starts, piece.stops) for piece in pieces.pieces(value, {axis: 64})] == [
        ((0,), (32,)),
        ((32,), (64,)),
    ]


def test_too_many_pieces_are_none() -> None:
    rows, columns = tirx.Var("rows", "int64"), tirx.Var("columns", "int64")
    value = tirx.FloatImm("float32", 0.0)
    for place in range(1, 12):
        value = tirx.if_then_else(tirx.all(rows >= place, columns >= place), tirx.FloatImm("float32", place), value)
    (whole,) = pieces.pieces(value, {rows: 20, columns: 20})
    assert (whole.starts, whole.stops) == ((0, 0), (20, 20))


def test_slopes() -> None:
    axis, other = tirx.Var("axis", "int64"), tirx.Var("other", "int64")
    assert pieces.slope(axis * 12 + other, axis) == 12
    assert pieces.slope(other, axis) == 0
    assert pieces.slope(tirx.floordiv(axis, tvm.tirx.IntImm("int64", 2)), axis) is None
