"""What a compiled network is made of: its kernels, which of them were tuned, and what runs TVM's own loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulefront.records import Artifact


def composition(artifact: Artifact | None) -> dict[str, Any]:
    """``kernels`` and ``fallbacks`` as lists; both None, with a ``kernels_reason``, where it is not known."""
    if artifact is None:
        return _unknown("it was never compiled")
    made = artifact.composition
    if not made.kernels and not made.fallbacks:
        return _unknown("its compiler did not tell")
    return {
        "kernels": [
            {"workload": use.workload, "kernel": use.kernel, "tuned": use.tuned, "calls": use.calls}
            for use in made.kernels
        ],
        "fallbacks": [
            {"operators": one.operators, "function": one.function.name, "calls": one.calls} for one in made.fallbacks
        ],
        "kernels_reason": None,
    }


def line(document: Mapping[str, Any]) -> str:
    """The same for people: how many, and of what no kernel computes the operators."""
    kernels, fallbacks = document["kernels"], document["fallbacks"]
    if kernels is None:
        return f"not known: {document['kernels_reason']}"
    tuned = sum(use["tuned"] for use in kernels)
    ours = f"{len(kernels)} of ours, {tuned or 'none'} of them tuned" if kernels else "none of ours"
    if not fallbacks:
        return ours
    operators = ", ".join(dict.fromkeys(one["operators"] for one in fallbacks))
    return f"{ours}; {len(fallbacks)} function{'' if len(fallbacks) == 1 else 's'} of TVM's own loops: {operators}"


def _unknown(reason: str) -> dict[str, Any]:
    return {"kernels": None, "fallbacks": None, "kernels_reason": reason}
