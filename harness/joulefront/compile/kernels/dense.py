"""The product with a constant matrix: nn.Linear, and convolution by one pixel, whose map is just a list of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from tvm import relax, te, tirx

from joulefront.compile.kernels import tiles
from joulefront.compile.kernels.anchor import Anchor, Site, attributes
from joulefront.compile.kernels.graph import FUSABLE, OPAQUE, call_anchor
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import Expr, Stmt, dims, flat, index, nest, sequence
from joulefront.kernel_records import Variant, Workload


class Dense:
    """``data @ weight`` with data (…, depth) and a weight (depth, channels) that is known now."""

    name = "dense"
    operator = "dense"

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """See Kernel.variants."""
        depth, channels = workload["weight"]
        shares = tiles.costs(machine, width=prod(workload["out"][:-1]), rows=1, channels=channels, depth=depth)
        return {Variant(self.name, (("tile", tile),)): cycles for tile, cycles in shares.items()}

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:
        """See Kernel.call."""
        (depth, _), out = site.workload["weight"], site.workload["out"]
        width = variant["tile"][0] * machine.lanes
        assert site.weight is not None

        def compute(data: Any, packed: Any) -> Any:
            k = te.reduce_axis((0, depth), "k")
            return te.compute(
                out,
                lambda *at: te.sum(data(*at[:-1], k) * packed(at[-1] // width, k, at[-1] % width), axis=k),
                name=self.name,
                attrs=attributes(site, variant),
            )

        pattern = OPAQUE if len(out) == 4 and prod(out[:-1]) == 1 else FUSABLE
        arguments = [*site.inputs, relax.const(tiles.pack(site.weight, width))]
        return call_anchor(builder, compute, arguments, self.name, pattern)

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """See Fusable.emit."""
        vectors, most = anchor.integers("tile")
        *leading, channels = anchor.shape
        panels, depth, _ = dims(anchor.inputs[1])
        count = prod(leading)
        data, declare_data = flat(anchor.inputs[0])
        weight, declare_weight = flat(anchor.inputs[1])
        statements = [declare_data, declare_weight]
        parallel = machine.parallel(count * depth * channels)

        tiled = tiles.split(count, most)

        def tile(panel: Expr, number: Expr, first: Expr, size: int) -> Stmt:
            inputs = {pixel: (first + pixel) * depth for pixel in range(size)}
            return tiles.emit(
                machine,
                vectors=vectors,
                pixels=size,
                channels=channels,
                panel=panel,
                weights=tiles.Panel(panel, panels, depth, number, len(tiled)),
                data=data,
                weight=weight,
                products=lambda add: add([tiles.Run(depth, index(0), inputs)]),
                store=lambda pixel, c, value: anchor.store([*_unravel(first + pixel, leading), c], value),
            )

        for size in sorted({size for _, size in tiled}, reverse=True):
            firsts = [first for first, other in tiled if other == size]
            before = sum(first < firsts[0] for first, _ in tiled)
            statements.append(
                nest(
                    [("panel", panels), ("tile", len(firsts))],
                    lambda panel, t, size=size, start=firsts[0], before=before: tile(
                        panel, t + before, t * size + start, size
                    ),
                    parallel=parallel,
                )
            )
        return sequence(statements)


def _unravel(flat_index: Expr, extents: list[int]) -> list[Expr]:
    """The indices, along the given extents, of an element's number."""
    values: list[Expr] = []
    for position, extent in enumerate(reversed(extents)):
        last = position == len(extents) - 1
        values.append(index(0) if extent == 1 else flat_index if last else tirx.floormod(flat_index, index(extent)))
        flat_index = tirx.floordiv(flat_index, index(extent))
    return list(reversed(values))
