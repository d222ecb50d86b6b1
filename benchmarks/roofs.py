"""What this machine can do at most: multiply-adds between registers, and memory traffic. Loops in TIR, built by LLVM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import ForKind

from joulefront.compile.kernels.tir import loop, sequence, splat, stack, store_vector, vector
from joulefront.compile.target import tvm_target
from joulefront.records import Target

_CHAINS = 12  # two units of latency 4 need 8; with the factor and the summand they fit AVX2's 16 registers
_STEPS = 200_000
_FLOATS = 16 * 2**20  # 64 MiB, beyond any cache of a machine that deploys such networks
_REPEATS = 20


def roofs(target: Target) -> dict[str, float]:
    """The best of several runs on the target's threads, which the runtime has to be set to before.

    ``flop_per_s`` of independent chains of vector multiply-adds, two operations each; ``read_b_per_s`` of summing 64 MiB;
    ``triad_b_per_s`` of a[i] = b[i] + s c[i] over 64 MiB each, 12 bytes an element as McCalpin's STREAM counts.
    """
    floats = _FLOATS // (target.threads * 8 * target.vector_floats) * target.threads * 8 * target.vector_floats
    big = [np.ones(floats, np.float32) for _ in range(3)]
    few = np.ones(target.threads * _CHAINS * target.vector_floats, np.float32)
    flop = 2 * _CHAINS * _STEPS * target.vector_floats * target.threads
    return {
        "flop_per_s": flop / _best_s(_multiply_adds(target), [np.full(16, 0.5, np.float32), few], target),
        "read_b_per_s": 4 * floats / _best_s(_reading(target, floats), [big[0], few], target),
        "triad_b_per_s": 12 * floats / _best_s(_triad(target, floats), big, target),
    }


def _multiply_adds(target: Target) -> Any:
    """Each thread: chains of ``x = x factor + summand``, begun and ended in memory."""
    lanes = target.vector_floats
    given, result = _parameter("given", 16), _parameter("result", target.threads * _CHAINS * lanes)

    def thread(number: Any) -> Any:
        chains = [stack(f"x{index}", lanes) for index in range(_CHAINS)]
        factor, summand = (splat(tirx.BufferLoad(given, [index]), lanes) for index in (0, 1))
        places = [(number * _CHAINS + index) * lanes for index in range(_CHAINS)]
        begin = [store_vector(x, 0, vector(result, at, lanes), lanes) for x, at in zip(chains, places, strict=True)]
        step = [store_vector(x, 0, vector(x, 0, lanes) * factor + summand, lanes) for x in chains]
        end = [store_vector(result, at, vector(x, 0, lanes), lanes) for x, at in zip(chains, places, strict=True)]
        return sequence([*_allocated(chains), *begin, loop("step", _STEPS, lambda _: sequence(step)), *end])

    return _function([given, result], loop("thread", target.threads, thread, ForKind.PARALLEL))


def _reading(target: Target, floats: int) -> Any:
    """Each thread: the sum of its part in eight vectors."""
    lanes, share = target.vector_floats, floats // target.threads
    given, result = _parameter("given", floats), _parameter("result", target.threads * _CHAINS * lanes)

    def thread(number: Any) -> Any:
        sums = [stack(f"sum{index}", lanes) for index in range(8)]
        zero = splat(tirx.FloatImm("float32", 0.0), lanes)

        def step(block: Any) -> Any:
            at = number * share + block * 8 * lanes
            return sequence(
                [
                    store_vector(x, 0, vector(x, 0, lanes) + vector(given, at + index * lanes, lanes), lanes)
                    for index, x in enumerate(sums)
                ]
            )

        total = vector(sums[0], 0, lanes)
        for x in sums[1:]:
            total = total + vector(x, 0, lanes)
        return sequence(
            [
                *_allocated(sums),
                *(store_vector(x, 0, zero, lanes) for x in sums),
                loop("block", share // (8 * lanes), step),
                store_vector(result, number * lanes, total, lanes),
            ]
        )

    return _function([given, result], loop("thread", target.threads, thread, ForKind.PARALLEL))


def _triad(target: Target, floats: int) -> Any:
    """Each thread: its part of ``a = b + s c``."""
    lanes, share = target.vector_floats, floats // target.threads
    a, b, c = (_parameter(name, floats) for name in "abc")

    def thread(number: Any) -> Any:
        def step(block: Any) -> Any:
            at = number * share + block * lanes
            value = vector(b, at, lanes) + splat(tirx.FloatImm("float32", 0.5), lanes) * vector(c, at, lanes)
            return store_vector(a, at, value, lanes)

        return loop("block", share // lanes, step)

    return _function([a, b, c], loop("thread", target.threads, thread, ForKind.PARALLEL))


def _parameter(name: str, floats: int) -> Any:
    return tirx.decl_buffer((floats,), "float32", name=name)


def _allocated(buffers: Sequence[Any]) -> list[Any]:
    return [tirx.stmt.AllocBuffer(buffer) for buffer in buffers]


def _function(parameters: Sequence[Any], body: Any) -> Any:
    root = SBlockRealize([], True, SBlock([], [], [], "root", body))
    return tirx.PrimFunc(list(parameters), root).with_attr({"global_symbol": "main", "tirx.noalias": True})


def _best_s(function: Any, arrays: Sequence[np.ndarray[Any, Any]], target: Target) -> float:
    """The shortest of several runs, in s."""
    with tvm_target(target) as described:
        module = tvm.compile(tvm.IRModule({"main": function}), described)
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    evaluate: Callable[..., Any] = module.mod.time_evaluator("main", tvm.cpu(), number=1, repeat=_REPEATS)
    return float(min(evaluate(*tensors).results))
