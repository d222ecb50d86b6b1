"""TVM's runtime in this process: it loads libraries, allocates, keeps threads, and times what it calls."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from typing import Any

from joulefront_agent.wire import Failure

# It runs them all again, and says nothing of it, when they took less than that: also when the clock was set back.
_ANY_TIME_MS = -(2**31)


class Runtime:
    """The runtime library at the absolute path ``runtime``. Raises Failure (NoRuntime) when it cannot be loaded."""

    def __init__(self, runtime: str) -> None:
        try:
            import tvm_ffi

            # Its symbols are what compiled libraries link against.
            ctypes.CDLL(runtime, mode=ctypes.RTLD_GLOBAL)
        except (ImportError, OSError) as error:
            raise Failure("NoRuntime", f"TVM's runtime cannot be loaded: {error}") from error
        self.ffi: Any = tvm_ffi

    def load(self, library: str) -> Any:
        """The module in a compiled library. Whatever loading it raises passes."""
        return self.ffi.load_module(library)

    def use(self, cores: Sequence[int], pin: bool) -> None:
        """Compute on as many threads as there are ``cores``, the calling one among them, tied to one each if ``pin``.

        The runtime by itself takes the cores with the lowest numbers, allowed or not, and no more threads than there
        are cores of the highest frequency. Raises Failure (NoThreads) when it has another number of threads.
        """
        os.environ["TVM_BIND_THREADS"] = str(int(pin))
        one_core_each = -2
        configure = self.ffi.get_global_func("runtime.config_threadpool")
        configure(one_core_each, len(cores), [str(core) for core in cores])
        threads = self.ffi.get_global_func("runtime.NumThreads")()
        if threads != len(cores):
            raise Failure("NoThreads", f"{len(cores)} threads were asked for, the runtime has {threads}")
        if pin:
            os.sched_setaffinity(0, {cores[0]})  # of its own accord the runtime lets this thread roam over all of them

    def allocate(self, shape: Sequence[int], dtype: str) -> Any:
        """A tensor of its own, whose elements are whatever was there: generated vector code needs its 64-byte alignment."""
        allocate = self.ffi.get_global_func("runtime.TVMTensorAllocWithScope")
        return allocate(self.ffi.Shape(list(shape)), self.ffi.dtype(dtype), self.ffi.device("cpu:0"), None)

    def time(
        self, module: Any, name: str, arguments: Sequence[Any], *, number: int, repeat: int, before: str = ""
    ) -> list[float]:
        """The time of a call in s, ``repeat`` times over the mean of ``number`` calls, after one that is discarded.

        The loop runs in the runtime. ``before`` names a function of its registry to call before each of the repeats. Each
        repeat holds one reading of the clock, about 30 ns on an x86-64: 1 % of 3 us. Nothing is taken off for it.
        """
        evaluator = self.ffi.get_global_func("runtime.RPCTimeEvaluator")
        timer = evaluator(module, name, 1, 0, number, repeat, _ANY_TIME_MS, 100, 0, 1, 0, before)
        return list(struct.unpack(f"@{repeat}d", timer(*arguments)))
