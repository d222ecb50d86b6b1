"""Any reduction whose outputs lie side by side in memory: pooling, depthwise convolution, means, batched products.

The loops are those of the operator, but for the innermost output axis, which goes in vectors with their accumulators in
registers. It needs to know nothing of the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tvm import tirx
from tvm.sym import Analyzer
from tvm.tirx import ForKind
from tvm.tirx.stmt import AllocBuffer

from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import (
    Buffer,
    Expr,
    Stmt,
    Store,
    index,
    loads,
    loop,
    nest,
    replace,
    replace_loads,
    sequence,
    stack,
)

_VECTORS = 4  # independent sums, to hide the latency of an addition
_REDUCE = 2  # TVM's kCommReduce


def applies(block: Any) -> bool:
    """Whether a block is a float32 reduction that reads vectors of its innermost output axis, or the same for all."""
    if block.init is None or str(block.body.buffer.ty.dtype) != "float32":
        return False
    outputs, _ = axes_of(block)
    stored = list(block.body.indices)
    if (
        not outputs
        or len(stored) != len(outputs)
        or not all(a.same_as(b.var) for a, b in zip(stored, outputs, strict=True))
    ):
        return False
    last = outputs[-1].var
    return int(outputs[-1].dom.extent) > 1 and all(contiguous(read.indices, last) for read in loads(block.body.value))


def emit(block: Any, machine: Machine, store: Store) -> Stmt:
    """The loops of a reduction that ``applies``; ``store`` finishes and stores each output."""
    outputs, reduced = axes_of(block)
    *outer, inner = outputs
    extents = [(axis.var.name, int(axis.dom.extent)) for axis in outer]
    extent, lanes = int(inner.dom.extent), machine.lanes
    work = extent * prod(size for _, size in extents) * prod(int(axis.dom.extent) for axis in reduced)

    def row(*at: Expr) -> Stmt:
        def chunk(first: Expr, vectors: int, size: int) -> Stmt:
            return _chunk(block, list(at), first, vectors, size, store)

        whole, rest = divmod(extent, _VECTORS * lanes)
        statements = []
        if whole:
            statements.append(loop("chunk", whole, lambda i: chunk(i * (_VECTORS * lanes), _VECTORS, lanes)))
        first, size = extent - rest, lanes
        while rest:
            if rest >= size:
                vectors = rest // size
                statements.append(chunk(index(first), vectors, size))
                first, rest = first + vectors * size, rest - vectors * size
            size //= 2
        return sequence(statements)

    return nest(extents, row, parallel=machine.parallel(work) and bool(extents))


def _chunk(block: Any, at: list[Expr], first: Expr, vectors: int, size: int, store: Store) -> Stmt:
    """Some vectors of outputs: clear, reduce, finish and store."""
    outputs, reduced = axes_of(block)
    sums = [stack(f"sum{v}", size) for v in range(vectors)]

    def each(body: Callable[[Buffer, Expr, list[Expr]], Stmt]) -> list[Stmt]:
        """``body(accumulator, lane, indices of the output)`` for all lanes of all vectors."""

        def lanes(v: int) -> Stmt:
            base = first + v * size
            return loop("lane", size, lambda lane: body(sums[v], lane, [*at, base + lane]), ForKind.VECTORIZED)

        return [lanes(v) for v in range(vectors)]

    def put(value: Expr, places: dict[Any, Expr], accumulator: Buffer, lane: Expr, indices: list[Expr]) -> Stmt:
        places = places | {axis.var: place for axis, place in zip(outputs, indices, strict=True)}
        value = replace_loads(value, block.body.buffer, lambda _: tirx.BufferLoad(accumulator, [lane]))
        return tirx.BufferStore(accumulator, replace(value, places), [lane])

    def reduce(axes: list[Any], places: dict[Any, Expr]) -> Stmt:
        if not axes:
            return sequence(each(lambda *target: put(block.body.value, places, *target)))
        axis, *rest = axes
        return loop(axis.var.name, int(axis.dom.extent), lambda value: reduce(rest, places | {axis.var: value}))

    return sequence(
        [
            *(AllocBuffer(buffer) for buffer in sums),
            *each(lambda *target: put(block.init.value, {}, *target)),
            reduce(reduced, {}),
            *each(lambda accumulator, lane, indices: store(indices, tirx.BufferLoad(accumulator, [lane]))),
        ]
    )


def axes_of(block: Any) -> tuple[list[Any], list[Any]]:
    """The block's axes that are outputs, and those that are reduced."""
    reduced = [axis for axis in block.iter_vars if axis.iter_type == _REDUCE]
    return [axis for axis in block.iter_vars if axis.iter_type != _REDUCE], reduced


def contiguous(indices: Any, variable: Any) -> bool:
    """Whether neighbours along ``variable`` are neighbours in memory, or the same element."""
    *outer, last = indices
    if any(variable.same_as(used) for at in outer for used in tirx.analysis.undefined_vars(at, [])):
        return False
    slope = Analyzer().simplify(replace(last, {variable: variable + 1}) - last)
    return isinstance(slope, tirx.IntImm) and int(slope.value) in (0, 1)
