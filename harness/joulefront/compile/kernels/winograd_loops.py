"""The loops of Winograd's convolution.

The map is cut into output tiles, and the tiles into blocks whose scratch stays in the cache. A block's input tiles are
transformed, vectors over channels; then each element of the transformed tiles is a product of matrices of its own, tiles
by input channels by output channels; and the products are transformed back, finished and stored. Where a loop's extent
is no multiple of its step, its last round begins earlier and computes some outputs again.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from tvm import tirx
from tvm.tirx import BufferLoad, ForKind, IfThenElse
from tvm.tirx.stmt import AllocBuffer

from joulefront.compile.kernels import tiles
from joulefront.compile.kernels.anchor import Anchor
from joulefront.compile.kernels.machine import LINE, Machine
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
    prefetch,
    sequence,
    splat,
    stack,
    store_vector,
    vector,
    zeros,
)
from joulefront.compile.kernels.winograd_transforms import KERNEL, Transforms


def emit(anchor: Anchor, machine: Machine) -> Stmt:
    """The code of a convolution: see the module."""
    data, declare_data = flat(anchor.inputs[0])
    weight, declare_weight = flat(anchor.inputs[1])
    plan = _Plan.of(anchor, machine)

    def block(number: Expr, share: Expr) -> Stmt:
        first = tirx.min(number * plan.block, index(plan.tiles - plan.block))
        inputs = stack("transformed", plan.span**2 * plan.input_stride)
        products = stack("products", plan.span**2 * plan.product_stride)
        patch = stack("patch", plan.span**2 * plan.lanes)

        def panel(p: Expr) -> Stmt:
            p = share * plan.panels_a_share + p
            return sequence(
                [
                    loop("element", plan.span**2, lambda e: _multiply(plan, p, e, inputs, weight, products)),
                    loop("tile", plan.block, lambda t: _store(plan, p, first + t, t, products, anchor)),
                ]
            )

        return sequence(
            [
                AllocBuffer(inputs),
                AllocBuffer(products),
                AllocBuffer(patch),
                loop("tile", plan.block, lambda t: _transform(plan, first + t, t, data, patch, inputs)),
                loop("panel", plan.panels_a_share, panel),
            ]
        )

    extents = [("block", plan.blocks), ("share", plan.panels // plan.panels_a_share)]
    return sequence([declare_data, declare_weight, nest(extents, block, parallel=plan.parallel)])


class _Plan(NamedTuple):
    """The extents of a convolution and how it is cut; strides in elements."""

    transforms: Transforms
    shape: tuple[int, ...]
    out: tuple[int, ...]
    pad: tuple[int, ...]
    rows: int
    columns: int
    block: int
    vectors: int
    pixels: int
    lanes: int
    panels: int
    panels_a_share: int
    parallel: bool

    @classmethod
    def of(cls, anchor: Anchor, machine: Machine) -> _Plan:
        (size,), (block,), (vectors, pixels) = (anchor.integers(name) for name in ("size", "block", "tile"))
        shape, out = dims(anchor.inputs[0]), anchor.shape
        rows, columns = -(-out[1] // size), -(-out[2] // size)
        panels = dims(anchor.inputs[1])[0]
        parallel = machine.parallel(prod(out) * shape[3] * KERNEL**2)
        # With fewer blocks than threads, each thread takes some panels, and transforms the inputs for itself.
        shares = (
            _shares(panels, machine.threads)
            if parallel and -(-out[0] * rows * columns // block) < machine.threads
            else 1
        )
        return cls(
            Transforms(size),
            shape,
            out,
            anchor.integers("pad"),
            rows,
            columns,
            block,
            vectors,
            pixels,
            machine.lanes,
            panels,
            panels // shares,
            parallel,
        )

    @property
    def span(self) -> int:
        return self.transforms.span

    @property
    def size(self) -> int:
        return self.transforms.size

    @property
    def tiles(self) -> int:
        return self.out[0] * self.rows * self.columns

    @property
    def blocks(self) -> int:
        return -(-self.tiles // self.block)

    @property
    def depth(self) -> int:
        return self.shape[3]

    @property
    def width(self) -> int:
        """Channels of a panel, with those that only fill it up."""
        return self.vectors * self.lanes

    @property
    def input_stride(self) -> int:
        """From one element of the transformed tiles to the next; not a power of two, which would share cache sets."""
        return self.block * self.depth + LINE

    @property
    def product_stride(self) -> int:
        return self.block * self.width + LINE

    def place(self, tile: Expr) -> tuple[Expr, Expr, Expr]:
        """The image of a tile, and the row and column of its first output."""
        column, row = tirx.floormod(tile, index(self.columns)), tirx.floordiv(tile, index(self.columns))
        return (
            tirx.floordiv(row, index(self.rows)),
            tirx.floormod(row, index(self.rows)) * self.size,
            column * self.size,
        )


def _transform(plan: _Plan, tile: Expr, t: Expr, data: Buffer, patch: Buffer, inputs: Buffer) -> Stmt:
    """The transformed input of one tile."""
    span, depth = plan.span, plan.depth
    height, width = plan.shape[1:3]
    image, row, column = plan.place(tile)
    row, column = row - plan.pad[0], column - plan.pad[1]
    corner = ((image * height + row) * width + column) * depth

    def down(j: Expr, lanes: int, read: Callable[[int], Expr]) -> Stmt:
        """The j-th column of the patch, transformed."""
        binding = _Binding(lanes)
        for u, value in enumerate(plan.transforms.inputs([binding(read(i)) for i in range(span)], lanes, binding)):
            binding.statements.append(store_vector(patch, (j + u * span) * lanes, value, lanes))
        return sequence(binding.statements)

    def across(c: Expr, lanes: int) -> Stmt:
        """The patch's rows, transformed; they are the elements of the tile."""

        def line(u: Expr) -> Stmt:
            binding = _Binding(lanes)
            values = [binding(vector(patch, (u * span + j) * lanes, lanes)) for j in range(span)]
            for v, value in enumerate(plan.transforms.inputs(values, lanes, binding)):
                at = (u * span + v) * plan.input_stride + t * depth + c
                binding.statements.append(store_vector(inputs, at, value, lanes))
            return sequence(binding.statements)

        return loop("u", span, line)

    def whole(c: Expr, lanes: int) -> Stmt:
        def column_of(j: Expr) -> Stmt:
            return down(j, lanes, lambda i: vector(data, corner + (j + i * width) * depth + c, lanes))

        return sequence([loop("j", span, column_of), across(c, lanes)])

    def edge(c: Expr, lanes: int) -> Stmt:
        """By way of a copy of what is inside the map, the rest zero."""
        top, bottom = tirx.max(index(0), -row), tirx.min(index(span), height - row)
        left, right = tirx.max(index(0), -column), tirx.min(index(span), width - column)

        def clear(i: Expr) -> Stmt:
            return store_vector(patch, i * lanes, zeros(lanes), lanes)

        def copy(i: Expr, j: Expr) -> Stmt:
            value = vector(data, corner + (i * width + j) * depth + c, lanes)
            return store_vector(patch, (i * span + j) * lanes, value, lanes)

        def column_of(j: Expr) -> Stmt:
            return down(j, lanes, lambda i: vector(patch, (j + i * span) * lanes, lanes))

        rows = loop("i", bottom - top, lambda i: loop("j", right - left, lambda j: copy(i, j), start=left), start=top)
        return sequence([loop("i", span**2, clear), rows, loop("j", span, column_of), across(c, lanes)])

    inside = tirx.all(row >= 0, row + span <= height, column >= 0, column + span <= width)
    return IfThenElse(inside, _vectors(depth, plan.lanes, whole), _vectors(depth, plan.lanes, edge))


def _multiply(plan: _Plan, panel: Expr, element: Expr, inputs: Buffer, weight: Buffer, products: Buffer) -> Stmt:
    """The products of one element of the block's tiles with one panel's weights."""
    lanes, width, depth = plan.lanes, plan.width, plan.depth
    slices = plan.panels * plan.span**2
    piece = panel * plan.span**2 + element
    here = piece * (depth * width)
    following = tirx.min(piece + 1, index(slices - 1)) * (depth * width)
    groups = tiles.split(plan.block, plan.pixels)
    ahead = -(-width // len(groups))  # floats to prefetch a step, so that the next slice is there in time

    def group(number: Expr, t: Expr, size: int) -> Stmt:
        sums = [stack(f"sum{pixel}", width) for pixel in range(size)]
        places = [index(v * lanes) for v in range(plan.vectors)]

        def step(k: Expr) -> Stmt:
            binding = _Binding(lanes)
            columns = [binding(vector(weight, here + k * width + v * lanes, lanes)) for v in range(plan.vectors)]
            next_up = following + (number * depth + k) * ahead
            fetch = [prefetch(weight, next_up + line) for line in range(0, ahead, LINE)]
            for pixel, total in enumerate(sums):
                at = element * plan.input_stride + (t + pixel) * depth + k
                value = binding(splat(BufferLoad(inputs, [at]), lanes))
                for place, column in zip(places, columns, strict=True):
                    added = vector(total, place, lanes) + value * column
                    binding.statements.append(store_vector(total, place, added, lanes))
            return sequence([*fetch, *binding.statements])

        def keep(pixel: int, place: Expr) -> Stmt:
            at = element * plan.product_stride + (t + pixel) * width + place
            return store_vector(products, at, vector(sums[pixel], place, lanes), lanes)

        return sequence(
            [
                *(AllocBuffer(total) for total in sums),
                *(store_vector(total, place, zeros(lanes), lanes) for total in sums for place in places),
                loop("k", depth, step),
                *(keep(pixel, place) for pixel in range(size) for place in places),
            ]
        )

    statements, done = [], 0
    for size in sorted({size for _, size in groups}, reverse=True):
        firsts = [first for first, other in groups if other == size]
        statements.append(
            loop(
                "group",
                len(firsts),
                lambda g, size=size, start=firsts[0], done=done: group(g + done, g * size + start, size),  # type: ignore[misc]
            )
        )
        done += len(firsts)
    return sequence(statements)


def _store(plan: _Plan, panel: Expr, tile: Expr, t: Expr, products: Buffer, anchor: Anchor) -> Stmt:
    """One tile's products of a panel, transformed back, finished and stored."""
    span, size, width = plan.span, plan.size, plan.width
    image, row, column = plan.place(tile)
    channels = plan.out[3]
    base = tirx.min(panel * width, index(max(0, channels - width)))

    def at(element: Expr, c: Expr) -> Expr:
        return element * plan.product_stride + t * width + c

    def one_way(c: Expr, lanes: int, first: Expr, step: int) -> Stmt:
        """``span`` products, ``step`` elements apart, transformed in place."""
        binding = _Binding(lanes)
        places = [at(first + i * step, c) for i in range(span)]
        values = [binding(vector(products, place, lanes)) for place in places]
        results = plan.transforms.outputs(values, lanes, binding)
        for place, value in zip(places, results, strict=False):
            binding.statements.append(store_vector(products, place, value, lanes))
        return sequence(binding.statements)

    def back(c: Expr, lanes: int) -> Stmt:
        down = loop("j", span, lambda j: one_way(c, lanes, j, span))
        return sequence([down, loop("i", size, lambda i: one_way(c, lanes, i * span, 1))])

    def finish(i: Expr, j: Expr, c: Expr, lanes: int) -> Stmt:
        def one(lane: Expr) -> Stmt:
            value = BufferLoad(products, [at(i * span + j, c + lane)])
            return anchor.store([image, row + i, column + j, base + c + lane], value)

        return loop("lane", lanes, one, ForKind.VECTORIZED)

    def pixel(i: Expr, j: Expr) -> Stmt:
        return _vectors(min(width, channels), plan.lanes, lambda c, lanes: finish(i, j, c, lanes))

    below, right = tirx.min(index(size), plan.out[1] - row), tirx.min(index(size), plan.out[2] - column)
    return sequence(
        [
            _vectors(width, plan.lanes, back),
            loop("i", below, lambda i: loop("j", right, lambda j: pixel(i, j))),
        ]
    )


class _Binding:
    """Statements of vectors of float32, with a name for each value that is used again."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.statements: list[Stmt] = []

    def __call__(self, value: Expr) -> Expr:
        variable, statement = let(f"v{len(self.statements)}", value, self.lanes)
        self.statements.append(statement)
        return variable


def _vectors(count: int, lanes: int, body: Callable[[Expr, int], Stmt]) -> Stmt:
    """``body(first, lanes)`` for so many floats, vector by vector, of the widest that there are."""
    while lanes > count:
        lanes //= 2
    last = count - lanes
    return loop(
        "v", -(-count // lanes), lambda v: body(tirx.min(v * lanes, index(last)) if count % lanes else v * lanes, lanes)
    )


def _shares(panels: int, threads: int) -> int:
    return next(share for share in range(min(panels, threads), 0, -1) if panels % share == 0)
