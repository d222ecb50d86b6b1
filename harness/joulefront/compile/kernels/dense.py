"""The product with a constant matrix: nn.Linear, and convolution by one pixel, whose map is just a list of pixels."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax, te, tirx

from joulefront.compile.kernels import tiles
from joulefront.compile.kernels.anchor import Anchor, attributes
from joulefront.compile.kernels.graph import FUSABLE, OPAQUE, call_anchor, constant, shape_of
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import Expr, Stmt, dims, flat, index, nest, sequence

_NAME = "dense"


class Dense:
    """``data @ weight`` with data (…, depth) and a weight (depth, channels) that is known now."""

    name = _NAME
    operator = "relax.matmul"

    def anchor(self, builder: Any, call: Any, machine: Machine) -> Expr | None:
        """See Kernel.anchor."""
        weight = constant(call.args[1])
        out, shape = shape_of(call), shape_of(call.args[0])
        if weight is None or weight.ndim != 2 or weight.dtype != "float32" or shape is None or out is None:
            return None
        return make(builder, call.args[0], weight, out, machine) if len(shape) > 1 else None

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """See Kernel.emit."""
        vectors, most = anchor.integers("tile")
        *leading, channels = anchor.shape
        panels, depth, width = dims(anchor.weight)
        count = prod(leading)
        data, declare_data = flat(anchor.data)
        weight, declare_weight = flat(anchor.weight)
        statements = [declare_data, declare_weight]
        parallel = machine.parallel(count * depth * channels)

        def tile(panel: Expr, first: Expr, size: int) -> Stmt:
            inputs = {pixel: (first + pixel) * depth for pixel in range(size)}
            return tiles.emit(
                machine,
                vectors=vectors,
                pixels=size,
                channels=channels,
                panel=panel,
                data=data,
                weight=weight,
                products=lambda add: add([tiles.Run(depth, panel * depth * width, inputs)]),
                store=lambda pixel, c, value: anchor.store([*_unravel(first + pixel, leading), c], value),
            )

        tiled = tiles.split(count, most)
        for size in sorted({size for _, size in tiled}, reverse=True):
            firsts = [first for first, other in tiled if other == size]
            statements.append(
                nest(
                    [("panel", panels), ("tile", len(firsts))],
                    lambda panel, t, size=size, start=firsts[0]: tile(panel, t * size + start, size),
                    parallel=parallel,
                )
            )
        return sequence(statements)


def make(builder: Any, data: Any, weight: NDArray[np.float32], out: tuple[int, ...], machine: Machine) -> Expr:
    """A call to the anchor of ``data @ weight``, of shape ``out``."""
    depth, channels = weight.shape
    count = prod(out[:-1])
    tile = tiles.choose(machine, width=count, rows=1, channels=channels, depth=depth)
    width = tile.vectors * machine.lanes

    def compute(data: Any, packed: Any) -> Any:
        k = te.reduce_axis((0, depth), "k")
        return te.compute(
            out,
            lambda *at: te.sum(data(*at[:-1], k) * packed(at[-1] // width, k, at[-1] % width), axis=k),
            name=_NAME,
            attrs=attributes(_NAME, tile=[tile.vectors, tile.pixels]),
        )

    pattern = OPAQUE if len(out) == 4 and count == 1 else FUSABLE
    return call_anchor(builder, compute, [data, relax.const(tiles.pack(weight, width))], _NAME, pattern)


def _unravel(flat_index: Expr, extents: list[int]) -> list[Expr]:
    """The indices, along the given extents, of an element's number."""
    values: list[Expr] = []
    for position, extent in enumerate(reversed(extents)):
        last = position == len(extents) - 1
        values.append(index(0) if extent == 1 else flat_index if last else tirx.floormod(flat_index, index(extent)))
        flat_index = tirx.floordiv(flat_index, index(extent))
    return list(reversed(values))
