"""The hand-over from a graph's operator to its kernel.

An anchor is a te.compute that says what an operator computes and carries the kernel's parameters as annotations. It is
valid as it stands, only slow: where no kernel takes its place, it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import Buffer, Expr, Stmt, Store

KERNEL = "joulefront.kernel"  # the annotation that names the kernel


@dataclass(frozen=True, slots=True)
class Anchor:
    """An operator in a function, as its kernel sees it.

    ``parameters`` are the annotations, ``data`` and ``weight`` what it reads and ``shape`` the shape that it computes;
    ``store`` finishes one output (with whatever was fused behind the operator) and stores it.
    """

    parameters: Mapping[str, Any]
    data: Buffer
    weight: Buffer
    shape: tuple[int, ...]
    store: Store

    def integers(self, name: str) -> tuple[int, ...]:
        """A parameter that is a list of integers."""
        return tuple(int(value) for value in self.parameters[name])


class Kernel(Protocol):
    """One kind of kernel: it makes an operator's anchor, and later the code that takes the anchor's place."""

    name: str
    operator: str

    def anchor(self, builder: Any, call: Any, machine: Machine) -> Expr | None:
        """A call to the operator's anchor in place of the operator; None where this kernel does not apply."""
        ...

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """The code that computes and stores every output of the anchor."""
        ...


def attributes(name: str, **parameters: Sequence[int]) -> dict[str, Any]:
    """The annotations of an anchor."""
    return {KERNEL: name, **{key: list(values) for key, values in parameters.items()}}
