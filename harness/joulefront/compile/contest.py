"""A module of many functions: the variants of kernels that are to be timed against each other on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tvm
from tvm import relax, tirx

from joulefront.compile.kernels import Choice, Site
from joulefront.compile.kernels.graph import shape_of
from joulefront.compile.kernels.tir import dims
from joulefront.compile.kernels.vmath import with_polynomials
from joulefront.compile.schedule import apply_kernels
from joulefront.kernel_records import Argument, Contenders, Function, Variant


def contest(sites: Sequence[Site], choice: Choice, count: int) -> tuple[Any, tuple[Contenders, ...]]:
    """The module, and for each site which function computes which variant: at most ``count``, first what is taken untuned."""
    functions: dict[str, Any] = {}
    contenders = []
    for site in sites:
        timed = []
        for variant in choice.contenders(site.workload, count):
            name = f"kernel{len(functions)}"
            functions[name] = _function(site, variant, choice, name)
            timed.append((variant, Function(name, _arguments(functions[name], site))))
        contenders.append(Contenders(site.workload, tuple(timed)))
    return tvm.IRModule(functions), tuple(contenders)


def _function(site: Site, variant: Variant, choice: Choice, name: str) -> Any:
    """The kernel's function by itself, with nothing fused behind it."""
    builder = relax.BlockBuilder()
    inputs = [relax.Var(f"x{i}", relax.TensorType(shape_of(given), "float32")) for i, given in enumerate(site.inputs)]
    with builder.function("main", inputs):
        call = choice.named(variant.kernel).call(builder, replace(site, inputs=tuple(inputs)), variant, choice.machine)
        builder.emit_func_output(builder.emit(call))
    lowered = tvm.transform.Sequential([apply_kernels(choice), with_polynomials()])(builder.get())
    (function,) = (one for _, one in lowered.functions_items() if isinstance(one, tirx.PrimFunc))
    return function.with_attr("global_symbol", name)


def _arguments(function: Any, site: Site) -> tuple[Argument, ...]:
    """What the operator before has written is warm, and so is the output, whose memory is used again; weights are cold."""
    last = len(function.params) - 1
    return tuple(
        Argument(dims(buffer), str(buffer.ty.dtype), place < len(site.inputs) or place == last)
        for place, buffer in enumerate(function.params)
    )
