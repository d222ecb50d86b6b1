"""A compiled network in this process: the runtime loads it, allocates for it, runs it and times it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from joulefront_agent.runtime import Runtime
from joulefront_agent.wire import Tensor, itemsize


class Network:
    """One network, loaded. ``runtime`` and ``library`` are absolute paths.

    Raises Failure (NoRuntime) when the runtime itself cannot be loaded; whatever the library's loading raises passes.
    """

    def __init__(self, runtime: str, library: str, inputs: Sequence[Tensor]) -> None:
        self._runtime = Runtime(runtime)
        self._machine = self._runtime.load(library)["vm_load_executable"]()
        self._machine["vm_initialization"](1, 0, 2)  # the CPU, its first device, pooled memory
        self._inputs = [self._copy_in(tensor) for tensor in inputs]

    def use(self, cores: Sequence[int], pin: bool) -> None:
        """See Runtime.use."""
        self._runtime.use(cores, pin)

    def outputs(self) -> tuple[Tensor, ...]:
        """What one inference returns."""
        result = self._machine["main"](*self._inputs)
        return tuple(
            _copy_out(tensor) for tensor in ([result] if isinstance(result, self._runtime.ffi.Tensor) else result)
        )

    def time(self, count: int) -> list[float]:
        """The time of each of ``count`` inferences in s, after one that is discarded. See Runtime.time."""
        return self._runtime.time(self._machine, "main", self._inputs, number=1, repeat=count)

    def run(self, count: int) -> int:
        """Run at least ``count`` inferences without looking at the clock between them; returns how many ran."""
        self._runtime.time(self._machine, "main", self._inputs, number=count, repeat=1)
        return count + 1

    def _copy_in(self, tensor: Tensor) -> Any:
        allocated = self._runtime.allocate(tensor.shape, tensor.dtype)
        ctypes.memmove(allocated.data_ptr(), tensor.data, len(tensor.data))
        return allocated


def _copy_out(tensor: Any) -> Tensor:
    shape, dtype = tuple(int(size) for size in tensor.shape), str(tensor.dtype)
    size = itemsize(dtype)
    for length in shape:
        size *= length
    return Tensor(shape, dtype, ctypes.string_at(tensor.data_ptr(), size))
