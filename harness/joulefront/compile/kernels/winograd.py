"""Winograd's convolution by 3 x 3 at stride 1: fewer products, for the price of transforms and of more weights to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax, te, tirx

from joulefront.compile.kernels import tiles, winograd_loops
from joulefront.compile.kernels.anchor import Anchor, Site, attributes
from joulefront.compile.kernels.graph import FUSABLE, OPAQUE, call_anchor
from joulefront.compile.kernels.machine import FAR_B, FLOAT_B, Machine
from joulefront.compile.kernels.tir import Expr, Stmt
from joulefront.compile.kernels.winograd_transforms import KERNEL, PAIRS, Transforms
from joulefront.kernel_records import Variant, Workload

_FEWEST = 4  # input and output channels: with fewer there are no vectors for the transforms
_SCRATCH_B = (1 << 18, 1 << 19, 1 << 20, 1 << 21)  # what the scratch of a block may take
_SHORT = 4  # floats of a vector
_CACHED_B = 1 << 23  # of the weights, what a last level of cache may still have
_TRANSFORM = 3.0  # cycles of each vector of a transformed tile, there or back
_MARGIN = 1.1


class Winograd:
    """Convolution by 3 x 3 at stride 1 of NHWC data, with any padding."""

    name = "winograd"
    operator = "conv2d"

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        """See Kernel.variants."""
        if not _applies(workload):
            return {}
        depth, channels = workload["weight"][2:]
        found: dict[Variant, float] = {}
        for size in PAIRS:
            for scratch in _SCRATCH_B:
                block = _block(workload, size, scratch)
                shares = tiles.costs(machine, width=block, rows=1, channels=channels, depth=depth)
                for tile in list(shares)[:3]:
                    variant = Variant(self.name, (("size", (size,)), ("block", (block,)), ("tile", tile)))
                    found[variant] = _cycles(workload, machine, variant)
        return found

    def call(self, builder: Any, site: Site, variant: Variant, machine: Machine) -> Expr:
        """See Kernel.call."""
        shape, out, pad = (site.workload[name] for name in ("data", "out", "pad"))
        depth, channels = site.workload["weight"][2:]
        transforms = Transforms(variant["size"][0])
        span, width = transforms.span, variant["tile"][0] * machine.lanes
        assert site.weight is not None
        weight = _packed(transforms, site.weight, width)

        def compute(data: Any, packed: Any) -> Any:
            i, j = (te.reduce_axis((0, KERNEL), name) for name in ("i", "j"))
            k = te.reduce_axis((0, depth), "k")

            def value(n: Expr, y: Expr, x: Expr, c: Expr) -> Expr:
                row, column = y + i - pad[0], x + j - pad[1]
                inside = tirx.all(row >= 0, row < shape[1], column >= 0, column < shape[2])
                read = tirx.if_then_else(inside, data(n, row, column, k), tirx.const(0.0, "float32"))
                panel = c // width
                lane = c - tirx.min(panel * width, max(0, channels - width))

                def original(u: int) -> Expr:
                    return transforms.tap(j, lambda v: packed(panel, u * span + v, k, lane), tirx.Select)

                return te.sum(read * transforms.tap(i, original, tirx.Select), axis=[i, j, k])

            return te.compute(out, value, name=self.name, attrs=attributes(site, variant))

        pattern = OPAQUE if out[1] * out[2] == 1 else FUSABLE
        return call_anchor(builder, compute, [*site.inputs, relax.const(weight)], self.name, pattern)

    def emit(self, anchor: Anchor, machine: Machine) -> Stmt:
        """See Fusable.emit."""
        return winograd_loops.emit(anchor, machine)


def _applies(workload: Workload) -> bool:
    attributes = [workload[name] for name in ("stride", "dilation", "groups", "nchw")]
    kernel, channels = workload["weight"][:2], workload["weight"][2:]
    return kernel == (KERNEL, KERNEL) and min(channels) >= _FEWEST and attributes == [(1, 1), (1, 1), (1,), (0,)]


def _tiles(workload: Workload, size: int) -> int:
    batch, height, width, _ = workload["out"]
    return batch * -(-height // size) * -(-width // size)


def _block(workload: Workload, size: int, scratch_b: int) -> int:
    """How many tiles make a block whose scratch takes about so many bytes; the blocks are as even as can be."""
    count = _tiles(workload, size)
    tile_b = Transforms(size).span ** 2 * (workload["weight"][2] + 64) * FLOAT_B
    return -(-count // -(-count * tile_b // scratch_b))


def _cycles(workload: Workload, machine: Machine, variant: Variant) -> float:
    """A model of the products, the transforms, and the bytes that come from beyond the second level of the cache.

    What no cache holds is counted twice. Processors with short vectors are those of small boards, whose memory is slow and
    right behind the second level. Predictions are meant to be high, so that direct convolution is left only for a gain.
    """
    (size,), (block,), (across, pixels) = (variant[name] for name in ("size", "block", "tile"))
    depth, channels = workload["weight"][2:]
    elements, width = Transforms(size).span ** 2, across * machine.lanes
    blocks, panels = -(-_tiles(workload, size) // block), -(-channels // width)
    shares = tiles.costs(machine, width=block, rows=1, channels=channels, depth=depth)
    products = blocks * elements * shares[across, pixels]
    vectors = -(-depth // machine.lanes) + panels * across
    transforms = blocks * block * vectors * elements * _TRANSFORM
    weight_b, scratch_b = (elements * depth * FLOAT_B * extent for extent in (panels * width, block))
    far_b = weight_b * (blocks if weight_b > machine.l2_b // 2 else 1)
    far_b += max(0, far_b - _CACHED_B)
    if scratch_b > machine.l2_b:  # each panel reads it again
        far_b += blocks * panels * scratch_b
    speed_b = FAR_B if machine.lanes > _SHORT else FAR_B / 4
    return _MARGIN * (products + transforms + far_b / speed_b)


def _packed(transforms: Transforms, weight: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Weights (3, 3, depth, channels) as transformed panels (panels, span², depth, width). The last panel begins earlier
    where there are channels enough to fill it, and is padded with zeros where not."""
    depth, channels = weight.shape[2:]
    packed = np.zeros((-(-channels // width), transforms.span**2, depth, width), np.float32)
    for number, panel in enumerate(packed):
        first = min(number * width, max(0, channels - width))
        part = weight[..., first : first + width]
        panel[..., : part.shape[-1]] = transforms.weights(part)
    return packed
