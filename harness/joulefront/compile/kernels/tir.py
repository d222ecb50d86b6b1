"""The few shapes of TIR that the kernels are made of. Indices are int64 throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir.expr import TensorLoad
from tvm.tirx import For, ForKind

Expr = Any
Stmt = Any
Buffer = Any
Store = Callable[[Sequence[Expr], Expr], Stmt]
"""Given the indices of an output element and its value, the statement that finishes and stores it."""


def index(value: int) -> Expr:
    """A constant index."""
    return tirx.IntImm("int64", value)


def loop(name: str, extent: Expr, body: Callable[[Expr], Stmt], kind: int = ForKind.SERIAL, start: Expr = 0) -> Stmt:
    """``for name in range(start, start + extent)``; a loop of one round is its body."""
    start = index(start) if isinstance(start, int) else start
    if isinstance(extent, int):
        if extent == 1:
            return body(start)
        extent = index(extent)
    variable = tirx.Var(name, "int64")
    return For(variable, start, extent, kind, body(variable))


def sequence(statements: Sequence[Stmt]) -> Stmt:
    """The statements one after the other; there may be none."""
    if not statements:
        return tirx.Evaluate(index(0))
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(list(statements))


def nest(extents: Sequence[tuple[str, int]], body: Callable[..., Stmt], *, parallel: bool) -> Stmt:
    """A loop per extent, outermost first; in ``parallel`` they are one loop, shared out among the threads."""
    if parallel:
        total = 1
        for _, extent in extents:
            total *= extent

        def decode(flat: Expr) -> Stmt:
            values = []
            for _, extent in reversed(extents):
                values.append(tirx.floormod(flat, index(extent)) if extent > 1 else index(0))
                flat = tirx.floordiv(flat, index(extent))
            return body(*reversed(values))

        return loop("chunk", total, decode, ForKind.PARALLEL)
    if not extents:
        return body()
    (name, extent), *rest = extents
    return loop(name, extent, lambda value: nest(rest, lambda *others: body(value, *others), parallel=False))


def stack(name: str, size: int) -> Buffer:
    """A small float32 buffer. Only the global scope becomes a stack allocation, and so registers, on a CPU."""
    return tirx.decl_buffer((size,), "float32", name=name, scope="global")


def flat(buffer: Buffer) -> tuple[Buffer, Stmt]:
    """A one-dimensional view of a buffer, and the statement that declares it."""
    size = 1
    for extent in buffer.ty.shape:
        size *= int(extent)
    view = tirx.decl_buffer((size,), buffer.ty.dtype, name=f"{buffer.name}_flat", data=tirx.buffer_data(buffer))
    return view, tirx.stmt.DeclBuffer(view, data=tirx.buffer_data(buffer))


def vector(buffer: Buffer, offset: Expr, lanes: int) -> Expr:
    """``buffer[offset : offset + lanes]``."""
    return tirx.BufferLoad(buffer, [tirx.Ramp(offset, index(1), lanes)])


def store_vector(buffer: Buffer, offset: Expr, value: Expr, lanes: int) -> Stmt:
    """``buffer[offset : offset + lanes] = value``."""
    return tirx.BufferStore(buffer, value, [tirx.Ramp(offset, index(1), lanes)])


def prefetch(buffer: Buffer, offset: Expr) -> Stmt:
    """Ask for the cache line of ``buffer[offset]``, into the second level of the cache."""
    address = tirx.address_of(tirx.BufferLoad(buffer, [offset]))
    hints = (tirx.IntImm("int32", value) for value in (0, 2, 1))  # to read, the second level, data
    return tirx.Evaluate(tirx.call_intrin("void", "tirx.prefetch", address, *hints))


def zeros(lanes: int) -> Expr:
    """A float32 vector of zeros."""
    return splat(tirx.FloatImm("float32", 0.0), lanes)


def splat(value: Expr, lanes: int) -> Expr:
    """The value in every lane."""
    return tirx.Broadcast(value, lanes)


def dims(buffer: Buffer) -> tuple[int, ...]:
    """A buffer's shape as plain integers."""
    return tuple(int(extent) for extent in buffer.ty.shape)


def let(name: str, value: Expr, lanes: int) -> tuple[Expr, Stmt]:
    """A variable that holds a float32 vector, and the statement that binds it."""
    variable = tirx.Var(name, f"float32x{lanes}" if lanes > 1 else "float32")
    return variable, tirx.stmt.Bind(variable, value)


def replace(root: Any, variables: dict[Any, Expr]) -> Any:
    """``root`` with variables replaced by expressions."""
    return tvm_ffi.structural_map(root, (tirx.Var, lambda variable: variables.get(variable, variable)))


def replace_loads(root: Any, buffer: Buffer, value: Callable[[Any], Expr]) -> Any:
    """``root`` with every load from ``buffer`` replaced by what ``value`` makes of that load."""
    return tvm_ffi.structural_map(root, (TensorLoad, lambda load: value(load) if load.source.same_as(buffer) else load))


def loads(root: Any) -> list[Any]:
    """Every load in ``root``."""
    found: list[Any] = []

    def note(load: Any) -> Any:
        found.append(load)
        return load

    tvm_ffi.structural_map(root, (TensorLoad, note))
    return found
