"""Direct convolution: no copy of the input, no padding of it, packed weights, accumulators in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tvm import relax, te, tirx

from joulefront.compile.kernels import dense, tiles
from joulefront.compile.kernels.anchor import Anchor, attributes
from joulefront.compile.kernels.graph import FUSABLE, OPAQUE, call_anchor, constant, producer, shape_of
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import Expr, Stmt, dims, flat, index, loop, nest, sequence

_INPUT_B = 1 << 20  # while the input is no larger, it stays in the cache and the weights' panels go outside


class Conv2d:
    """Convolution of one group without dilation, NHWC, by weights known now; the input may also be NCHW."""

    name = "conv2d"
    operator = "relax.nn.conv2d"

    def anchor(self, builder: Any, call: Any, machine: Machine) -> Expr | None:
        """See Kernel.anchor."""
        weight = constant(call.args[1])
        layouts = (call.attrs.data_layout, call.attrs.kernel_layout, call.attrs.out_layout)
        if weight is None or layouts != ("NHWC", "HWIO", "NHWC") or weight.dtype != "float32":
            return None
        if call.attrs.groups != 1 or any(int(d) != 1 for d in call.attrs.dilation):
            return None
        shape, out = shape_of(call.args[0]), shape_of(call)
        if shape is None or out is None:
            return None
        stride = [int(s) for s in call.attrs.strides]
        pad = [int(p) for p in call.attrs.padding]
        kh, kw, depth, channels = weight.shape
        if (kh, kw) == (1, 1) and stride == [1, 1] and not any(pad):
            return dense.make(builder, call.args[0], weight.reshape(depth, channels), out, machine)

        data, nchw = call.args[0], 0
        source = producer(builder, data)
        if source is not None and source.op.name == "relax.permute_dims" and _to_nhwc(source):
            data, nchw = source.args[0], 1
        tile = tiles.choose(machine, width=out[2], rows=out[0] * out[1], channels=channels, depth=kh * kw * depth)
        width = tile.vectors * machine.lanes
        packed = tiles.pack(weight, width)
        annotations = attributes(
            self.name, stride=stride, pad=pad[:2], tile=[tile.vectors, tile.pixels], nchw=[nchw], kernel=[kh, kw]
        )

        def compute(data: Any, packed: Any) -> Any:
            axes = [te.reduce_axis((0, extent), name) for name, extent in (("kh", kh), ("kw", kw), ("ci", depth))]

            def value(n: Expr, y: Expr, x: Expr, c: Expr) -> Expr:
                i, j, k = axes
                row, column = y * stride[0] + i - pad[0], x * stride[1] + j - pad[1]
                at = (n, k, row, column) if nchw else (n, row, column, k)
                inside = tirx.all(row >= 0, row < shape[1], column >= 0, column < shape[2])
                read = tirx.if_then_else(inside, data(*at), tirx.const(0.0, "float32"))
                return te.sum(read * packed(c // width, i, j, k, c % width), axis=axes)

            return te.compute(out, value, name="conv2d", attrs=annotations)

        # A map of one pixel is what squeeze-and-excitation multiplies a whole map by: nothing is to be fused to that.
        pattern = OPAQUE if out[1] * out[2] == 1 else FUSABLE
        return call_anchor(builder, compute, [data, relax.const(packed)], "conv2d", pattern)

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """See Kernel.emit."""
        geometry = _Geometry.of(anchor)
        vectors, most = anchor.integers("tile")
        batch, height, width, channels = anchor.shape
        panels = dims(anchor.weight)[0]
        data, declare_data = flat(anchor.data)
        weight, declare_weight = flat(anchor.weight)
        groups = _groups(geometry, width, most)

        def row(panel: Expr, n: Expr, y: Expr) -> Stmt:
            def tile(first: Expr, size: int, taps: Sequence[_Taps]) -> Stmt:
                return tiles.emit(
                    machine,
                    vectors=vectors,
                    pixels=size,
                    channels=channels,
                    panel=panel,
                    data=data,
                    weight=weight,
                    products=lambda add: _rows(
                        geometry,
                        height,
                        y,
                        lambda i: add(_runs(geometry, n, y, first, i, panel, taps, vectors * machine.lanes)),
                    ),
                    store=lambda pixel, c, value: anchor.store([n, y, first + pixel, c], value),
                )

            def tiled(group: _Group, count: int) -> Stmt:
                return loop("tile", count, lambda t: tile(group.first + t * group.size, group.size, group.taps))

            return sequence([tiled(group, count) for group, count in groups])

        macs = batch * height * width * channels * geometry.kh * geometry.kw * geometry.depth
        extents = [("panel", panels), ("n", batch), ("y", height)]
        if 4 * batch * geometry.height * geometry.width * geometry.depth <= _INPUT_B:
            body = nest(extents, row, parallel=machine.parallel(macs))
        else:
            body = nest(extents[1:] + extents[:1], lambda n, y, p: row(p, n, y), parallel=machine.parallel(macs))
        return sequence([declare_data, declare_weight, body])


class _Geometry(NamedTuple):
    """A convolution's extents, in elements."""

    height: int
    width: int
    depth: int
    kh: int
    kw: int
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    nchw: bool

    @classmethod
    def of(cls, anchor: Anchor) -> _Geometry:
        nchw = bool(anchor.integers("nchw")[0])
        _, *rest = dims(anchor.data)
        depth, height, width = rest if nchw else (rest[2], rest[0], rest[1])
        kh, kw = anchor.integers("kernel")
        return cls(height, width, depth, kh, kw, anchor.integers("stride"), anchor.integers("pad"), nchw)


class _Taps(NamedTuple):
    """``columns`` of the kernel's columns from ``first``, at which the same pixels of a tile are inside the input."""

    first: int
    columns: int
    pixels: tuple[int, ...]


class _Group(NamedTuple):
    """Neighbouring tiles of one size, of which the same pixels are inside the input at each kernel column."""

    first: int
    size: int
    taps: tuple[_Taps, ...]


def _groups(geometry: _Geometry, width: int, most: int) -> list[tuple[_Group, int]]:
    """The tiles of an output row, as groups and how many tiles each has."""
    groups: list[tuple[_Group, int]] = []
    for first, size in tiles.split(width, most):
        group = _Group(first, size, _taps(geometry, first, size))
        if groups and groups[-1][0][1:] == group[1:]:
            groups[-1] = (groups[-1][0], groups[-1][1] + 1)
        else:
            groups.append((group, 1))
    return groups


def _taps(geometry: _Geometry, first: int, size: int) -> tuple[_Taps, ...]:
    taps: list[_Taps] = []
    for j in range(geometry.kw):
        column = [(first + pixel) * geometry.stride[1] + j - geometry.pad[1] for pixel in range(size)]
        inside = tuple(pixel for pixel, x in enumerate(column) if 0 <= x < geometry.width)
        if not inside:
            continue
        # Neighbouring columns of an NHWC input are one contiguous run for the same pixels.
        last = taps[-1] if taps else None
        if last and last.pixels == inside and not geometry.nchw:
            taps[-1] = last._replace(columns=last.columns + 1)
        else:
            taps.append(_Taps(j, 1, inside))
    return tuple(taps)


def _rows(geometry: _Geometry, rows: int, y: Expr, body: Callable[[Expr], Stmt]) -> Stmt:
    """A loop over those of the kernel's rows that are inside the input; the output has ``rows`` rows."""
    above, kh = y * geometry.stride[0] - geometry.pad[0], geometry.kh
    if geometry.pad[0] == 0 and (rows - 1) * geometry.stride[0] + kh <= geometry.height:
        return loop("i", kh, body)
    start = tirx.max(index(0), -above)
    stop = tirx.min(index(kh), index(geometry.height) - above)
    return loop("i", stop - start, body, start=start)


def _runs(
    geometry: _Geometry,
    n: Expr,
    y: Expr,
    first: Expr,
    i: Expr,
    panel: Expr,
    taps: Sequence[_Taps],
    width: int,
) -> list[tiles.Run]:
    """The contiguous products of kernel row ``i`` for the tile at pixel ``first`` of output row ``y``."""
    height, columns, depth = geometry.height, geometry.width, geometry.depth
    row = y * geometry.stride[0] - geometry.pad[0] + i
    runs = []
    for j, count, pixels in taps:
        inputs = {}
        for pixel in pixels:
            x = (first + pixel) * geometry.stride[1] + (j - geometry.pad[1])
            if geometry.nchw:
                inputs[pixel] = (n * depth * height + row) * columns + x
            else:
                inputs[pixel] = ((n * height + row) * columns + x) * depth
        at = ((panel * geometry.kh + i) * geometry.kw + j) * depth * width
        runs.append(tiles.Run(count * depth, at, inputs, height * columns if geometry.nchw else 1))
    return runs


def _to_nhwc(permute: Any) -> bool:
    return [int(axis) for axis in permute.attrs.axes] == [0, 2, 3, 1]
