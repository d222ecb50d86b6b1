"""A map cut where its elements are computed in another way: the sources of a concatenation, the border of a padded map.

TVM writes such an operator as one expression that decides for each element. Cut along the thresholds of its comparisons,
each piece has an expression that decides nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import tvm
import tvm_ffi
from tvm import tirx
from tvm.sym import Analyzer

from joulefront.compile.kernels.tir import Expr, index, replace

_MOST = 64  # pieces; what falls into more keeps its decisions
_TRUTH = {
    tirx.LT: operator.lt,
    tirx.LE: operator.le,
    tirx.GT: operator.gt,
    tirx.GE: operator.ge,
    tirx.EQ: operator.eq,
    tirx.NE: operator.ne,
}


class Piece(NamedTuple):
    """Elements from ``starts`` up to ``stops`` along each axis, and what each of them is."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    value: Expr


def pieces(value: Expr, extents: Mapping[Any, int]) -> list[Piece]:
    """A value over axes of the given extents, in pieces within which no comparison of one axis changes."""
    cuts = {axis: {0, extent} for axis, extent in extents.items()}
    for axis, at in _thresholds(value, list(extents)):
        if 0 < at < extents[axis]:
            cuts[axis].add(at)
    if prod(len(at) - 1 for at in cuts.values()) > _MOST:
        cuts = {axis: {0, extent} for axis, extent in extents.items()}
    found = []
    for spans in product(*(pairwise(sorted(at)) for at in cuts.values())):
        analyzer = Analyzer()
        for axis, (start, stop) in zip(extents, spans, strict=True):
            analyzer.bind(axis, tvm.ir.Range.from_min_extent(index(start), index(stop - start)))
        starts, stops = zip(*spans, strict=True) if spans else ((), ())
        found.append(Piece(starts, stops, analyzer.simplify(value)))
    return found


def slope(expr: Expr, variable: Any) -> int | None:
    """What an index grows by when a variable does by one; None where that is not always the same."""
    step = Analyzer().simplify(replace(expr, {variable: variable + 1}) - expr)
    return int(step.value) if isinstance(step, tirx.IntImm) else None


def _thresholds(value: Expr, axes: Sequence[Any]) -> Iterator[tuple[Any, int]]:
    """The places at which comparisons of one axis with a constant change."""
    comparisons: list[Any] = []

    def note(comparison: Any) -> Any:
        comparisons.append(comparison)
        return comparison

    tvm_ffi.structural_map(value, (tuple(_TRUTH), note))
    for comparison in comparisons:
        difference, holds = comparison.a - comparison.b, _TRUTH[type(comparison)]
        used = list(tirx.analysis.undefined_vars(difference, []))
        axis = next((axis for axis in axes if len(used) == 1 and axis.same_as(used[0])), None)
        if axis is None or not (step := slope(difference, axis)):
            continue
        first = Analyzer().simplify(replace(difference, {axis: index(0)}))
        if not isinstance(first, tirx.IntImm):
            continue
        zero = -int(first.value) // step
        for at in (zero, zero + 1):
            if holds(step * at + int(first.value), 0) != holds(step * (at - 1) + int(first.value), 0):
                yield axis, at
