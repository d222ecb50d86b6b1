"""Which functions of a lowered module no kernel computes, so that they run as TVM's plain loops."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.s_tir.stmt import SBlock

from joulefront.compile.kernels.graph import constant
from joulefront.compile.kernels.tir import dims
from joulefront.kernel_records import Argument, Fallback, Function


def fallbacks(module: Any) -> tuple[Fallback, ...]:
    """The functions that still hold loops as TVM makes them, with how often ``main`` calls each."""
    calls: Counter[str] = Counter()
    warm: dict[str, list[bool]] = {}

    def note(node: Any) -> None:
        if isinstance(node, tvm.ir.Call) and node.args and isinstance(node.args[0], tvm.ir.GlobalVar):
            name = node.args[0].name_hint
            calls[name] += 1
            warm[name] = [constant(argument) is None for argument in node.args[1].fields]

    relax.analysis.post_order_visit(module["main"], note)
    return tuple(
        Fallback(Function(name, _arguments(module[name], warm[name])), _operators(name), count)
        for name, count in calls.items()
        if isinstance(module[name], tirx.PrimFunc) and _has_loops_of_tvm(module[name])
    )


def _has_loops_of_tvm(function: Any) -> bool:
    """Whether a block is left besides the root, which kernels keep and which has no loops of its own."""
    names: list[str] = []

    def note(block: Any) -> Any:
        names.append(block.name_hint)
        return block

    tvm_ffi.structural_map(function.body, (SBlock, note))
    return any(name != "root" for name in names)


def _arguments(function: Any, warm: list[bool]) -> tuple[Argument, ...]:
    buffers = function.params
    known = [*warm, *(True for _ in buffers[len(warm) :])]  # its outputs come last
    return tuple(
        Argument(dims(buffer), str(buffer.ty.dtype), is_warm) for buffer, is_warm in zip(buffers, known, strict=True)
    )


def _operators(function: str) -> str:
    """A function's name without what TVM adds to tell it from others: "fused_conv3d1_add2" is "conv3d_add"."""
    return re.sub(r"\d+(?=_|$)", "", function.removeprefix("fused_"))
