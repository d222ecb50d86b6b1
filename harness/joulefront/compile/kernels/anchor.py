"""The hand-over from a graph's operator to its kernel.

An anchor is a te.compute that says what an operator computes and carries the kernel's parameters as annotations. It is
valid as it stands, only slow: where no kernel takes its place, it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.tir import Buffer, Expr, Stmt, Store
from joulefront.kernel_records import Variant, Workload

KERNEL = "joulefront.kernel"  # the annotation that names the kernel


@dataclass(frozen=True, slots=True)
class Site:
    """An operator in a graph: what it computes, the tensors that it reads, and the weight if that is known now.

    The workload's extents have the shapes of all: ``data`` (and ``other`` where two tensors are read), ``weight``, ``out``.
    """

    workload: Workload
    inputs: tuple[Expr, ...]
    weight: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """An operator in a function, as its kernel sees it.

    ``parameters`` are the annotations: the workload's extents and the variant's parameters. ``inputs`` is what it reads,
    a packed weight last, and ``shape`` the shape that it computes; ``store`` finishes one output (with whatever was
    fused behind the operator) and stores it.
    """

    parameters: Mapping[str, Any]
    inputs: tuple[Buffer, ...]
    shape: tuple[int, ...]
    store: Store

    def integers(self, name: str) -> tuple[int, ...]:
        """A parameter that is a list of integers."""
        return tuple(int(value) for value in self.parameters[name])


class Kernel(Protocol):
    """One way to compute one kind of workload."""

    name: str
    operator: str

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """The ways in which this kernel can compute the workload, each with the cycles that a simple model of the core
        predicts for it; empty where it does not apply. Untuned, the least of all kernels' is taken."""
        ...

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:
        """The call that takes the operator's place: to its anchor, or to a function that is finished already."""
        ...


@runtime_checkable
class Fusable(Kernel, Protocol):
    """A kernel whose call is to an anchor, behind which TVM fuses elementwise operators."""

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """The code that computes and stores every output of the anchor."""
        ...


def attributes(site: Site, variant: Variant) -> dict[str, Any]:
    """The annotations of an anchor."""
    parameters = {**dict(site.workload.extents), **dict(variant.parameters)}
    return {KERNEL: variant.kernel, **{key: list(values) for key, values in parameters.items()}}
