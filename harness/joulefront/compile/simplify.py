"""The Relax graph made ready to be lowered: NHWC, with nothing left to compute that is known now."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from joulefront.compile.flatten import Flatten
from joulefront.compile.fold import Fold
from joulefront.compile.one_dimensional import OneDimensional
from joulefront.compile.rewrite import rewritten_by
from joulefront.compile.safe_softmax import SafeSoftmax
from joulefront.compile.sink import Sink

# Transposed convolution can be lowered in this layout alone.
_LAYOUTS = {"relax.nn.conv2d": ["NHWC", "HWIO"], "relax.nn.conv2d_transpose": ["NCHW", "IOHW"]}


def simplify(module: Any) -> Any:
    """The module with its convolutions in NHWC, BatchNorm and constants folded, ready to be lowered."""
    passes = [
        relax.transform.CanonicalizeBindings(),
        rewritten_by(Fold),
        relax.transform.CanonicalizeBindings(),
        rewritten_by(OneDimensional),
        rewritten_by(SafeSoftmax),
        relax.transform.CanonicalizeBindings(),
        relax.transform.DeadCodeElimination(),
        relax.transform.ConvertLayout(_LAYOUTS),
        rewritten_by(Fold),
        rewritten_by(Sink),
        rewritten_by(Flatten),
        relax.transform.CanonicalizeBindings(),
        relax.transform.DeadCodeElimination(),
    ]
    return tvm.transform.Sequential(passes)(module)
