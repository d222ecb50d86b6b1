"""From Relax operators to functions: anchors where a kernel applies, TVM's own loops elsewhere, fused, then scheduled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relax

from joulefront.compile.kernels import OPERATORS, Choice, Site
from joulefront.compile.kernels.vmath import with_polynomials
from joulefront.compile.products import with_products
from joulefront.compile.schedule import apply_kernels

# They move data and compute nothing: fused behind a kernel they would take its place in the loops.
_VIEWS = ["relax.reshape"]
_MOVES = [*_VIEWS, "relax.permute_dims"]


def lower(module: Any, choice: Choice) -> Any:
    """The module with its operators as scheduled functions, fused."""
    legalize = {operator: _legalizer(site, choice) for operator, site in OPERATORS.items()}
    passes = [
        with_products(choice),
        relax.transform.CanonicalizeBindings(),
        relax.transform.DeadCodeElimination(),
        relax.transform.LegalizeOps(legalize, _MOVES),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
        relax.backend.DispatchSortScan(),  # else TVM does so afterwards, unseen
        relax.transform.LegalizeOps(skip_ops=_VIEWS),
        apply_kernels(choice),
        with_polynomials(),
    ]
    return tvm.transform.Sequential(passes)(module)


def _legalizer(site_of: Callable[[Any, Any], Site | None], choice: Choice) -> Callable[[Any, Any], Any]:
    def legalize(builder: Any, call: Any) -> Any:
        site = site_of(builder, call)
        found = choice.of(site) if site is not None else None
        if site is None or found is None:
            return call.op.get_attr("FLegalize")(builder, call)
        kernel, variant = found
        return kernel.call(builder, site, variant, choice.machine)

    return legalize
