"""Which kernel computes a workload, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from joulefront.compile.kernels.anchor import Kernel, Site
from joulefront.compile.kernels.machine import Machine
from joulefront.kernel_records import KernelUse, Variant, Workload


@dataclass(slots=True)
class Choice:
    """The kernels to choose from, what tuning found by the workload's text, and, as it goes, what was chosen how often."""

    kernels: Sequence[Kernel]
    machine: Machine
    tuned: Mapping[str, Variant] = field(default_factory=dict)
    chosen: dict[Workload, Variant] = field(default_factory=dict)
    sites: dict[Workload, Site] = field(default_factory=dict)
    calls: Counter[Workload] = field(default_factory=Counter)

    def variants(self, workload: Workload) -> dict[Variant, float]:
        """Every way to compute a workload, with its predicted cycles, the least first."""
        costs = [
            kernel.variants(workload, self.machine) for kernel in self.kernels if kernel.operator == workload.operator
        ]
        return dict(sorted(((v, cost) for some in costs for v, cost in some.items()), key=lambda item: item[1]))

    def of(self, site: Site) -> tuple[Kernel, Variant] | None:
        """The kernel and the variant that are taken; None where none applies. A tuned variant that no kernel offers any
        more is not taken."""
        workload = site.workload
        variants = self.variants(workload)
        if not variants:
            return None
        found = self.tuned.get(workload.text)
        variant = found if found in variants else next(iter(variants))
        self.chosen[workload], self.sites[workload] = variant, site
        self.calls[workload] += 1
        return self.named(variant.kernel), variant

    def take_back(self, workload: Workload) -> None:
        """Forget one choice of a workload, whose call is not made after all."""
        self.calls[workload] -= 1
        if not self.calls[workload]:
            del self.calls[workload], self.chosen[workload], self.sites[workload]

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
        """The variants that are worth a trial on the device, at most ``count``: the one that is taken untuned first, then in
        turns of the kernels the most promising of each kind. Those that differ in their last number alone are of a kind."""
        kinds: dict[str, dict[tuple[int, ...], list[Variant]]] = {}
        for variant in self.variants(workload):
            numbers = tuple(number for _, values in variant.parameters for number in values)
            kinds.setdefault(variant.kernel, {}).setdefault(numbers[:-1], []).append(variant)
        by_kernel = [_in_turns(list(kind.values())) for kind in kinds.values()]
        return _in_turns(by_kernel)[:count]


def _in_turns(lists: Sequence[Sequence[Variant]]) -> list[Variant]:
    """The first of each, then the second of each, and so on."""
    return [variant for turn in zip_longest(*lists) for variant in turn if variant is not None]
