"""Which kernel computes a workload, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from joulefront.compile.kernels.anchor import Kernel
from joulefront.compile.kernels.machine import Machine
from joulefront.records import Variant, Workload


@dataclass(slots=True)
class Choice:
    """The kernels to choose from, what tuning found by the workload's text, and, as it goes, what was chosen."""

    kernels: Sequence[Kernel]
    machine: Machine
    tuned: Mapping[str, Variant] = field(default_factory=dict)
    chosen: dict[Workload, Variant] = field(default_factory=dict)

    def variants(self, workload: Workload) -> dict[Variant, float]:
        """Every way to compute a workload, with its predicted cycles, the least first."""
        costs = [
            kernel.variants(workload, self.machine) for kernel in self.kernels if kernel.operator == workload.operator
        ]
        return dict(sorted(((v, cost) for some in costs for v, cost in some.items()), key=lambda item: item[1]))

    def of(self, workload: Workload) -> tuple[Kernel, Variant] | None:
        """The kernel and the variant that are taken; None where none applies. A tuned variant that no kernel offers any
        more is not taken."""
        variants = self.variants(workload)
        if not variants:
            return None
        found = self.tuned.get(workload.text)
        variant = found if found in variants else next(iter(variants))
        self.chosen[workload] = variant
        return self.named(variant.kernel), variant

    def named(self, name: str) -> Kernel:
        """The kernel of that name."""
        return next(kernel for kernel in self.kernels if kernel.name == name)
