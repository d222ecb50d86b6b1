"""The operators that compute each element of their output from the same element of their inputs."""

from __future__ import annotations

_BINARY = (
    "add subtract multiply divide maximum minimum power where greater greater_equal less less_equal equal not_equal"
)
_UNARY = "abs ceil cos erf exp floor log logical_not negative round rsqrt sigmoid sin sqrt square tanh astype"
_ACTIVATIONS = "gelu gelu_tanh leakyrelu relu silu softplus"

ELEMENTWISE = frozenset(
    [f"relax.{name}" for name in [*_BINARY.split(), *_UNARY.split()]]
    + [f"relax.nn.{name}" for name in _ACTIVATIONS.split()]
)
"""By Relax's name; inputs of fewer axes, or of one element along an axis, are broadcast."""
