"""The transforms of Winograd's minimal filtering F(m x m, 3 x 3), derived with exact fractions.

An output tile of m x m pixels is ``A' [(G g G') * (B' d B)] A`` of a kernel g of 3 x 3 and an input tile d of m + 2 pixels
a side: (m + 2)² products instead of 9 m² (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015).
The matrices follow from interpolation (Toom and Cook) at 0, at pairs ± p and at infinity. Which points decides the
rounding error: at ± 3/4 and ± 3/2, F(4 x 4) errs a fourth of what it does at the usual ± 1 and ± 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import chain
from math import prod

import numpy as np
from numpy.typing import NDArray
from tvm.tirx import FloatImm

from joulefront.compile.kernels.tir import Expr, splat

KERNEL = 3  # rows and columns of a kernel
PAIRS = {2: (Fraction(1),), 4: (Fraction(3, 4), Fraction(3, 2))}
"""By the size m of an output tile: the points p of the pairs ± p."""

Bind = Callable[[Expr], Expr]
"""Gives an expression a name, so that it is computed once."""


@dataclass(frozen=True, slots=True)
class Transforms:
    """The transforms for output tiles of ``size`` x ``size`` pixels."""

    size: int

    @property
    def span(self) -> int:
        """Rows and columns of an input tile, and of a transformed one."""
        return self.size + KERNEL - 1

    @property
    def points(self) -> list[Fraction]:
        """The finite points, in the order of the transformed tile's rows; infinity is its last row."""
        return [Fraction(0), *chain.from_iterable((p, -p) for p in PAIRS[self.size])]

    def weights(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """Kernels (3, 3, ...), transformed in float64 to (span², ...)."""
        rows = [[float(p**j / self._scale(p)) for j in range(KERNEL)] for p in self.points]
        matrix = np.array([*rows, [0.0, 0.0, 1.0]])
        # Both dimensions at once: one product of matrices.
        transformed = np.kron(matrix, matrix) @ weight.reshape(KERNEL**2, -1).astype(np.float64)
        return transformed.astype(np.float32).reshape(self.span**2, *weight.shape[2:])

    def tap(self, i: Expr, transformed: Callable[[int], Expr], select: Callable[..., Expr]) -> Expr:
        """The i-th of three weights out of the transformed ones: the inverse of ``weights`` in one dimension."""
        zero, plus, minus = self.points[:3]
        first = transformed(0) * _float(self._scale(zero))
        odd = transformed(1) * _float(self._scale(plus)) - transformed(2) * _float(self._scale(minus))
        second, last = odd * _float(1 / (2 * plus)), transformed(self.span - 1)
        return select(i == 0, first, select(i == 1, second, last))

    def inputs(self, data: Sequence[Expr], lanes: int, bind: Bind) -> list[Expr]:
        """B' times a column of ``span`` vectors."""
        rows = [self._row(others) for others in (self.points[1:], None)]
        pairs = [self._row([q for q in self.points if q != point]) for point in self.points[1::2]]
        out = [_sum(rows[0], data, lanes)]
        for row in pairs:
            even = bind(_sum([c if j % 2 == 0 else Fraction(0) for j, c in enumerate(row)], data, lanes))
            lead = row[-3]  # of the odd coefficients the last that is not zero
            odd = bind(_sum([c / lead if j % 2 else Fraction(0) for j, c in enumerate(row)], data, lanes))
            scaled = _times(lead, odd, lanes)
            out += [even + scaled, even - scaled]
        return [*out, _sum(rows[1], data, lanes)]

    def outputs(self, products: Sequence[Expr], lanes: int, bind: Bind) -> list[Expr]:
        """A' times a column of ``span`` vectors: ``size`` of them."""
        first, *pairs, last = products
        both = [(bind(a + b), bind(a - b)) for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
        out = []
        for i in range(self.size):
            terms = [_times(p**i, pair[i % 2], lanes) for p, pair in zip(PAIRS[self.size], both, strict=True)]
            terms = [first, *terms] if i == 0 else [last, *terms] if i == self.size - 1 else terms
            out.append(reduce(lambda a, b: a + b, terms))
        return out

    def _scale(self, point: Fraction) -> Fraction:
        return prod((point - q for q in self.points if q != point), start=Fraction(1))

    def _row(self, roots: Sequence[Fraction] | None) -> list[Fraction]:
        """The coefficients, lowest first, of the polynomial with those roots; all points' for None."""
        coefficients = [Fraction(1)]
        for root in self.points if roots is None else roots:
            shifted, scaled = [Fraction(0), *coefficients], [*coefficients, Fraction(0)]
            coefficients = [a - root * b for a, b in zip(shifted, scaled, strict=True)]
        return coefficients + [Fraction(0)] * (self.span - len(coefficients))


def _float(value: Fraction) -> Expr:
    return FloatImm("float32", float(value))


def _times(factor: Fraction, value: Expr, lanes: int) -> Expr:
    return value if factor == 1 else value * splat(_float(factor), lanes)


def _sum(factors: Sequence[Fraction], values: Sequence[Expr], lanes: int) -> Expr:
    terms = [_times(factor, value, lanes) for factor, value in zip(factors, values, strict=True) if factor]
    return reduce(lambda a, b: a + b, reversed(terms))
