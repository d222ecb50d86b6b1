"""The rows of a sliding window that are inside the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tvm import tirx

from joulefront.compile.kernels.tir import Expr, Stmt, index, loop


class Axis(NamedTuple):
    """One axis of a sliding window, in elements: the map's ``extent``, the ``outputs`` and the window's own ``size``."""

    extent: int
    outputs: int
    size: int
    stride: int
    pad: int
    dilation: int

    def origin(self, output: Expr) -> Expr:
        """Where an output's window begins; before the map's own beginning, this is negative."""
        return output * self.stride - self.pad

    def bounds(self, output: Expr) -> tuple[Expr, Expr]:
        """The first of the window's places inside the map, and the one past the last."""
        origin, step = self.origin(output), self.dilation
        if self.pad == 0 and (self.outputs - 1) * self.stride + (self.size - 1) * step < self.extent:
            return index(0), index(self.size)
        first, past = -origin, index(self.extent) - origin
        if step > 1:
            first, past = tirx.floordiv(first + (step - 1), index(step)), tirx.floordiv(past + (step - 1), index(step))
        return tirx.max(index(0), first), tirx.min(index(self.size), past)

    def inside(self, output: Expr, body: Callable[[Expr], Stmt]) -> Stmt:
        """A loop over those places of an output's window that are inside the map."""
        first, past = self.bounds(output)
        if isinstance(first, tirx.IntImm) and isinstance(past, tirx.IntImm):
            return loop("i", int(past.value), body)
        return loop("i", past - first, body, start=first)
