"""The product of two tensors that are both computed, as attention has them, wherever their elements lie.

The columns of the second are packed, a panel at a time, into a scratch; then the product is that with a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from tvm import te, tirx
from tvm.tirx.stmt import AllocBuffer

from joulefront.compile.kernels import tiles
from joulefront.compile.kernels.anchor import Anchor, Site, attributes
from joulefront.compile.kernels.graph import FUSABLE, call_anchor
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import (
    Buffer,
    Expr,
    Stmt,
    index,
    loop,
    nest,
    sequence,
    stack,
    store_vector,
    vector,
    zeros,
)
from joulefront.compile.kernels.view import View
from joulefront.kernel_records import Variant, Workload


def workload(out: Sequence[int], rows: int, depth: int, data: Sequence[int], other: Sequence[int]) -> Workload:
    """The product whose output has the shape ``out``, the rows along axis ``rows`` and the columns along the last.

    ``data`` and ``other`` are where their elements lie: the offset of the first, the stride of each output axis, and
    that of the ``depth`` products.
    """
    extents = {"out": out, "rows": [rows], "depth": [depth], "data": data, "other": other}
    return Workload("batched", tuple((name, tuple(values)) for name, values in extents.items()))


def site(builder: Any, left: View, right: View, out: Sequence[int]) -> Site:
    """The product of views (…, rows, depth) and (…, depth, columns), which has the shape ``out``."""
    batch = len(out) - 2

    def places(view: View, *last: int) -> list[int]:
        leading = view.strides[:-2]
        return [view.offset, *(0,) * (batch - len(leading)), *leading, *last]

    # Where an operand is repeated along an axis, numpy's stride may be anything.
    repeated = [view if view.shape[:-2] == tuple(out[:-2]) else _broadcast(view, out[:-2]) for view in (left, right)]
    rows, depth = repeated[0].strides[-2:]
    down, columns = repeated[1].strides[-2:]
    found = workload(
        out, batch, left.shape[-1], places(repeated[0], rows, 0, depth), places(repeated[1], 0, columns, down)
    )
    return Site(found, (left.flat(builder), right.flat(builder)))


def _broadcast(view: View, batch: Sequence[int]) -> View:
    """The view with its leading axes repeated to those given."""
    missing = len(batch) - (len(view.shape) - 2)
    shape, strides = (1,) * missing + view.shape, (0,) * missing + view.strides
    strides = tuple(0 if extent == 1 else stride for extent, stride in zip(shape, strides, strict=True))
    return View(view.base, (*batch, *shape[-2:]), view.offset, strides, view.scale)


class Batched:
    """``data @ other`` of (…, rows, depth) and (…, depth, columns), with the second operand packed by the kernel itself."""

    name = "batched"
    operator = "batched"

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """See Kernel.variants."""
        out, (rows,), (depth,) = workload["out"], workload["rows"], workload["depth"]
        shares = tiles.costs(machine, width=out[rows], rows=1, channels=out[-1], depth=depth)
        batch = prod(out) // (out[rows] * out[-1])
        return {Variant(self.name, (("tile", tile),)): batch * cycles for tile, cycles in shares.items()}

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:  # noqa: ARG002 -- emit's
        """See Kernel.call."""
        found = site.workload
        (depth,) = found["depth"]

        def compute(data: Any, other: Any) -> Any:
            k = te.reduce_axis((0, depth), "k")

            def value(*at: Expr) -> Expr:
                return te.sum(data(_place(found["data"], at, k)) * other(_place(found["other"], at, k)), axis=k)

            return te.compute(found["out"], value, name=self.name, attrs=attributes(site, variant))

        return call_anchor(builder, compute, site.inputs, self.name, FUSABLE)

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """See Fusable.emit."""
        (axis,), (depth,), (vectors, most) = (anchor.integers(name) for name in ("rows", "depth", "tile"))
        lanes, out = machine.lanes, anchor.shape
        batch = [(f"b{i}", extent) for i, extent in enumerate(out[:-1]) if i != axis]
        data, other = anchor.inputs
        count, width = out[-1], vectors * machine.lanes
        panels, rest = divmod(-(-count // lanes), vectors)

        def panel(at: list[Expr], first: Expr, vectors: int, columns: int, most: int) -> Stmt:
            """The columns from ``first``, all rows of them."""
            scratch = stack("packed", depth * vectors * lanes)

            def tile(row: Expr, size: int) -> Stmt:
                def indices(pixel: Expr, column: Expr) -> list[Expr]:
                    return [*at[:axis], row + pixel, *at[axis:], first + column]

                start = [indices(index(pixel), -first) for pixel in range(size)]
                inputs = {pixel: _place(anchor.integers("data"), start[pixel], index(0)) for pixel in range(size)}
                return tiles.emit(
                    machine,
                    vectors=vectors,
                    pixels=size,
                    channels=columns,
                    panel=index(0),
                    weights=tiles.Panel(index(0), 1, depth, index(0), 1),
                    data=data,
                    weight=scratch,
                    products=lambda add: add([tiles.Run(depth, index(0), inputs, anchor.integers("data")[-1])]),
                    store=lambda pixel, column, value: anchor.store(indices(pixel, column), value),
                )

            origin = [*at[:axis], index(0), *at[axis:], first]
            tiled = tiles.split(out[axis], most)
            statements = [
                AllocBuffer(scratch),
                _packing(anchor, other, scratch, origin, depth, vectors, columns, lanes),
            ]
            for size in sorted({size for _, size in tiled}, reverse=True):
                firsts = [begin for begin, other_size in tiled if other_size == size]
                statements.append(
                    loop("tile", len(firsts), lambda t, size=size, begin=firsts[0]: tile(t * size + begin, size))  # type: ignore[misc]
                )
            return sequence(statements)

        macs = prod(out) * depth
        statements = []
        whole = panels if rest or count == panels * width else panels - 1
        if whole:
            statements.append(
                nest(
                    [*batch, ("panel", whole)],
                    lambda *at: panel(list(at[:-1]), at[-1] * width, vectors, width, most),
                    parallel=machine.parallel(macs),
                )
            )
        if left := count - whole * width:
            narrow = -(-left // lanes)
            most = max(most, (machine.registers - narrow - 1) // narrow)
            statements.append(
                nest(
                    batch,
                    lambda *at: panel(list(at), index(whole * width), narrow, left, most),
                    parallel=machine.parallel(macs) and bool(batch),
                )
            )
        return sequence(statements)


def _place(places: Sequence[int], at: Sequence[Expr], k: Expr) -> Expr:
    """Where an operand's element for an output and a product lies."""
    offset, *strides, step = places
    total = index(offset)
    for stride, position in zip(strides, at, strict=True):
        if stride:
            total = total + position * stride
    return total + k * step


def _packing(
    anchor: Anchor,
    other: Buffer,
    scratch: Buffer,
    origin: list[Expr],
    depth: int,
    vectors: int,
    columns: int,
    lanes: int,
) -> Stmt:
    """Copy ``columns`` columns into the scratch (depth, vectors of lanes), with zeros behind the last."""
    places, width = anchor.integers("other"), vectors * lanes
    step, start = places[-2], _place(places, origin, index(0))

    def place(k: Expr, column: Expr) -> Expr:
        return start + column * step + k * places[-1]

    def row(k: Expr) -> Stmt:
        whole = columns // lanes
        statements = [
            store_vector(scratch, k * width + v * lanes, vector(other, place(k, index(v * lanes)), lanes), lanes)
            for v in range(whole)
        ]
        if whole < vectors:
            statements.append(store_vector(scratch, k * width + whole * lanes, zeros(lanes), lanes))
            statements += [copy(k, index(column)) for column in range(whole * lanes, columns)]
        return sequence(statements)

    def copy(k: Expr, column: Expr) -> Stmt:
        return tirx.BufferStore(scratch, tirx.BufferLoad(other, [place(k, column)]), [k * width + column])

    if step == 1:
        return loop("k", depth, row)
    clear = []
    if columns < width:
        first = (vectors - 1) * lanes
        zero = zeros(lanes)
        clear = [loop("k", depth, lambda k: store_vector(scratch, k * width + first, zero, lanes))]
    return sequence([*clear, loop("column", columns, lambda column: loop("k", depth, lambda k: copy(k, column)))])
