"""Depthwise convolution: vectors of channels, and neighbouring pixels that share what they read.

Each output channel reads one input channel, so there is nothing to broadcast: a vector holds neighbouring channels of one
pixel. A tile is a few pixels of a row; each of its input columns is loaded once and multiplied by all of the kernel's
columns that meet it there. The last panel of channels begins earlier where the channels are not a multiple: what two
panels share is computed twice, alike, which costs less than a tail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tvm import relax, te, tirx
from tvm.tirx import ForKind
from tvm.tirx.stmt import AllocBuffer

from joulefront.compile.kernels import tiles
from joulefront.compile.kernels.anchor import Anchor, Site, attributes
from joulefront.compile.kernels.graph import FUSABLE, OPAQUE, call_anchor
from joulefront.compile.kernels.machine import FLOAT_B, Machine
from joulefront.compile.kernels.tir import (
    Buffer,
    Expr,
    Stmt,
    dims,
    flat,
    index,
    let,
    loop,
    nest,
    sequence,
    stack,
    store_vector,
    vector,
    zeros,
)
from joulefront.compile.kernels.window import Axis
from joulefront.kernel_records import Variant, Workload

_PIXELS = 14  # a longer tile saves hardly a load and lengthens the code
_CACHED_B = 1 << 18  # a block of rows that stays in the second cache while one panel after another sweeps it


class Depthwise:
    """Convolution of NHWC data in which each output channel reads one input channel."""

    name = "depthwise"
    operator = "conv2d"

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """See Kernel.variants."""
        _, kw, depth, channels = workload["weight"]
        (groups,), (nchw,) = workload["groups"], workload["nchw"]
        if depth != 1 or groups == 1 or nchw:
            return {}
        lanes = machine.lanes_within(groups)
        found: dict[Variant, float] = {}
        for vectors in (v for v in (1, 2, 4) if v * lanes <= groups):
            panels = -(-groups // (vectors * lanes)) * channels // groups
            most = min(_PIXELS, (machine.registers - 2 * vectors) // vectors - kw, workload["out"][2])
            for pixels in range(1, max(1, most) + 1):
                for block in _blocks(workload, panels, machine):
                    variant = Variant(self.name, (("tile", (vectors, pixels)), ("block", (block,))))
                    found[variant] = panels * _cycles(workload, vectors, pixels, block)
        return found

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:
        """See Kernel.call."""
        workload = site.workload
        out, stride, pad, dilation = (workload[name] for name in ("out", "stride", "pad", "dilation"))
        (_, height, width, groups), (kh, kw, _, channels) = workload["data"], workload["weight"]
        panel = variant["tile"][0] * machine.lanes_within(groups)
        panels, multiplier = -(-groups // panel), channels // groups
        assert site.weight is not None
        packed = _pack(site.weight, groups, panel)
        annotations = attributes(site, variant)

        def compute(data: Any, packed: Any) -> Any:
            axes = [te.reduce_axis((0, extent), name) for name, extent in (("kh", kh), ("kw", kw))]

            def value(n: Expr, y: Expr, x: Expr, c: Expr) -> Expr:
                i, j = axes
                group, member = c // multiplier, c % multiplier
                row = y * stride[0] + i * dilation[0] - pad[0]
                column = x * stride[1] + j * dilation[1] - pad[1]
                within = tirx.all(row >= 0, row < height, column >= 0, column < width)
                read = tirx.if_then_else(within, data(n, row, column, group), tirx.const(0.0, "float32"))
                place = group - tirx.min(group // panel * panel, groups - panel)
                return te.sum(read * packed(member * panels + group // panel, i, j, place), axis=axes)

            return te.compute(out, value, name=self.name, attrs=annotations)

        pattern = OPAQUE if out[1] * out[2] == 1 else FUSABLE
        return call_anchor(builder, compute, [*site.inputs, relax.const(packed)], self.name, pattern)

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """See Fusable.emit."""
        vectors, pixels = anchor.integers("tile")
        (block,) = anchor.integers("block")
        batch, rows, columns, channels = anchor.shape
        data, declare_data = flat(anchor.inputs[0])
        weight, declare_weight = flat(anchor.inputs[1])
        tile = _Tile.of(anchor, data, weight, vectors, machine)
        panels = -(-tile.channels // tile.panel)
        blocks = -(-rows // block)
        bands = tile.bands(columns, pixels)

        def swept(n: Expr, b: Expr, member: Expr, panel: Expr) -> Stmt:
            base = tirx.min(panel * tile.panel, index(tile.channels - tile.panel)) if panels > 1 else index(0)
            packed = (member * panels + panel) * (tile.rows.size * tile.columns.size * tile.panel)

            def row(y: Expr) -> Stmt:
                def tiled(band: _Band, count: int) -> Stmt:
                    return loop(
                        "tile",
                        count,
                        lambda t: tile.emit(anchor, n, y, band.first + t * band.size, band, base, packed, member),
                    )

                return sequence([tiled(band, count) for band, count in bands])

            first = b * block
            count = block if rows % block == 0 else tirx.min(index(block), rows - first)
            # Not from ``first``: TVM forgets to shift the bounds of the loops inside one that does not begin at 0.
            return loop("y", count, lambda y: row(first + y))

        macs = batch * rows * columns * channels * tile.rows.size * tile.columns.size
        extents = [("n", batch), ("block", blocks), ("member", channels // tile.channels), ("panel", panels)]
        return sequence([declare_data, declare_weight, nest(extents, swept, parallel=machine.parallel(macs))])


def _blocks(workload: Workload, panels: int, machine: Machine) -> set[int]:
    """Into how many rows the map may be cut: all, or fewer, such that there is enough to share out among the threads."""
    batch, rows, columns, _ = workload["out"]
    wanted = 2 * machine.threads if machine.threads > 1 else 1
    cached = _CACHED_B // (FLOAT_B * columns * workload["groups"][0])
    found = {min(rows, max(1, count)) for count in (rows, cached)}
    return {block for block in found if batch * -(-rows // block) * panels >= wanted} or {max(1, rows // wanted)}


def _cycles(workload: Workload, vectors: int, pixels: int, block: int) -> float:
    """What a panel of channels is predicted to take: two multiply-adds or two loads a cycle, and what a block of rows
    reads anew, at two cycles a vector."""
    batch, rows, columns, _ = workload["out"]
    (kh, kw, _, _), (down, right, *_) = workload["weight"], workload["stride"]
    cycles = 0.0
    for _, size in tiles.split(columns, pixels):
        loads = kw + len({pixel * right + j for pixel in range(size) for j in range(kw)})
        cycles += kh * max(vectors * size * kw / 2, vectors * loads / 2, 4.0) + 5 + 2 * vectors * size
    again = 2 * vectors * workload["data"][2] * ((block - 1) * down + kh) / block
    return batch * rows * (cycles + again)


class _Band(NamedTuple):
    """Neighbouring tiles of ``size`` pixels; ``taps`` has, for each input column that they read, counted from the first
    pixel's place in the input, the (pixel, kernel column) that meet there."""

    first: int
    size: int
    taps: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]


class _Tile(NamedTuple):
    """What all tiles of a depthwise convolution have in common, in elements."""

    data: Buffer
    weight: Buffer
    rows: Axis
    columns: Axis
    channels: int
    multiplier: int
    lanes: int
    vectors: int

    @classmethod
    def of(cls, anchor: Anchor, data: Buffer, weight: Buffer, vectors: int, machine: Machine) -> _Tile:
        *_, channels = dims(anchor.inputs[0])
        window = [anchor.integers(name) for name in ("weight", "stride", "pad", "dilation")]
        rows, columns = (
            Axis(dims(anchor.inputs[0])[1 + axis], anchor.shape[1 + axis], *(values[axis] for values in window))
            for axis in (0, 1)
        )
        multiplier, lanes = anchor.shape[3] // channels, machine.lanes_within(channels)
        return cls(data, weight, rows, columns, channels, multiplier, lanes, vectors)

    @property
    def panel(self) -> int:
        return self.vectors * self.lanes

    def bands(self, columns: int, most: int) -> list[tuple[_Band, int]]:
        """The tiles of an output row, as bands and how many tiles each has."""
        found: list[tuple[_Band, int]] = []
        for first, size in tiles.split(columns, most):
            band = _Band(first, size, self._taps(first, size))
            if found and found[-1][0][1:] == band[1:]:
                found[-1] = (found[-1][0], found[-1][1] + 1)
            else:
                found.append((band, 1))
        return found

    def _taps(self, first: int, size: int) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
        meet: dict[int, list[tuple[int, int]]] = {}
        axis = self.columns
        for pixel in range(size):
            for j in range(axis.size):
                column = pixel * axis.stride + j * axis.dilation
                if 0 <= axis.origin(first) + column < axis.extent:
                    meet.setdefault(column, []).append((pixel, j))
        return tuple((column, tuple(pairs)) for column, pairs in sorted(meet.items()))

    def emit(
        self, anchor: Anchor, n: Expr, y: Expr, first: Expr, band: _Band, base: Expr, packed: Expr, member: Expr
    ) -> Stmt:
        """One tile: sum up in registers, then finish and store."""
        lanes, each = self.lanes, range(self.vectors)
        sums = [stack(f"sum{pixel}", self.panel) for pixel in range(band.size)]
        clear = [store_vector(total, index(v * lanes), zeros(lanes), lanes) for total in sums for v in each]

        def products(i: Expr) -> Stmt:
            line, column = self.rows.origin(y) + i * self.rows.dilation, self.columns.origin(first)
            start = ((n * self.rows.extent + line) * self.columns.extent + column) * self.channels + base
            statements, weights = [], {}
            for j in sorted({j for _, pairs in band.taps for _, j in pairs}):
                for v in each:
                    at = packed + ((i * self.columns.size + j) * self.panel + v * lanes)
                    weights[j, v], bind = let(f"w{j}_{v}", vector(self.weight, at, lanes), lanes)
                    statements.append(bind)
            for offset, pairs in band.taps:
                for v in each:
                    at = start + (offset * self.channels + v * lanes)
                    value, bind = let(f"x{offset}_{v}", vector(self.data, at, lanes), lanes)
                    statements.append(bind)
                    for pixel, j in pairs:
                        at = index(v * lanes)
                        total = vector(sums[pixel], at, lanes) + value * weights[j, v]
                        statements.append(store_vector(sums[pixel], at, total, lanes))
            return sequence(statements)

        def finish(pixel: int, v: int) -> Stmt:
            def store(lane: Expr) -> Stmt:
                group = base + (lane + v * lanes)
                channel = group if self.multiplier == 1 else group * self.multiplier + member
                return anchor.store([n, y, first + pixel, channel], tirx.BufferLoad(sums[pixel], [lane + v * lanes]))

            return loop("lane", lanes, store, ForKind.VECTORIZED)

        return sequence(
            [
                *(AllocBuffer(total) for total in sums),
                *clear,
                self.rows.inside(y, products),
                *(finish(pixel, v) for pixel in range(band.size) for v in each),
            ]
        )


def _pack(weight: NDArray[np.float32], groups: int, panel: int) -> NDArray[np.float32]:
    """Weights (kh, kw, 1, channels) as panels (members * panels, kh, kw, panel), the last one overlapping."""
    kh, kw, _, channels = weight.shape
    members = np.moveaxis(weight.reshape(kh, kw, groups, channels // groups), 3, 0)
    firsts = np.minimum(np.arange(-(-groups // panel)) * panel, groups - panel)
    places = firsts[:, None] + np.arange(panel)
    packed = np.moveaxis(members[..., places], 3, 1)
    return np.ascontiguousarray(packed.reshape(-1, kh, kw, panel))
