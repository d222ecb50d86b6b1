"""Reductions whose elements lie side by side in memory, such as the mean along the last axis."""

from __future__ import annotations

from math import prod
from typing import Any

from tvm import tirx
from tvm.tirx import BufferLoad, BufferStore
from tvm.tirx.stmt import AllocBuffer

from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.reduction import axes_of, contiguous
from joulefront.compile.kernels.rows import Row
from joulefront.compile.kernels.tir import Expr, Stmt, Store, index, loads, loop, nest, replace, sequence, stack

_NEUTRAL = {tirx.Add: 0.0, tirx.Max: None, tirx.Min: None}  # what a sum begins with; a maximum may begin with anything


def applies(block: Any) -> bool:
    """Whether a block is a float32 sum, maximum or minimum that reads vectors of its innermost reduced axis."""
    if block.init is None or str(block.body.buffer.ty.dtype) != "float32" or type(block.body.value) not in _NEUTRAL:
        return False
    outputs, reduced = axes_of(block)
    stored, start = list(block.body.indices), block.init.value
    if len(stored) != len(outputs) or not all(a.same_as(b.var) for a, b in zip(stored, outputs, strict=True)):
        return False
    if not reduced or not isinstance(start, tirx.FloatImm):
        return False
    if _NEUTRAL[type(block.body.value)] not in (None, float(start.value)):
        return False
    element = _element(block)
    if element is None or any(read.source.same_as(block.body.buffer) for read in loads(element)):
        return False
    last = reduced[-1]
    reads = loads(element)
    return int(last.dom.extent) > 1 and all(
        str(read.source.ty.dtype) == "float32" and contiguous(read.indices, last.var) for read in reads
    )


def emit(block: Any, machine: Machine, store: Store) -> Stmt:
    """The loops of a reduction that ``applies``; ``store`` finishes and stores each output."""
    outputs, reduced = axes_of(block)
    *outer, last = reduced
    combine, element, start = type(block.body.value), _element(block), float(block.init.value.value)
    row = Row.of(int(last.dom.extent), machine)
    extents = [(axis.var.name, int(axis.dom.extent)) for axis in outputs]
    work = prod(size for _, size in extents) * prod(int(axis.dom.extent) for axis in reduced)

    def one(*at: Expr) -> Stmt:
        total = stack("total", 1)
        first = [index(0)]

        def rows(axes: list[Any], places: dict[Any, Expr]) -> Stmt:
            if axes:
                axis, *rest = axes
                return loop(axis.var.name, int(axis.dom.extent), lambda value: rows(rest, places | {axis.var: value}))
            statements, result = row.reduce("part", start, combine, lambda i: replace(element, places | {last.var: i}))
            return sequence([*statements, BufferStore(total, combine(BufferLoad(total, first), result), first)])

        return sequence(
            [
                AllocBuffer(total),
                BufferStore(total, tirx.FloatImm("float32", start), first),
                rows(outer, {axis.var: place for axis, place in zip(outputs, at, strict=True)}),
                store(list(at), BufferLoad(total, first)),
            ]
        )

    return nest(extents, one, parallel=machine.parallel(work) and bool(extents))


def _element(block: Any) -> Any | None:
    """What is combined with the result so far."""
    sides = [block.body.value.a, block.body.value.b]
    so_far = [hasattr(side, "source") and side.source.same_as(block.body.buffer) for side in sides]
    return sides[so_far.index(False)] if any(so_far) and not all(so_far) else None
