"""What a kernel needs to know about the processor it is written for."""

from __future__ import annotations

from dataclasses import dataclass

from joulefront.records import Target

FLOAT_B = 4
LINE = 16  # floats of a cache line
FAR_B = 16  # bytes a cycle that one core reads from beyond its second level of cache
# Of each lane: some 25 µs, below which the hand-over to a second core (some 5 µs) eats what it gains.
SERIAL_MACS = 200_000


@dataclass(frozen=True, slots=True)
class Machine:
    """``lanes`` float32 fit one vector register, ``registers`` of those there are, ``threads`` run one inference.

    ``l2_b`` is the second level of the cache, in bytes, as far as one core may count on it.
    """

    lanes: int
    registers: int
    threads: int
    l2_b: int = 1 << 19

    @classmethod
    def of(cls, target: Target) -> Machine:
        """The machine that a target describes."""
        return cls(target.vector_floats, target.vector_registers, target.threads, target.l2_b)

    def lanes_within(self, count: int) -> int:
        """The lanes of the longest vector that ``count`` floats, of which there is one at least, fill."""
        lanes = self.lanes
        while lanes > count:
            lanes //= 2
        return lanes

    def parallel(self, macs: int) -> bool:
        """Whether a kernel of so many multiply-adds is worth more than one thread."""
        return self.threads > 1 and macs >= SERIAL_MACS * self.lanes
