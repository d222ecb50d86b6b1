"""What a network spends in functions that run TVM's own loops, since no kernel of ours computes them: as warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulefront.kernel_records import Fallback
from joulefront.records import Failure, FunctionTime, Job

_ROUNDS = 3
_ROUND_S = 0.1
_LIMIT_S = 0.5
# Other data than that no device's caches keep between two uses, and to read more takes a little board long.
_MOST_FLUSHED_B = 16 << 20
_LEAST_SHARE = 0.01


def timeable(job: Job) -> tuple[Fallback, ...]:
    """The job's functions that can be timed: those that compute anything at all."""
    return tuple(one for one in job.fallbacks if all(all(argument.shape) for argument in one.function.arguments))


def plan(job: Job) -> Mapping[str, Any]:
    """How to time them, as ``Bench.time_functions`` takes it: in less than a second, unless one call takes long."""
    return {
        "rounds": _ROUNDS,
        "slice_s": _ROUND_S / len(job.fallbacks),
        "limit_s": _LIMIT_S,
        "flush_b": min(job.library.stat().st_size, _MOST_FLUSHED_B),  # nearly all of a library is weights
    }


def warnings(
    fallbacks: Sequence[Fallback], times: Sequence[FunctionTime | Failure], latency_s: float
) -> tuple[str, ...]:
    """One for all functions of the same operators, the slowest first; none for what takes less than 1 % of ``latency_s``.

    ``times`` are those of the ``fallbacks``, in s a call. Each was timed by itself: the shares are about right, no more.
    """
    shares: dict[str, float] = {}
    provenance = ""
    untimed: dict[str, str] = {}
    for fallback, timed in zip(fallbacks, times, strict=True):
        if isinstance(timed, Failure):
            untimed.setdefault(fallback.operators, f"{timed.kind}: {timed.message}")
        else:
            share = fallback.calls * timed.latency_s.value / latency_s
            shares[fallback.operators] = shares.get(fallback.operators, 0.0) + share
            provenance = timed.provenance
    slowest = sorted((pair for pair in shares.items() if pair[1] >= _LEAST_SHARE), key=lambda pair: -pair[1])
    return (
        *(
            f"{_said(operators)}: about {100 * min(1.0, share):.0f} % of the inference, {provenance} by itself"
            for operators, share in slowest
        ),
        *(f"{_said(operators)}; what it takes is not known: {reason}" for operators, reason in untimed.items()),
    )


def _said(operators: str) -> str:
    return f"{operators} runs TVM's own loops, since no kernel of ours applies"
