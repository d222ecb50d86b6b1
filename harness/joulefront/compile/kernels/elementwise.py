"""Functions that compute each output by itself: what was not fused to anything, and what moves data.

The innermost axis goes in vectors. Axes that all tensors have in the same order are one long axis. Where the decisions of
a concatenation or of padding fall, the map is cut into pieces; where a tensor is read along another axis, as when it is
transposed, blocks of both axes keep what is read in the first cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

from tvm import tirx
from tvm.tirx import ForKind

from joulefront.compile.kernels.machine import LINE, Machine
from joulefront.compile.kernels.pieces import Piece, pieces, slope
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
    groups: dict[Any, list[Piece]] = {}  # what differs in the innermost axis alone shares the loops of the others
    for piece in pieces(replace(value, one), extents):
        groups.setdefault((piece.starts[:-1], piece.stops[:-1]), []).append(piece)
    for (starts, stops), group in groups.items():
        rows = []
        for piece in group:
            shift = {axis: axis + start for axis, start in zip(extents, piece.starts, strict=True) if start}
            length = piece.stops[-1] - piece.starts[-1] if extents else 1
            rows.append(_Row(length, replace(replace(place, one), shift), replace(piece.value, shift)))
        counts = [stop - start for start, stop in zip(starts, stops, strict=True)]
        statements.append(_loops(*_merged(list(extents), counts, rows), stored, machine))
    return sequence([*views.declarations, *statements])


class _Row(NamedTuple):
    """``length`` elements along the innermost axis: where each is stored, and its value."""

    length: int
    place: Expr
    value: Expr

    @property
    def offsets(self) -> list[Expr]:
        """Where elements are stored and read."""
        return [self.place, *(load.indices[0] for load in loads(self.value))]

    def along(self, places: dict[Any, Expr]) -> _Row:
        """The row at a place along the other axes."""
        return _Row(self.length, replace(self.place, places), replace(self.value, places))


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


def _loops(axes: list[Any], counts: list[int], rows: list[_Row], target: Buffer, machine: Machine) -> Stmt:
    """Loops that store all rows for each of the ``counts`` along all axes but the innermost."""
    if not axes:
        return tirx.BufferStore(target, rows[0].value, [rows[0].place])
    *outer, inner = axes
    parallel = machine.parallel(prod(counts) * sum(row.length for row in rows) * _WORK)

    def vector(row: _Row, lanes: int, first: Expr, places: dict[Any, Expr]) -> Stmt:
        def element(lane: Expr) -> Stmt:
            _, place, value = row.along({**places, inner: first + lane})
            return tirx.BufferStore(target, value, [place])

        return loop("lane", lanes, element, ForKind.VECTORIZED)

    def rest(row: _Row, places: dict[Any, Expr]) -> list[Stmt]:
        """What is left behind the last whole vector, in shorter and shorter ones.

        No element is stored twice: TVM may keep a buffer in the place of the one that it is computed from.
        """
        statements, lanes = [], machine.lanes_within(row.length)
        left, size = row.length % lanes, lanes // 2
        while left:
            if left >= size:
                statements.append(vector(row, size, index(row.length - left), places))
                left -= size
            size //= 2
        return statements

    def whole(row: _Row, places: dict[Any, Expr]) -> Stmt:
        lanes = machine.lanes_within(row.length)
        chunks = loop("chunk", row.length // lanes, lambda chunk: vector(row, lanes, chunk * lanes, places))
        return sequence([chunks, *rest(row, places)])

    def transposed(row: _Row, across: Any) -> Stmt:
        """Squares of a line of the cache each way."""
        extents = [(axis.name, count) for axis, count in zip(outer, counts, strict=True) if not axis.same_as(across)]
        others = [axis for axis in outer if not axis.same_as(across)]
        count = next(count for axis, count in zip(outer, counts, strict=True) if axis.same_as(across))
        lanes = machine.lanes_within(row.length)

        def strip(*known: Expr) -> Stmt:
            *fixed, block = known
            places = dict(zip(others, fixed, strict=True))

            def lines(body: Callable[[dict[Any, Expr]], Stmt]) -> Stmt:
                first = block * LINE
                many = LINE if count % LINE == 0 else tirx.min(index(LINE), count - first)
                return loop("line", many, lambda line: body({**places, across: first + line}))

            def square(chunk: Expr) -> Stmt:
                return lines(lambda at: vector(row, lanes, chunk * lanes, at))

            tail = [lines(lambda at: sequence(rest(row, at)))] if row.length % lanes else []
            return sequence([loop("chunk", row.length // lanes, square), *tail])

        return nest([*extents, ("block", -(-count // LINE))], strip, parallel=parallel)

    def parted(row: _Row) -> Stmt:
        """One long row shared out among the threads."""
        lanes, parts = machine.lanes_within(row.length), 4 * machine.threads
        chunks = row.length // lanes
        each = -(-chunks // parts)

        def part(number: Expr) -> Stmt:
            first = number * each
            many = tirx.min(index(each), chunks - first)  # none, perhaps
            return loop("chunk", many, lambda chunk: vector(row, lanes, (first + chunk) * lanes, {}))

        return sequence([loop("part", parts, part, ForKind.PARALLEL), *rest(row, {})])

    crossed = [_across(outer, inner, row.value) for row in rows]
    if any(axis is not None for axis in crossed):
        return sequence(
            [
                _loops(axes, counts, [row], target, machine) if across is None else transposed(row, across)
                for row, across in zip(rows, crossed, strict=True)
            ]
        )
    if parallel and not outer:
        return sequence([parted(row) for row in rows])
    extents = [(axis.name, count) for axis, count in zip(outer, counts, strict=True)]
    return nest(
        extents,
        lambda *at: sequence([whole(row, dict(zip(outer, at, strict=True))) for row in rows]),
        parallel=parallel,
    )


def _merged(axes: list[Any], counts: list[int], rows: list[_Row]) -> tuple[list[Any], list[int], list[_Row]]:
    """The same with neighbouring axes as one where all that is read and stored lies in their order."""
    for position in reversed(range(len(axes) - 1)):
        outer, inner = axes[position : position + 2]
        innermost = position == len(axes) - 2
        if innermost and len(rows) > 1:
            continue
        span = rows[0].length if innermost else counts[position + 1]
        if any(_elsewhere(row.value, (outer, inner)) for row in rows) or not all(
            _follows(offset, outer, inner, span) for row in rows for offset in row.offsets
        ):
            continue
        rows = [row.along({outer: index(0)}) for row in rows]
        axes = [*axes[:position], *axes[position + 1 :]]
        if innermost:
            rows = [rows[0]._replace(length=span * counts[position])]
            counts = counts[:position]
        else:
            counts = [*counts[:position], span * counts[position], *counts[position + 2 :]]
    return axes, counts, rows


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
