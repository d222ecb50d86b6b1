"""Whether the compiled network computes what torch does, or whatever its outputs are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from joulefront.errors import WrongOutput
from joulefront.records import Array
from joulefront_agent import wire

TOLERANCE = 1e-4
"""The largest difference of a float32 output, relative to the largest absolute value of the reference's."""


def check(label: str, expected: Sequence[Array], returned: Sequence[wire.Tensor], reference: str = "torch") -> None:
    """Compare what the device returned with what the ``reference`` gave. Raises WrongOutput."""
    if len(returned) != len(expected):
        raise WrongOutput(f"{label}: the device returned {len(returned)} outputs, {reference} {len(expected)}")
    for number, (ours, theirs) in enumerate(zip(expected, returned, strict=True)):
        where = f"{label}: output {number}"
        if (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
            raise WrongOutput(
                f"{where} is {theirs.dtype} of shape {theirs.shape} on the device, "
                f"{ours.dtype} of shape {ours.shape} in {reference}"
            )
        _check(where, _array(ours), _array(theirs), reference)


def _check(where: str, expected: NDArray[np.generic], returned: NDArray[np.generic], reference: str) -> None:
    if not np.issubdtype(expected.dtype, np.floating):
        if wrong := int(np.count_nonzero(expected != returned)):
            raise WrongOutput(f"{where}: {wrong} of {expected.size} elements differ from {reference}'s")
        return
    for side, array in ((reference, expected), ("the device", returned)):
        if bad := int(np.count_nonzero(~np.isfinite(array))):
            raise WrongOutput(f"{where}: {bad} of {array.size} elements are not finite on {side}")
    if not expected.size:
        return
    scale = float(np.abs(expected).max())
    difference = float(np.abs(returned.astype(np.float64) - expected.astype(np.float64)).max())
    if difference > TOLERANCE * scale:
        raise WrongOutput(
            f"{where} differs from {reference}'s by up to {difference:.3g} where the largest value is {scale:.3g}: "
            f"{difference / scale if scale else np.inf:.2g} relative, {TOLERANCE:g} is allowed"
        )


def _array(tensor: Array | wire.Tensor) -> NDArray[np.generic]:
    return np.frombuffer(tensor.data, dtype=np.dtype(tensor.dtype).newbyteorder("<")).reshape(tensor.shape)
