"""Attention's guard against rows of nothing but minus infinity, dropped where no such row can be."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax
from tvm.relax.expr_functor import mutator

from joulefront.compile.rewrite import Rewriter

# torch lowers attention to where(all(scores == -inf), 0, softmax(scores)); all(x) is written not(any(not(x))).
_GUARD = ("logical_not", "astype", "max", "astype", "logical_not", "equal")


@mutator  # type: ignore[untyped-decorator, unused-ignore]
class SafeSoftmax(Rewriter):
    """Put a softmax in the place of a guarded one whose scores are a product's, perhaps with a constant mask added."""

    def rewrite(self, name: str, call: Any) -> Any | None:
        """See Rewriter.rewrite."""
        if name != "relax.where":
            return None
        at = call.args[0]
        for step in _GUARD:
            found = self.source(at)
            if found is None or found.op.name != f"relax.{step}":
                return None
            at, last = found.args[0], found
        bound, softmax = self.value(last.args[1]), self.source(call.args[2])
        if bound is None or bound.size != 1 or not np.isneginf(bound).all():
            return None
        if softmax is None or softmax.op.name != "relax.nn.softmax" or not softmax.args[0].same_as(at):
            return None
        return call.args[2] if self.has_finite(at) else None

    def has_finite(self, scores: Any) -> bool:
        """Whether every row has a finite score, as far as products of finite numbers are finite."""
        call = self.source(scores)
        if call is None:
            return False
        if call.op.name == "relax.matmul":
            return True
        if call.op.name in {"relax.reshape", "relax.multiply", "relax.divide"}:
            return all(np.isfinite(value).all() for value in self.known(call)) and self.has_finite(call.args[0])
        if call.op.name == "relax.add":
            masks = self.known(call)
            return len(masks) == 1 and bool(np.isfinite(masks[0]).any(-1).all()) and self.has_finite(call.args[0])
        return False

    def known(self, call: Any) -> list[Any]:
        """The values of those arguments behind the first that are known now."""
        rest = [argument for argument in call.args[1:] if isinstance(argument.ty, relax.TensorType)]
        values = [self.value(argument) for argument in rest]
        return [np.full(1, np.nan) if value is None else value for value in values]
