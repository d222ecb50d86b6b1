"""Softmax along the last axis."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, prod
from operator import add
from typing import Any

from tvm import tirx
from tvm.tirx import BufferLoad, BufferStore

from joulefront.compile.kernels.anchor import Site
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.rows import Row, finished, named
from joulefront.compile.kernels.tir import Buffer, Expr, Stmt, flat, nest, sequence
from joulefront.kernel_records import Variant, Workload

_WORK = 20  # an exponential takes about as long as so many multiply-adds


class Softmax:
    """exp(x - max(x)) over its sum, for each row of float32 data (…, length)."""

    name = "softmax"
    operator = "softmax"

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """See Kernel.variants."""
        return {Variant(self.name, ()): _WORK * prod(workload["out"]) / machine.lanes}

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:
        """See Kernel.call."""
        *rows, length = site.workload["out"]
        one, row = tirx.FloatImm("float32", 1.0), Row.of(length, machine)

        def body(data: Buffer, out: Buffer) -> Stmt:
            source, declare_source = flat(data)
            target, declare_target = flat(out)

            def normalized(at: Expr) -> Stmt:
                base = at * length
                find, largest = row.reduce("max", -inf, tirx.max, lambda i: BufferLoad(source, [base + i]))
                most, bind_most = named("most", largest)

                def power(i: Expr, _first: Expr | None) -> Stmt:
                    return BufferStore(target, tirx.exp(BufferLoad(source, [base + i]) - most), [base + i])

                summed, total = row.reduce("sum", 0.0, add, lambda i: BufferLoad(target, [base + i]))
                share, bind_share = named("share", one / total)

                def scale(i: Expr, first: Expr | None) -> Stmt:
                    by = share if first is None else tirx.Select(first, share, one)
                    return BufferStore(target, BufferLoad(target, [base + i]) * by, [base + i])

                return sequence([*find, bind_most, row.each(power), *summed, bind_share, row.each(scale)])

            parallel = machine.parallel(_WORK * prod(rows) * length)
            return sequence(
                [declare_source, declare_target, nest([("row", prod(rows))], normalized, parallel=parallel)]
            )

        return finished(builder, variant.kernel, site.inputs, site.workload["out"], body)
