"""From Relax operators to functions: anchors where a kernel applies, TVM's own loops elsewhere, fused, then scheduled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relax

from joulefront.compile.kernels import KERNELS, Kernel, Machine
from joulefront.compile.schedule import apply_kernels

# They move data and compute nothing: fused behind a kernel they would take its place in the loops.
_MOVES = ["relax.reshape", "relax.permute_dims"]


def lower(module: Any, machine: Machine) -> Any:
    """The module with its operators as scheduled functions, fused."""
    legalize = {kernel.operator: _legalizer(kernel, machine) for kernel in KERNELS}
    passes = [
        relax.transform.LegalizeOps(legalize, _MOVES),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
        apply_kernels(machine),
    ]
    return tvm.transform.Sequential(passes)(module)


def _legalizer(kernel: Kernel, machine: Machine) -> Callable[[Any, Any], Any]:
    def legalize(builder: Any, call: Any) -> Any:
        anchor = kernel.anchor(builder, call, machine)
        return call.op.get_attr("FLegalize")(builder, call) if anchor is None else anchor

    return legalize
