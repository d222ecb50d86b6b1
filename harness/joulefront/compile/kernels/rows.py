"""What softmax and layer norm have in common: rows along the last axis, each in vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax, tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferLoad, BufferStore, ForKind
from tvm.tirx.stmt import AllocBuffer

from joulefront.compile.kernels.graph import OPAQUE, shape_of
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import Buffer, Expr, Stmt, index, loop, sequence, stack

_CHAINS = 4  # independent sums, to hide the latency of an addition
Combine = Callable[[Expr, Expr], Expr]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of ``length`` floats in vectors of ``lanes``, which are no more than its length.

    What is left behind the whole vectors goes in one more, which ends with the row and so does some again.
    """

    length: int
    lanes: int

    @classmethod
    def of(cls, length: int, machine: Machine) -> Row:
        """A row in the longest vectors that it fills."""
        return cls(length, machine.lanes_within(length))

    def each(self, body: Callable[[Expr, Expr | None], Stmt]) -> Stmt:
        """``body`` for every element, by its number; for some twice, where the second argument says if it is the first
        time."""
        whole, rest = divmod(self.length, self.lanes)
        first = self.length - self.lanes
        last = [self._vector(lambda lane: body(lane + first, lane >= index(self.lanes - rest)))] if rest else []
        return sequence(
            [loop("v", whole, lambda v: self._vector(lambda lane: body(v * self.lanes + lane, None))), *last]
        )

    def reduce(
        self, name: str, start: float, combine: Combine, value: Callable[[Expr], Expr]
    ) -> tuple[list[Stmt], Expr]:
        """The statements that combine ``value`` of every element, and the result of that."""
        whole, rest = divmod(self.length, self.lanes)
        chains = min(_CHAINS, whole)
        parts = [stack(f"{name}{chain}", self.lanes) for chain in range(chains)]
        neutral = tirx.FloatImm("float32", start)

        def add(part: Buffer, first: Expr, skipped: int = 0) -> Stmt:
            def put(lane: Expr) -> Stmt:
                new = value(first + lane)
                if skipped:
                    new = tirx.Select(lane >= index(skipped), new, neutral)
                return BufferStore(part, combine(BufferLoad(part, [lane]), new), [lane])

            return self._vector(put)

        def round_of(count: int, first: Expr) -> Stmt:
            return sequence([add(part, first + i * self.lanes) for i, part in enumerate(parts[:count])])

        rounds, odd = divmod(whole, chains)
        statements: list[Stmt] = [AllocBuffer(part) for part in parts]
        statements += [self._vector(lambda lane, part=part: BufferStore(part, neutral, [lane])) for part in parts]  # type: ignore[misc]
        statements.append(loop("v", rounds, lambda v: round_of(chains, v * (chains * self.lanes))))
        if odd:
            statements.append(round_of(odd, index(rounds * chains * self.lanes)))
        if rest:
            statements.append(add(parts[-1], index(self.length - self.lanes), self.lanes - rest))
        while len(parts) > 1:
            last = parts.pop()
            into = parts[len(parts) // 2]
            statements.append(self._vector(lambda lane, a=into, b=last: _into(combine, a, b, lane, lane)))  # type: ignore[misc]
        across, result = self._across(parts[0], combine)
        return [*statements, *across], result

    def _across(self, buffer: Buffer, combine: Combine) -> tuple[list[Stmt], Expr]:
        """Combine the lanes of one vector: halves, and halves of these."""
        statements, lanes = [], self.lanes
        while lanes > 1:
            lanes //= 2
            half = stack(f"half{lanes}", lanes)

            def put(lane: Expr, half: Buffer = half, whole: Buffer = buffer, other: int = lanes) -> Stmt:
                return BufferStore(half, combine(BufferLoad(whole, [lane]), BufferLoad(whole, [lane + other])), [lane])

            statements += [AllocBuffer(half), loop("lane", lanes, put, ForKind.VECTORIZED)]
            buffer = half
        return statements, BufferLoad(buffer, [index(0)])

    def _vector(self, body: Callable[[Expr], Stmt]) -> Stmt:
        return loop("lane", self.lanes, body, ForKind.VECTORIZED)


def _into(combine: Combine, into: Buffer, other: Buffer, lane: Expr, other_lane: Expr) -> Stmt:
    return BufferStore(into, combine(BufferLoad(into, [lane]), BufferLoad(other, [other_lane])), [lane])


def named(name: str, value: Expr) -> tuple[Expr, Stmt]:
    """A variable that holds a float, and the statement that binds it."""
    variable = tirx.Var(name, "float32")
    return variable, tirx.stmt.Bind(variable, value)


def finished(builder: Any, name: str, inputs: Sequence[Expr], out: Sequence[int], body: Callable[..., Stmt]) -> Expr:
    """The call to a function whose ``body`` takes its buffers, the output last; nothing is fused to it."""
    shapes = [*(shape_of(one) for one in inputs), tuple(out)]
    buffers = [tirx.decl_buffer(shape, "float32", name=f"p{i}") for i, shape in enumerate(shapes)]
    root = SBlock([], [], [], "root", body(*buffers))
    function = tirx.PrimFunc(buffers, SBlockRealize([], True, root))
    function = function.with_attr("op_pattern", OPAQUE).with_attr("tirx.noalias", True)
    variable = builder.add_func(function, name)
    return relax.call_tir(variable, list(inputs), relax.TensorType(tuple(out), "float32"))
