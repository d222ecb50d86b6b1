"""Direct convolution: no copy of the input, no padding of it, packed weights, accumulators in registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import numpy as np
from tvm import relax, te, tirx

from joulefront.compile.kernels import tiles
from joulefront.compile.kernels.anchor import Anchor, Site, attributes
from joulefront.compile.kernels.graph import FUSABLE, OPAQUE, call_anchor
from joulefront.compile.kernels.machine import FAR_B, FLOAT_B, Machine
from joulefront.compile.kernels.tir import Expr, Stmt, dims, flat, index, loop, nest, sequence
from joulefront.compile.kernels.window import Axis
from joulefront.kernel_records import Variant, Workload


class Conv2d:
    """Convolution of any kernel, stride, padding, dilation and groups; the input may also be NCHW."""

    name = "conv2d"
    operator = "conv2d"

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """See Kernel.variants."""
        batch, rows, columns, _ = workload["out"]
        kh, kw, depth, channels = workload["weight"]
        (groups,), (nchw,) = workload["groups"], workload["nchw"]
        if nchw:  # its products come in runs of a few, which LLVM unrolls, and keeps twice as much in registers for
            machine = replace(machine, registers=machine.registers // 2 + 2)
        shares = tiles.costs(
            machine, width=columns, rows=batch * rows, channels=channels // groups, depth=kh * kw * depth
        )
        data_b, weight_b = FLOAT_B * prod(workload["data"]), FLOAT_B * prod(workload["weight"])

        def traffic_b(vectors: int, rows_outside: int) -> float:
            """Bytes from beyond the second level of the cache: what does not fit there is read in every round."""
            if rows_outside:
                return weight_b * (batch * rows if weight_b > machine.l2_b // 2 else 1) + data_b
            panels = groups * -(-channels // (groups * vectors * machine.lanes))
            return data_b * (panels if data_b > machine.l2_b // 2 else 1) + weight_b

        return {
            Variant(self.name, (("rows_outside", (rows_outside,)), ("tile", (vectors, pixels)))): (
                groups * cycles + traffic_b(vectors, rows_outside) / (2 * FAR_B)
            )
            for (vectors, pixels), cycles in shares.items()
            for rows_outside in (0, 1)
        }

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:
        """See Kernel.call."""
        workload = site.workload
        shape, out, (nchw,), (groups,) = (workload[name] for name in ("data", "out", "nchw", "groups"))
        stride, pad, dilation = (workload[name] for name in ("stride", "pad", "dilation"))
        kh, kw, depth, channels = workload["weight"]
        height, width = shape[2:] if nchw else shape[1:3]
        panel = variant["tile"][0] * machine.lanes
        share = channels // groups
        panels = -(-share // panel)
        assert site.weight is not None
        split = np.moveaxis(site.weight.reshape(kh, kw, depth, groups, share), 3, 0)
        packed = np.concatenate([tiles.pack(part, panel) for part in split])
        annotations = attributes(site, variant)

        def compute(data: Any, packed: Any) -> Any:
            axes = [te.reduce_axis((0, extent), name) for name, extent in (("kh", kh), ("kw", kw), ("ci", depth))]

            def value(n: Expr, y: Expr, x: Expr, c: Expr) -> Expr:
                i, j, k = axes
                group, member = c // share, c % share
                row = y * stride[0] + i * dilation[0] - pad[0]
                column, place = x * stride[1] + j * dilation[1] - pad[1], group * depth + k
                at = (n, place, row, column) if nchw else (n, row, column, place)
                inside = tirx.all(row >= 0, row < height, column >= 0, column < width)
                read = tirx.if_then_else(inside, data(*at), tirx.const(0.0, "float32"))
                return te.sum(read * packed(group * panels + member // panel, i, j, k, member % panel), axis=axes)

            return te.compute(out, value, name="conv2d", attrs=annotations)

        # A map of one pixel is what squeeze-and-excitation multiplies a whole map by: nothing is to be fused to that.
        pattern = OPAQUE if out[1] * out[2] == 1 else FUSABLE
        return call_anchor(builder, compute, [*site.inputs, relax.const(packed)], "conv2d", pattern)

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """See Fusable.emit."""
        geometry = _Geometry.of(anchor)
        vectors, most = anchor.integers("tile")
        batch, height, width, channels = anchor.shape
        share, depth = channels // geometry.groups, geometry.kh * geometry.kw * geometry.depth
        packed = dims(anchor.inputs[1])[0]
        panels = packed // geometry.groups
        data, declare_data = flat(anchor.inputs[0])
        weight, declare_weight = flat(anchor.inputs[1])
        bands = _bands(geometry, width, most)
        count = sum(some for _, some in bands)
        panels_outside = anchor.integers("rows_outside") == (0,)
        reads = batch * height * count if panels_outside else count

        def row(packed_panel: Expr, n: Expr, y: Expr) -> Stmt:
            whole = geometry.groups == 1
            group = index(0) if whole else tirx.floordiv(packed_panel, index(panels))
            panel = packed_panel if whole else tirx.floormod(packed_panel, index(panels))
            earlier = (n * height + y) * count if panels_outside else index(0)  # tiles that have read this panel

            def tile(number: Expr, first: Expr, size: int, taps: Sequence[_Taps]) -> Stmt:
                return tiles.emit(
                    machine,
                    vectors=vectors,
                    pixels=size,
                    channels=share,
                    panel=panel,
                    weights=tiles.Panel(packed_panel, packed, depth, earlier + number, reads),
                    data=data,
                    weight=weight,
                    products=lambda add: geometry.rows(height).inside(
                        y, lambda i: add(_runs(geometry, n, y, first, i, group, taps))
                    ),
                    store=lambda pixel, c, value: anchor.store([n, y, first + pixel, group * share + c], value),
                )

            def tiled(before: int, band: _Band, some: int) -> Stmt:
                return loop("tile", some, lambda t: tile(before + t, band.first + t * band.size, band.size, band.taps))

            starts = accumulate((some for _, some in bands), initial=0)
            return sequence([tiled(before, *band) for before, band in zip(starts, bands, strict=False)])

        macs = batch * height * width * channels * depth
        extents = [("panel", packed), ("n", batch), ("y", height)]
        if panels_outside:
            body = nest(extents, row, parallel=machine.parallel(macs))
        else:
            body = nest(extents[1:] + extents[:1], lambda n, y, p: row(p, n, y), parallel=machine.parallel(macs))
        return sequence([declare_data, declare_weight, body])


class _Geometry(NamedTuple):
    """A convolution's extents, in elements; ``depth`` is the input channels of one of its groups."""

    height: int
    width: int
    depth: int
    groups: int
    kh: int
    kw: int
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    nchw: bool

    @classmethod
    def of(cls, anchor: Anchor) -> _Geometry:
        (nchw,), (groups,) = anchor.integers("nchw"), anchor.integers("groups")
        shape = dims(anchor.inputs[0])
        height, width = shape[2:] if nchw else shape[1:3]
        kh, kw, depth, _ = anchor.integers("weight")
        stride, pad, dilation = (anchor.integers(name) for name in ("stride", "pad", "dilation"))
        return cls(height, width, depth, groups, kh, kw, stride, pad, dilation, bool(nchw))

    def rows(self, outputs: int) -> Axis:
        """The window along the rows, for so many output rows."""
        return Axis(self.height, outputs, self.kh, self.stride[0], self.pad[0], self.dilation[0])


class _Taps(NamedTuple):
    """``columns`` of the kernel's columns from ``first``, at which the same pixels of a tile are inside the input."""

    first: int
    columns: int
    pixels: tuple[int, ...]


class _Band(NamedTuple):
    """Neighbouring tiles of one size, of which the same pixels are inside the input at each kernel column."""

    first: int
    size: int
    taps: tuple[_Taps, ...]


def _bands(geometry: _Geometry, width: int, most: int) -> list[tuple[_Band, int]]:
    """The tiles of an output row, as bands and how many tiles each has."""
    bands: list[tuple[_Band, int]] = []
    for first, size in tiles.split(width, most):
        band = _Band(first, size, _taps(geometry, first, size))
        if bands and bands[-1][0][1:] == band[1:]:
            bands[-1] = (bands[-1][0], bands[-1][1] + 1)
        else:
            bands.append((band, 1))
    return bands


def _taps(geometry: _Geometry, first: int, size: int) -> tuple[_Taps, ...]:
    taps: list[_Taps] = []
    for j in range(geometry.kw):
        column = [
            (first + pixel) * geometry.stride[1] + j * geometry.dilation[1] - geometry.pad[1] for pixel in range(size)
        ]
        inside = tuple(pixel for pixel, x in enumerate(column) if 0 <= x < geometry.width)
        if not inside:
            continue
        # Neighbouring columns of an NHWC input are one contiguous run for the same pixels.
        last = taps[-1] if taps else None
        dense = not geometry.nchw and geometry.groups == 1 and geometry.dilation[1] == 1
        if dense and last and last.pixels == inside and last.first + last.columns == j:
            taps[-1] = last._replace(columns=last.columns + 1)
        else:
            taps.append(_Taps(j, 1, inside))
    return tuple(taps)


def _runs(
    geometry: _Geometry,
    n: Expr,
    y: Expr,
    first: Expr,
    i: Expr,
    group: Expr,
    taps: Sequence[_Taps],
) -> list[tiles.Run]:
    """The contiguous products of kernel row ``i`` for the tile at pixel ``first`` of output row ``y``."""
    height, columns, depth = geometry.height, geometry.width, geometry.depth
    row = y * geometry.stride[0] - geometry.pad[0] + i * geometry.dilation[0]
    every, base = depth * geometry.groups, group * depth
    runs = []
    for j, count, pixels in taps:
        inputs = {}
        for pixel in pixels:
            x = (first + pixel) * geometry.stride[1] + (j * geometry.dilation[1] - geometry.pad[1])
            if geometry.nchw:
                inputs[pixel] = ((n * every + base) * height + row) * columns + x
            else:
                inputs[pixel] = ((n * height + row) * columns + x) * every + base
        at = (i * geometry.kw + j) * depth
        runs.append(tiles.Run(count * depth, at, inputs, height * columns if geometry.nchw else 1))
    return runs
