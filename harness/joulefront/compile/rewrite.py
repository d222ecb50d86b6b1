"""How the Relax graph is rewritten: call by call, each rewriter looking through variables at what they are bound to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

import tvm
from numpy.typing import NDArray
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator

from joulefront.compile.kernels.graph import constant, producer


def rewritten_by(rewriter: Any) -> Any:
    """The pass that rewrites every Relax function."""

    @tvm.transform.module_pass(opt_level=0, name=rewriter.__name__)  # type: ignore[untyped-decorator, unused-ignore]
    def run(module: Any, _context: Any) -> Any:
        mutated = rewriter(module)
        for variable, function in module.functions_items():
            if isinstance(function, relax.Function):
                mutated.uses, mutated.bindings = _uses(function)
                mutated.builder_.update_func(variable, mutated.visit_expr(function))
        return mutated.builder_.get()

    return run


def _uses(function: Any) -> tuple[Counter[Any], dict[Any, Any]]:
    """How often each variable is read, and what it is bound to."""
    uses: Counter[Any] = Counter()
    bindings: dict[Any, Any] = {}

    def visit(node: Any) -> None:
        if isinstance(node, tvm.ir.Call):
            uses.update(argument for argument in node.args if isinstance(argument, relax.Var))
        elif isinstance(node, tvm.ir.Tuple):
            uses.update(field for field in node.fields if isinstance(field, relax.Var))
        elif isinstance(node, relax.SeqExpr):
            uses.update([node.body] if isinstance(node.body, relax.Var) else [])
            bindings.update((binding.var, binding.value) for block in node.blocks for binding in block.bindings)

    relax.analysis.post_order_visit(function, visit)
    return uses, bindings


class Rewriter(PyExprMutator, ABC):  # type: ignore[misc, unused-ignore]
    """A rewriter that looks through variables.

    ``uses`` and ``bindings`` are of the function as it was; ``original`` is the call as it was.
    """

    uses: Counter[Any]
    bindings: dict[Any, Any]
    original: Any

    def value(self, expr: Any) -> NDArray[Any] | None:
        """The value of an expression, or of what its variable is bound to, if that is a constant."""
        bound = self.builder_.lookup_binding(expr) if isinstance(expr, relax.Var) else expr
        return constant(bound) if bound is not None else None

    def source(self, expr: Any) -> Any | None:
        """The operator call that the expression is bound to."""
        return producer(self.builder_, expr)

    def visit_call_(self, call: Any) -> Any:
        """Rewrite the arguments, then the call by the method that is named after its operator."""
        self.original, call = call, self.visit_expr_post_order(call)
        if not isinstance(call, tvm.ir.Call) or not isinstance(call.op, tvm.ir.Op):
            return call
        replacement = self.rewrite(call.op.name, call)
        return call if replacement is None else replacement

    @abstractmethod
    def rewrite(self, name: str, call: Any) -> Any | None:
        """What to put in the place of a call; None to keep it."""
