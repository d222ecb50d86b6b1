"""Layer norm over the last axes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from operator import add
from typing import Any

from tvm import tirx
from tvm.tirx import BufferLoad, BufferStore

from joulefront.compile.kernels.anchor import Site
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.rows import Row, finished, named
from joulefront.compile.kernels.tir import Buffer, Expr, Stmt, flat, index, nest, sequence
from joulefront.kernel_records import Variant, Workload

_WORK = 6  # three passes over a row take about as long as so many multiply-adds of each element


class LayerNorm:
    """(x - mean(x)) / sqrt(var(x) + epsilon) of each row, times a weight and plus a bias.

    Rows are what float32 data (…, *normalized shape) has along its last axes; weight and bias have the normalized shape.

    The mean comes first and then the variance about it, as in torch: the mean of the squares would lose too much.
    """

    name = "layer_norm"
    operator = "layer_norm"

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """See Kernel.variants."""
        return {Variant(self.name, ()): _WORK * prod(workload["out"]) / machine.lanes}

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:
        """See Kernel.call."""
        (length,) = site.workload["row"]
        rows = prod(site.workload["out"]) // length
        row = Row.of(length, machine)
        share, one = tirx.FloatImm("float32", 1.0 / length), tirx.FloatImm("float32", 1.0)

        def body(*buffers: Buffer) -> Stmt:
            (x, weight, bias, epsilon, y), declare = zip(*(flat(buffer) for buffer in buffers), strict=True)

            def normalized(at: Expr) -> Stmt:
                base = at * length
                summed, total = row.reduce("sum", 0.0, add, lambda i: BufferLoad(x, [base + i]))
                mean, bind_mean = named("mean", total * share)
                square, squares = row.reduce("squares", 0.0, add, lambda i: _square(BufferLoad(x, [base + i]) - mean))
                deviation = tirx.sqrt(squares * share + BufferLoad(epsilon, [index(0)]))
                factor, bind_factor = named("factor", one / deviation)

                def finish(i: Expr, _first: Expr | None) -> Stmt:
                    value = (BufferLoad(x, [base + i]) - mean) * factor
                    return BufferStore(y, value * BufferLoad(weight, [i]) + BufferLoad(bias, [i]), [base + i])

                return sequence([*summed, bind_mean, *square, bind_factor, row.each(finish)])

            parallel = machine.parallel(_WORK * rows * length)
            return sequence([*declare, nest([("row", rows)], normalized, parallel=parallel)])

        return finished(builder, variant.kernel, site.inputs, site.workload["out"], body)


def _square(x: Expr) -> Expr:
    return x * x
