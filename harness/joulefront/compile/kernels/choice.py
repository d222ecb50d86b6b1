"""Which kernel computes a workload, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from joulefront.compile.kernels.anchor import Kernel
from joulefront.compile.kernels.machine import Machine
from joulefront.records import KernelUse, Variant, Workload


@dataclass(slots=True)
class Choice:
    """The kernels to choose from, what tuning found by the workload's text, and, as it goes, what was chosen how often."""

    kernels: Sequence[Kernel]
    machine: Machine
    tuned: Mapping[str, Variant] = field(default_factory=dict)
    chosen: dict[Workload, Variant] = field(default_factory=dict)
    calls: Counter[Workload] = field(default_factory=Counter)

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
        self.calls[workload] += 1
        return self.named(variant.kernel), variant

    def named(self, name: str) -> Kernel:
        """The kernel of that name."""
        return next(kernel for kernel in self.kernels if kernel.name == name)

    @property
    def uses(self) -> tuple[KernelUse, ...]:
        """What was chosen, in the order of the graph."""
        return tuple(
            KernelUse(workload.text, variant.kernel, self.tuned.get(workload.text) == variant, self.calls[workload])
            for workload, variant in self.chosen.items()
        )

    def contenders(self, workload: Workload, count: int) -> list[Variant]:
        """The variants that are worth a trial on the device, at most ``count``: the one that is taken untuned first, then by
        turns the most promising of each kind. Those that differ in their last parameter's last number are of one kind."""
        kinds: dict[tuple[object, ...], list[Variant]] = {}
        for variant in self.variants(workload):
            numbers = [number for _, values in variant.parameters for number in values]
            kinds.setdefault((variant.kernel, *numbers[:-1]), []).append(variant)
        turns = [variant for turn in zip_longest(*kinds.values()) for variant in turn if variant is not None]
        return turns[:count]
