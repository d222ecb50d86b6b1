"""A compiled network in this process: the runtime loads it, allocates for it, runs it and times it."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from typing import Any

from joulefront_agent.wire import Failure, Tensor, itemsize

# It runs them all again, and says nothing of it, when they took less than that: also when the clock was set back.
_ANY_TIME_MS = -(2**31)


class Network:
    """One network, loaded. ``runtime`` and ``library`` are absolute paths.

    Raises Failure (NoRuntime) when the runtime itself cannot be loaded; whatever the library's loading raises passes.
    """

    def __init__(self, runtime: str, library: str, inputs: Sequence[Tensor]) -> None:
        try:
            import tvm_ffi

            # Its symbols are what the library links against.
            ctypes.CDLL(runtime, mode=ctypes.RTLD_GLOBAL)
        except (ImportError, OSError) as error:
            raise Failure("NoRuntime", f"TVM's runtime cannot be loaded: {error}") from error
        self._ffi = tvm_ffi
        self._machine = tvm_ffi.load_module(library)["vm_load_executable"]()
        self._machine["vm_initialization"](1, 0, 2)  # the CPU, its first device, pooled memory
        self._inputs = [self._allocate(tensor) for tensor in inputs]

    def use(self, cores: Sequence[int], pin: bool) -> None:
        """Compute on as many threads as there are ``cores``, the calling one among them, tied to one each if ``pin``.

        The runtime by itself takes the cores with the lowest numbers, allowed or not, and no more threads than there
        are cores of the highest frequency. Raises Failure (NoThreads) when it has another number of threads.
        """
        os.environ["TVM_BIND_THREADS"] = str(int(pin))
        one_core_each = -2
        configure = self._ffi.get_global_func("runtime.config_threadpool")
        configure(one_core_each, len(cores), [str(core) for core in cores])
        threads = self._ffi.get_global_func("runtime.NumThreads")()
        if threads != len(cores):
            raise Failure("NoThreads", f"{len(cores)} threads were asked for, the runtime has {threads}")
        if pin:
            os.sched_setaffinity(0, {cores[0]})  # of its own accord the runtime lets this thread roam over all of them

    def outputs(self) -> tuple[Tensor, ...]:
        """What one inference returns."""
        result = self._machine["main"](*self._inputs)
        return tuple(_copy_out(tensor) for tensor in ([result] if isinstance(result, self._ffi.Tensor) else result))

    def time(self, count: int) -> list[float]:
        """The time of each of ``count`` inferences in s, after one that is discarded: the loop runs in the runtime.

        Each holds one reading of the clock, about 30 ns on an x86-64: 1 % of 3 us. Nothing is taken off for it.
        """
        return self._evaluate(number=1, repeat=count)

    def run(self, count: int) -> int:
        """Run at least ``count`` inferences without looking at the clock between them; returns how many ran."""
        self._evaluate(number=count, repeat=1)
        return count + 1

    def _evaluate(self, number: int, repeat: int) -> list[float]:
        evaluator = self._ffi.get_global_func("runtime.RPCTimeEvaluator")
        timer = evaluator(self._machine, "main", 1, 0, number, repeat, _ANY_TIME_MS, 100, 0, 1, 0, "")
        return list(struct.unpack(f"@{repeat}d", timer(*self._inputs)))

    def _allocate(self, tensor: Tensor) -> Any:
        # By the runtime, which aligns to 64 bytes: generated vector code crashes on less.
        allocate = self._ffi.get_global_func("runtime.TVMTensorAllocWithScope")
        shape, device = self._ffi.Shape(list(tensor.shape)), self._ffi.device("cpu:0")
        allocated = allocate(shape, self._ffi.dtype(tensor.dtype), device, None)
        ctypes.memmove(allocated.data_ptr(), tensor.data, len(tensor.data))
        return allocated


def _copy_out(tensor: Any) -> Tensor:
    shape, dtype = tuple(int(size) for size in tensor.shape), str(tensor.dtype)
    size = itemsize(dtype)
    for length in shape:
        size *= length
    return Tensor(shape, dtype, ctypes.string_at(tensor.data_ptr(), size))
