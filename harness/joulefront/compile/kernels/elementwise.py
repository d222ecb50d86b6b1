"""Functions that compute each output by itself: what was not fused to anything, and what moves data.

The innermost axis goes in vectors. Axes that all tensors have in the same order are one long axis. Where the decisions of
a concatenation or of padding fall, the map is cut into pieces; where a tensor is read along another axis, as when it is
transposed, blocks of both axes keep what is read in the first cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tvm import tirx
from tvm.tirx import ForKind

from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.pieces import pieces, slope
from joulefront.compile.kernels.tir import (
    Buffer,
    Expr,
    Stmt,
    dims,
    flat,
    index,
    loads,
    loop,
    nest,
    replace,
    replace_loads,
    sequence,
)

_WORK = 8  # an element moved takes about as long as so many multiply-adds
_LINE = 16  # floats of a cache line


def applies(block: Any) -> bool:
    """Whether a block computes float32 outputs, in the order of its axes, from float32 inputs at places known now."""
    body, axes = block.body, [axis.var for axis in block.iter_vars]
    if block.init is not None or len(body.indices) != len(axes):
        return False
    if not all(at.same_as(axis) for at, axis in zip(body.indices, axes, strict=True)):
        return False
    reads = loads(body.value)
    buffers = [body.buffer, *(read.source for read in reads)]
    return all(str(buffer.ty.dtype) == "float32" for buffer in buffers) and not any(
        loads(at) for read in reads for at in read.indices
    )


def emit(block: Any, machine: Machine) -> Stmt:
    """The loops of a block that ``applies``."""
    target, axes = block.body.buffer, [axis.var for axis in block.iter_vars]
    views, statements = _Views(), []
    value = views.flattened(block.body.value)
    place = _place(target, axes)
    one = {axis: index(0) for axis, extent in zip(axes, dims(target), strict=True) if extent == 1}
    extents = {axis: extent for axis, extent in zip(axes, dims(target), strict=True) if extent > 1}
    stored = views.of(target)
    for piece in pieces(replace(value, one), extents):
        spans = [stop - start for start, stop in zip(piece.starts, piece.stops, strict=True)]
        shift = {axis: axis + start for axis, start in zip(extents, piece.starts, strict=True) if start}
        statements.append(
            _loops(
                list(extents),
                spans,
                stored,
                replace(replace(place, one), shift),
                replace(piece.value, shift),
                machine,
            )
        )
    return sequence([*views.declarations, *statements])


class _Views:
    """One-dimensional views of buffers."""

    def __init__(self) -> None:
        self._views: list[tuple[Buffer, Buffer]] = []
        self.declarations: list[Stmt] = []

    def of(self, buffer: Buffer) -> Buffer:
        """The view of a buffer."""
        found = next((view for known, view in self._views if known.same_as(buffer)), None)
        if found is None:
            found, declaration = flat(buffer)
            self._views.append((buffer, found))
            self.declarations.append(declaration)
        return found

    def flattened(self, value: Expr) -> Expr:
        """A value that reads views instead of the buffers."""
        for buffer in {id(load.source): load.source for load in loads(value)}.values():
            view = self.of(buffer)
            value = replace_loads(
                value,
                buffer,
                lambda load, view=view, buffer=buffer: tirx.BufferLoad(view, [_place(buffer, load.indices)]),  # type: ignore[misc]
            )
        return value


def _place(buffer: Buffer, indices: Sequence[Expr]) -> Expr:
    """The offset of an element."""
    offset: Expr = index(0)
    for extent, at in zip(dims(buffer), indices, strict=True):
        offset = offset * extent + at
    return offset


def _loops(axes: list[Any], spans: list[int], target: Buffer, place: Expr, value: Expr, machine: Machine) -> Stmt:
    """Loops that store a value for each element of a piece."""
    axes, spans, place, value = _merged(axes, spans, place, value)
    if not axes:
        return tirx.BufferStore(target, value, [place])
    *outer, inner = axes
    *counts, length = spans
    lanes = machine.lanes
    while lanes > length:
        lanes //= 2
    across = _across(outer, inner, value)
    parallel = machine.parallel(prod(spans) * _WORK)

    def at(first: Expr, places: dict[Any, Expr]) -> Stmt:
        def element(lane: Expr) -> Stmt:
            known = {**places, inner: first + lane}
            return tirx.BufferStore(target, replace(value, known), [replace(place, known)])

        return loop("lane", lanes, element, ForKind.VECTORIZED)

    def row(places: dict[Any, Expr]) -> Stmt:
        """All vectors of a row; the last begins earlier where the row is not a multiple."""
        whole, rest = divmod(length, lanes)
        statements = [loop("chunk", whole, lambda chunk: at(chunk * lanes, places))]
        return sequence([*statements, *([at(index(length - lanes), places)] if rest else [])])

    if across is None:
        if parallel and not outer:
            return _parted(length, lanes, machine, lambda first: at(first, {}))
        extents = [(axis.name, count) for axis, count in zip(outer, counts, strict=True)]
        return nest(extents, lambda *at: row(dict(zip(outer, at, strict=True))), parallel=parallel)
    position = next(number for number, axis in enumerate(outer) if axis.same_as(across))
    others = [axis for axis in outer if not axis.same_as(across)]
    extents = [(axis.name, count) for axis, count in zip(outer, counts, strict=True) if not axis.same_as(across)]
    blocks, chunks = -(-counts[position] // _LINE), -(-length // lanes)

    def square(*known: Expr) -> Stmt:
        *fixed, b, chunk = known
        first = tirx.min(b * _LINE, index(max(0, counts[position] - _LINE)))
        start = tirx.min(chunk * lanes, index(length - lanes))
        places = dict(zip(others, fixed, strict=True))
        return loop("line", min(_LINE, counts[position]), lambda line: at(start, {**places, across: first + line}))

    return nest([*extents, ("block", blocks), ("chunk", chunks)], square, parallel=parallel)


def _parted(length: int, lanes: int, machine: Machine, at: Any) -> Stmt:
    """One long row shared out among the threads."""
    chunks, parts = -(-length // lanes), 4 * machine.threads
    each = -(-chunks // parts)
    return loop(
        "part",
        parts,
        lambda part: loop("chunk", each, lambda k: at(tirx.min((part * each + k) * lanes, index(length - lanes)))),
        ForKind.PARALLEL,
    )


def _merged(axes: list[Any], spans: list[int], place: Expr, value: Expr) -> tuple[list[Any], list[int], Expr, Expr]:
    """The same with the innermost axes as one, for as long as all that is read and stored lies in their order."""
    offsets = [place, *(load.indices[0] for load in loads(value))]
    while len(axes) > 1:
        (*_, outer, inner), span = axes, spans[-1]
        if _elsewhere(value, (outer, inner)) or not all(_follows(offset, outer, inner, span) for offset in offsets):
            break
        zero = {outer: index(0)}
        place, value, offsets = replace(place, zero), replace(value, zero), [replace(o, zero) for o in offsets]
        axes, spans = [*axes[:-2], inner], [*spans[:-2], spans[-2] * span]
    return axes, spans, place, value


def _follows(offset: Expr, outer: Any, inner: Any, span: int) -> bool:
    """Whether one step of an outer axis goes as far as ``span`` of the inner one."""
    far, near = slope(offset, outer), slope(offset, inner)
    return far is not None and near is not None and far == near * span


def _elsewhere(value: Expr, axes: Sequence[Any]) -> bool:
    """Whether a value depends on an axis other than by what it reads."""
    bare = value
    for load in loads(value):
        bare = replace_loads(bare, load.source, lambda _: tirx.FloatImm("float32", 0.0))
    return any(axis.same_as(used) for axis in axes for used in tirx.analysis.undefined_vars(bare, []))


def _across(outer: Sequence[Any], inner: Any, value: Expr) -> Any | None:
    """The axis along which some tensor lies that is not read along the innermost one."""
    for load in loads(value):
        (offset,) = load.indices
        if (slope(offset, inner) or 0) > 1:
            return next((axis for axis in outer if slope(offset, axis) == 1), None)
    return None
