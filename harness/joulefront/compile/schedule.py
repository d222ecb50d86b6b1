"""From fused functions to code: each anchor and each reduction is replaced by its kernel, with what was fused to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import Call
from tvm.s_tir.stmt import SBlock, SBlockRealize

from joulefront.compile.kernels import KERNEL, Anchor, Choice, Fusable, Machine, elementwise, reduction, row_reduction
from joulefront.compile.kernels.tir import Expr, Stmt, Store, dims, loads, replace, replace_loads, sequence


def apply_kernels(choice: Choice) -> Any:
    """The pass that puts kernels in the place of the loops of TVM's operators."""

    @tvm.transform.module_pass(opt_level=0, name="ApplyKernels")  # type: ignore[untyped-decorator, unused-ignore]
    def run(module: Any, _context: Any) -> Any:
        scheduled = {
            variable: _scheduled(function, choice)
            for variable, function in module.functions_items()
            if isinstance(function, tirx.PrimFunc)
        }
        module = module.clone()
        for variable, function in scheduled.items():
            module.update_func(variable, function)
        return module

    return run


def _scheduled(function: Any, choice: Choice) -> Any:
    """The function with its kernels; as it is, where none applies."""
    blocks = _blocks(function)
    principal = [block for block in blocks or () if _is_principal(block)]
    if not principal:
        return _elementwise(function, blocks[-1].name_hint, choice.machine) if blocks else function
    if len(principal) == 1:
        try:
            inlined = _inlined(function, principal[0].name_hint)
        except s_tir.ScheduleError:  # say, of several outputs none can be inlined in another
            return _unfused(function, choice)
        body = _fused(inlined, choice)
        if body is not None:
            return _with_body(inlined, body, [])
    return _unfused(function, choice)


def _elementwise(function: Any, last: str, machine: Machine) -> Any:
    """A function that reduces nothing, as one block if it has but one output."""
    with suppress(s_tir.ScheduleError):
        function = _inlined(function, last, all_before=True)
    statements = [
        elementwise.emit(block, machine) if elementwise.applies(block) else statement
        for statement, block in zip(_statements(function), _blocks(function) or (), strict=True)
    ]
    return _with_body(function, sequence(statements), list(function.body.block.alloc_buffers))


def _is_principal(block: Any) -> bool:
    """Whether a block computes something that others are fused to."""
    return KERNEL in block.annotations or block.init is not None


def _statements(function: Any) -> list[Stmt]:
    body = function.body.block.body
    return list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]


def _blocks(function: Any) -> list[Any] | None:
    """The blocks of the function's loop nests, in order; None when it is not a plain sequence of such nests."""
    blocks = []
    for statement in _statements(function):
        inner = statement
        while isinstance(inner, tirx.For):
            inner = inner.body
        if not isinstance(inner, SBlockRealize) or not isinstance(inner.block.body, tirx.BufferStore):
            return None
        blocks.append(inner.block)
    return blocks


def _inlined(function: Any, principal: str, *, all_before: bool = False) -> Any:
    """The function with what cheaply prepares the principal block (or ``all_before`` it) inlined there, and what follows
    it in one block."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    names = [schedule.get(block).name_hint for block in blocks]
    first = names.index(principal)
    for position, block in enumerate(blocks[:-1]):
        if position > first or (position < first and (all_before or _is_cheap(schedule.get(block)))):
            schedule.compute_inline(block)
    return schedule.mod["main"]


def _is_cheap(block: Any) -> bool:
    """Whether a block, say padding, may as well be computed again for each of its readers."""
    calls: set[str] = set()

    def note(call: Any) -> Any:
        calls.add(call.op.name)
        return call

    tvm_ffi.structural_map(block.body.value, (Call, note))
    return calls <= {"prim.if_then_else", "prim.likely"}


def _fused(function: Any, choice: Choice) -> Stmt | None:
    """The kernel that stores what the last block stores; None if that is not, element by element, what it computes."""
    blocks = _blocks(function)
    if blocks is None or not _is_principal(blocks[0]) or len(blocks) > 2:
        return None
    block, last = blocks[0], blocks[-1]
    result, target, axes = block.body.buffer, last.body.buffer, [axis.var for axis in last.iter_vars]
    axes = axes if last.body.indices else []  # a lone element has an axis that nothing is read or stored by
    if block is last:
        return _kernel(block, function, choice, _plain_store(result))
    reads = [load for load in loads(last.body.value) if load.source.same_as(result)]
    if dims(result) != dims(target) or not all(
        _identical(at, axes) for at in [last.body.indices, *(r.indices for r in reads)]
    ):
        return None

    def store(indices: Sequence[Expr], value: Expr) -> Stmt:
        finished = replace_loads(last.body.value, result, lambda _: value)
        return tirx.BufferStore(target, replace(finished, dict(zip(axes, indices, strict=True))), list(indices))

    return _kernel(block, function, choice, store)


def _unfused(function: Any, choice: Choice) -> Any:
    """The function with a kernel in the place of each block that has one."""
    statements = []
    for statement, block in zip(_statements(function), _blocks(function) or (), strict=True):
        kernel = None
        if _is_principal(block):
            kernel = _kernel(block, function, choice, _plain_store(block.body.buffer))
        elif elementwise.applies(block):
            kernel = elementwise.emit(block, choice.machine)
        statements.append(statement if kernel is None else kernel)
    return _with_body(function, sequence(statements), list(function.body.block.alloc_buffers))


def _plain_store(buffer: Any) -> Store:
    return lambda indices, value: tirx.BufferStore(buffer, value, list(indices))


def _kernel(block: Any, function: Any, choice: Choice, store: Store) -> Stmt | None:
    """The code that takes a block's place; None when there is none for it."""
    if KERNEL not in block.annotations:
        kind = next((kind for kind in (reduction, row_reduction) if kind.applies(block)), None)
        return None if kind is None else kind.emit(block, choice.machine, store)
    inputs = tuple(region.source for region in block.reads)
    if not all(any(buffer.same_as(parameter) for parameter in function.params) for buffer in inputs):
        return None
    parameters = dict(block.annotations)
    kernel = choice.named(parameters[KERNEL])
    assert isinstance(kernel, Fusable)
    return kernel.emit(Anchor(parameters, inputs, dims(block.body.buffer), store), choice.machine)


def _with_body(function: Any, body: Stmt, buffers: list[Any]) -> Any:
    """The function with another body, in the root block that TVM's passes look for."""
    root = SBlock([], [], [], "root", body, alloc_buffers=buffers)
    return function.with_body(SBlockRealize([], True, root))


def _identical(indices: Any, variables: list[Any]) -> bool:
    return len(indices) == len(variables) and all(a.same_as(b) for a, b in zip(indices, variables, strict=True))
