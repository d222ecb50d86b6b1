"""Single functions of a compiled library in this process: their arguments are allocated, and their calls are timed."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any

from joulefront_agent.runtime import Runtime
from joulefront_agent.wire_time import Argument, Function

# Positive, far from denormals, and exact in every format: what they cost and what becomes of them is ordinary.
_VALUES = tuple(step / 256 for step in range(1, 252))
_FORMATS = {"float16": "e", "float32": "f", "float64": "d"}
_BEFORE = "joulefront_agent.before_a_call"

Calls = Callable[[int, int], "list[float]"]
"""Takes how many calls make a block, and how many blocks; the seconds per call of each block, after one call unseen."""


class Functions:
    """The functions of the library at an absolute path; ``flush_b`` bytes are read before each call.

    They pass through the caches of the calling thread's core, and through what it shares: of several threads, the others
    keep what their own cores' caches hold. Whatever the library's loading raises passes.
    """

    def __init__(self, runtime: Runtime, library: str, flush_b: int) -> None:
        self._runtime = runtime
        module = runtime.load(library)
        self._modules = [module, *module.imports]  # a network's functions are in a module that the network imports
        self._tensors: dict[tuple[int, Argument], Any] = {}
        self._warm: list[tuple[int, int]] = []
        self._scratch = bytearray()
        self._other = bytearray(flush_b)
        # Written once: pages that never were are one and the same page of zeros.
        self._other[::1024] = bytes(len(self._other[::1024]))
        if flush_b:
            runtime.ffi.register_global_func(_BEFORE, self._flush, override=True)

    def calls(self, function: Function) -> Calls:
        """What times the calls of a function. Raises LookupError where the library has none of that name.

        Functions that take the same tensors share them: many variants of a kernel need no more memory than one.
        """
        module = next((module for module in self._modules if _has(module, function.name)), None)
        if module is None:
            raise LookupError(f"the library has no function {function.name!r}")
        tensors = [self._tensor(position, argument) for position, argument in enumerate(function.arguments)]
        warm = [
            (tensors[position].data_ptr(), argument.size_b)
            for position, argument in enumerate(function.arguments)
            if argument.warm
        ]

        def time(number: int, repeat: int) -> list[float]:
            self._warm = warm
            before = _BEFORE if self._other else ""
            return self._runtime.time(module, function.name, tensors, number=number, repeat=repeat, before=before)

        return time

    def _tensor(self, position: int, argument: Argument) -> Any:
        tensor = self._tensors.get((position, argument))
        if tensor is None:
            tensor = self._tensors[position, argument] = self._runtime.allocate(argument.shape, argument.dtype)
            _fill(tensor.data_ptr(), argument)
            if argument.warm and len(self._scratch) < argument.size_b:
                self._scratch = bytearray(argument.size_b)
        return tensor

    def _flush(self, *_: Any) -> None:
        """Leave the caches as a network does that comes to this function: full of other things but for what is warm."""
        self._other.find(1)  # it reads all of them: they are zeros
        scratch = (ctypes.c_char * len(self._scratch)).from_buffer(self._scratch)
        for address, size_b in self._warm:
            ctypes.memmove(scratch, address, size_b)


def _has(module: Any, name: str) -> bool:
    try:
        module[name]
    except (AttributeError, RuntimeError):
        return False
    return True


def _fill(address: int, argument: Argument) -> None:
    """Harmless values: of integers zeros, which are legal indices, of floats small ones."""
    if argument.dtype in _FORMATS:
        pattern = struct.pack(f"@{len(_VALUES)}{_FORMATS[argument.dtype]}", *_VALUES)
    elif argument.dtype == "bfloat16":  # the upper half of a float32
        pattern = b"".join(struct.pack("<f", value)[2:] for value in _VALUES)
    else:
        ctypes.memset(address, 0, argument.size_b)
        return
    chunk = pattern * 1000  # and not all at once: the device may have no room for it twice
    for first in range(0, argument.size_b, len(chunk)):
        ctypes.memmove(address + first, chunk, min(len(chunk), argument.size_b - first))
