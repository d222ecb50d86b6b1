"""From fused functions to code: each anchor is replaced by its kernel, with what was fused behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize

from joulefront.compile.kernels import KERNEL, KERNELS, Anchor, Machine
from joulefront.compile.kernels.tir import Expr, Stmt, dims, replace, replace_loads, sequence


def apply_kernels(machine: Machine) -> Any:
    """The pass that puts kernels in the place of their anchors."""

    @tvm.transform.module_pass(opt_level=0, name="ApplyKernels")  # type: ignore[untyped-decorator, unused-ignore]
    def run(module: Any, _context: Any) -> Any:
        module = module.clone()
        for variable, function in list(module.functions_items()):
            if isinstance(function, tirx.PrimFunc):
                scheduled = scheduled_function(function, machine)
                if scheduled is not None:
                    module.update_func(variable, scheduled)
        return module

    return run


def scheduled_function(function: Any, machine: Machine) -> Any | None:
    """The function with its anchor replaced, or None when it has none that a kernel can replace."""
    nests = _nests(function)
    anchors = [nest for nest in nests or () if KERNEL in nest.block.annotations]
    if len(anchors) != 1:
        return None
    fused = _inlined(function)
    nests = _nests(fused)
    if nests is not None and len(nests) <= 2 and (body := _fused(nests, fused, machine)) is not None:
        return _with_body(fused, body, [])
    return _unfused(function, machine)


@dataclass(frozen=True)
class _Nest:
    """A loop nest of a function, and the block in it."""

    statement: Stmt
    block: Any

    @property
    def store(self) -> Any:
        return self.block.body

    @property
    def indices(self) -> list[Any]:
        return [axis.var for axis in self.block.iter_vars]


def _nests(function: Any) -> list[_Nest] | None:
    """The function's loop nests in order; None when it is not a plain sequence of them."""
    body = function.body.block.body
    nests = []
    for statement in body.seq if isinstance(body, tirx.SeqStmt) else [body]:
        inner = statement
        while isinstance(inner, tirx.For):
            inner = inner.body
        if not isinstance(inner, SBlockRealize) or not isinstance(inner.block.body, tirx.BufferStore):
            return None
        nests.append(_Nest(statement, inner.block))
    return nests


def _inlined(function: Any) -> Any:
    """The function with all that follows the anchor in one block."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
    root = schedule.get_sblock("root")
    blocks = schedule.get_child_blocks(root)
    for block in blocks[:-1]:
        if KERNEL not in schedule.get(block).annotations:
            schedule.compute_inline(block)
    return schedule.mod["main"]


def _fused(nests: list[_Nest], function: Any, machine: Machine) -> Stmt | None:
    """The kernel that stores what the last block stores; None if that is not element by element what it computes."""
    anchor, last = nests[0], nests[-1]
    result = anchor.store.buffer
    if KERNEL not in anchor.block.annotations:
        return None
    if anchor is not last:
        if len(last.indices) != len(last.store.indices) or not _identical(last.store.indices, last.indices):
            return None
        loads: list[Any] = []
        replace_loads(last.store.value, result, lambda load: loads.append(load) or load)  # type: ignore[func-returns-value]
        if dims(result) != dims(last.store.buffer) or not all(_identical(load.indices, last.indices) for load in loads):
            return None

    def store(indices: Any, value: Expr) -> Stmt:
        if anchor is last:
            return tirx.BufferStore(result, value, list(indices))
        finished = replace_loads(last.store.value, result, lambda _: value)
        finished = replace(finished, dict(zip(last.indices, indices, strict=True)))
        return tirx.BufferStore(last.store.buffer, finished, list(indices))

    return _emit(anchor, function, machine, store)


def _unfused(function: Any, machine: Machine) -> Any | None:
    """The function with its anchor's block alone replaced by the kernel."""
    statements = []
    for nest in _nests(function) or ():
        if KERNEL in nest.block.annotations:
            buffer = nest.store.buffer
            kernel = _emit(nest, function, machine, lambda at, x, to=buffer: tirx.BufferStore(to, x, list(at)))
            if kernel is None:
                return None
            statements.append(kernel)
        else:
            statements.append(nest.statement)
    return _with_body(function, sequence(statements), list(function.body.block.alloc_buffers))


def _emit(nest: _Nest, function: Any, machine: Machine, store: Any) -> Stmt | None:
    """The code of an anchor's kernel; None when what it reads is not a parameter of the function."""
    data, weight = (region.buffer if hasattr(region, "buffer") else region.source for region in nest.block.reads)
    if not all(any(buffer.same_as(parameter) for parameter in function.params) for buffer in (data, weight)):
        return None
    parameters = dict(nest.block.annotations)
    kernel = next(kernel for kernel in KERNELS if kernel.name == parameters[KERNEL])
    return kernel.emit(Anchor(parameters, data, weight, dims(nest.store.buffer), store), machine)


def _with_body(function: Any, body: Stmt, buffers: list[Any]) -> Any:
    """The function with another body, in the root block that TVM's passes look for."""
    root = SBlock([], [], [], "root", body, alloc_buffers=buffers)
    return function.with_body(SBlockRealize([], True, root))


def _identical(indices: Any, variables: list[Any]) -> bool:
    return len(indices) == len(variables) and all(a.same_as(b) for a, b in zip(indices, variables, strict=True))
