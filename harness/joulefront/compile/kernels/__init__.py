"""The kernels, one file a kind. An operator that has none runs as the plain loops that TVM makes of it."""

from __future__ import annotations

from joulefront.compile.kernels import elementwise, reduction, row_reduction
from joulefront.compile.kernels.anchor import KERNEL, Anchor, Fusable, Kernel, Site
from joulefront.compile.kernels.batched import Batched
from joulefront.compile.kernels.choice import Choice
from joulefront.compile.kernels.conv2d import Conv2d
from joulefront.compile.kernels.dense import Dense
from joulefront.compile.kernels.depthwise import Depthwise
from joulefront.compile.kernels.layer_norm import LayerNorm
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.operators import OPERATORS
from joulefront.compile.kernels.softmax import Softmax
from joulefront.compile.kernels.winograd import Winograd

__all__ = [
    "KERNEL",
    "KERNELS",
    "OPERATORS",
    "Anchor",
    "Choice",
    "Fusable",
    "Kernel",
    "Machine",
    "Site",
    "elementwise",
    "reduction",
    "row_reduction",
]

KERNELS: tuple[Kernel, ...] = (Conv2d(), Winograd(), Depthwise(), Dense(), Batched(), Softmax(), LayerNorm())
