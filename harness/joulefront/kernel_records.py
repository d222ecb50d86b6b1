"""The records of kernels: what is computed, in which ways it may be, and what a compiled model is made of.

Frozen, of plain values, as all of ``records``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """What one operator computes: all that the choice of its kernel depends on.

    ``operator`` names it ("conv2d", "dense"), ``extents`` its shapes and attributes, in elements, by name in a fixed order.
    """

    operator: str
    extents: tuple[tuple[str, tuple[int, ...]], ...]

    def __getitem__(self, name: str) -> tuple[int, ...]:
        """The extents of that name. Raises KeyError."""
        return dict(self.extents)[name]

    @property
    def text(self) -> str:
        """One line that says it all, such as "dense data=1,512 weight=512,10 out=1,10"."""
        return " ".join([self.operator, *(f"{name}={','.join(map(str, values))}" for name, values in self.extents)])


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compute a workload: the kernel that writes the code, and its integer parameters by name."""

    kernel: str
    parameters: tuple[tuple[str, tuple[int, ...]], ...]

    def __getitem__(self, name: str) -> tuple[int, ...]:
        """The parameter of that name. Raises KeyError."""
        return dict(self.parameters)[name]


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor that a function takes, its output too.

    ``warm`` says that in a network it is in the cache when the function begins, as what the operator before wrote is.
    """

    shape: tuple[int, ...]
    dtype: str
    warm: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a library, by the name that it is exported under, and its arguments in order, the output last."""

    name: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Contenders:
    """The variants of one workload that a library holds to be timed, each with its function; what is taken untuned first."""

    workload: Workload
    functions: tuple[tuple[Variant, Function], ...]


@dataclass(frozen=True, slots=True)
class KernelUse:
    """A kernel of a compiled model: the workload's text, the kernel's name, whether tuning chose how it computes, and how
    often one inference runs it."""

    workload: str
    kernel: str
    tuned: bool
    calls: int


@dataclass(frozen=True, slots=True)
class Fallback:
    """A function of a compiled model that no kernel computes: it runs as TVM's plain loops, ``calls`` times an inference.

    ``operators`` says what it computes, in Relax's words.
    """

    function: Function
    operators: str
    calls: int


@dataclass(frozen=True, slots=True)
class Composition:
    """What a compiled model is made of."""

    kernels: tuple[KernelUse, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
