"""The register tile that convolution and dense share: some pixels times some vectors of output channels.

Every output of a tile has its accumulator in a register from the first product to the last. The weights are packed so
that a panel of ``vectors * lanes`` output channels is read as one stream; the input is read one float at a time and
broadcast, so that the number of input channels may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.tirx import BufferLoad, ForKind, IfThenElse
from tvm.tirx.stmt import AllocBuffer

from joulefront.compile.kernels.machine import FAR_B, FLOAT_B, LINE, Machine
from joulefront.compile.kernels.tir import (
    Buffer,
    Expr,
    Stmt,
    index,
    let,
    loop,
    prefetch,
    sequence,
    splat,
    stack,
    store_vector,
    vector,
    zeros,
)

_WARM_B = 1 << 16  # weights as few as these are brought soon enough by the processor itself
_CHAINS = 8  # independent sums that keep two multiply-add units of four cycles' latency busy
_MAX_VECTORS = 4  # one pixel's accumulators stay a stack allocation (256 B of AVX-512)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of ``length`` products, contiguous in the input and in the weights, for some pixels of a tile.

    ``first`` is the number of its first product among all of an output's and ``inputs`` gives for each pixel that takes
    part the offset of its first input; ``step`` is the distance of one input from the next, in elements.
    """

    length: int
    first: Expr
    inputs: dict[int, Expr]
    step: int = 1


@dataclass(frozen=True, slots=True)
class Panel:
    """The packed weights of a tile's channels: panel ``number`` of ``count``, each of ``depth`` products.

    At batch 1 a network's weights are never in the cache when they are needed. So each of the ``tiles`` that read a panel
    asks for its share of the next one; ``tile`` is which of them it is.
    """

    number: Expr
    count: int
    depth: int
    tile: Expr
    tiles: int


def split(width: int, most: int) -> list[tuple[int, int]]:
    """A width cut into tiles of at most ``most``, as even as can be: (first, size) of each."""
    sizes = [size for size, count in _sizes(width, most) for _ in range(count)]
    return list(zip(accumulate(sizes, initial=0), sizes, strict=False))


def _sizes(width: int, most: int) -> list[tuple[int, int]]:
    """The two sizes that a width is cut into, larger first, and how many tiles are of each."""
    count = -(-width // most)
    small, larger = divmod(width, count)
    return [(small + 1, larger), (small, count - larger)]


def costs(machine: Machine, *, width: int, rows: int, channels: int, depth: int) -> dict[tuple[int, int], float]:
    """The tiles, as (vectors, pixels), for ``rows`` rows of ``width`` pixels, and the cycles that each is predicted to take.

    ``depth`` is the number of products in each output. The model counts, for each step of the depth, the cycles of the
    multiply-adds (two a cycle), of the loads (two a cycle), of the latency of too few independent sums, and of weights
    that come from beyond the second level of the cache, since every tile reads its panel anew.
    """
    needed = -(-channels // machine.lanes)
    found: dict[tuple[int, int], float] = {}
    for vectors in range(1, min(needed, _MAX_VECTORS) + 1):
        panels = -(-needed // vectors)
        panel_b = depth * vectors * machine.lanes * FLOAT_B
        far = vectors * machine.lanes * FLOAT_B / FAR_B if panel_b > machine.l2_b * 3 // 4 else 0.0
        if machine.threads > 1 and rows == 1 and panels < min(needed, machine.threads):
            continue
        for pixels in range(1, max(1, (machine.registers - vectors - 1) // vectors) + 1):
            cycles = 0.0
            for size, count in _sizes(width, pixels):
                sums = vectors * size
                step = max(sums / 2, (vectors + size) / 2, 4 * min(1.0, sums / _CHAINS), far)
                cycles += count * (step * depth + (20 + 2 * sums))
            found[vectors, pixels] = rows * panels * cycles
            if pixels >= width:
                break
    # Of those that are cut alike, the first; of those that take as long, the one of more vectors and fewer pixels.
    return dict(sorted(found.items(), key=lambda item: (item[1], -item[0][0], item[0][1])))


def pack(weight: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Weights (depth…, channels) as panels (ceil(channels / width), depth…, width), padded with zeros."""
    channels = weight.shape[-1]
    panels = -(-channels // width)
    padded = np.zeros((*weight.shape[:-1], panels * width), np.float32)
    padded[..., :channels] = weight
    return np.ascontiguousarray(np.moveaxis(padded.reshape(*weight.shape[:-1], panels, width), -2, 0))


def emit(
    machine: Machine,
    *,
    vectors: int,
    pixels: int,
    channels: int,
    panel: Expr,
    weights: Panel,
    data: Buffer,
    weight: Buffer,
    products: Callable[[Callable[[Sequence[Run]], Stmt]], Stmt],
    store: Callable[[Expr, Expr, Expr], Stmt],
) -> Stmt:
    """One tile: clear the accumulators, sum up the products, then finish and store.

    ``panel`` is the number of the channels' panel (among those of one group), ``weights`` where its weights lie.
    ``data`` and ``weight`` are one-dimensional. ``products`` is given a function that turns runs into statements and
    returns the whole sum (around which it may put loops). ``store`` takes the pixel's number in the tile, the channel
    and the value.
    """
    lanes, width = machine.lanes, vectors * machine.lanes
    splits = max(1, _CHAINS // (vectors * pixels))
    sums = [[stack(f"sum{pixel}_{part}", width) for part in range(splits)] for pixel in range(pixels)]
    buffers = [buffer for parts in sums for buffer in parts]
    clear = [store_vector(buffer, index(v * lanes), zeros(lanes), lanes) for buffer in buffers for v in range(vectors)]

    base, ahead = weights.number * (weights.depth * width), _ahead(weights, width)

    def step(run: Run, k: Expr, part: int) -> list[Stmt]:
        statements, columns = [], []
        if ahead is not None:
            statements += [prefetch(weight, at) for at in ahead(run.first + k)]
        for v in range(vectors):
            column, bind = let(f"w{v}", vector(weight, base + (run.first + k) * width + v * lanes, lanes), lanes)
            statements.append(bind)
            columns.append(column)
        for pixel, first in run.inputs.items():
            value, bind = let(f"x{pixel}", splat(_load(data, first + k * run.step), lanes), lanes)
            statements.append(bind)
            for v, column in enumerate(columns):
                at = index(v * lanes)
                total = vector(sums[pixel][part], at, lanes) + value * column
                statements.append(store_vector(sums[pixel][part], at, total, lanes))
        return statements

    def steps(run: Run, first: Expr, count: int) -> list[Stmt]:
        return [statement for part in range(count) for statement in step(run, first + part, part)]

    def add(runs: Sequence[Run]) -> Stmt:
        statements = []
        for run in runs:
            rounds, rest = divmod(run.length, splits)
            if rounds:
                statements.append(loop("k", rounds, lambda k, run=run: sequence(steps(run, k * splits, splits))))  # type: ignore[misc]
            statements += steps(run, index(rounds * splits), rest)
        return sequence(statements)

    scratch = stack("tile", pixels * width)
    gather = []
    for pixel, parts in enumerate(sums):
        for v in range(vectors):
            total = vector(parts[0], index(v * lanes), lanes)
            for part in parts[1:]:
                total = total + vector(part, index(v * lanes), lanes)
            gather.append(store_vector(scratch, index(pixel * width + v * lanes), total, lanes))

    def finish(pixel: Expr) -> Stmt:
        return _finish(
            lanes,
            vectors,
            channels,
            panel,
            lambda at: _load(scratch, pixel * width + at),
            lambda c, x: store(pixel, c, x),
        )

    return sequence(
        [
            *(AllocBuffer(buffer) for buffer in [*buffers, scratch]),
            *clear,
            products(add),
            *gather,
            loop("pixel", pixels, finish),
        ]
    )


def _ahead(weights: Panel, width: int) -> Callable[[Expr], list[Expr]] | None:
    """For a product's number in its panel, what to ask for of the next panel; None where there is none to ask for."""
    if weights.count == 1 or weights.count * weights.depth * width * FLOAT_B < _WARM_B:
        return None
    following = tirx.min(weights.number + 1, index(weights.count - 1)) * (weights.depth * width)
    lines = width / LINE  # of the next panel, for each product
    if weights.tiles <= lines:
        every = int(lines // weights.tiles)
        return lambda k: [
            following + (weights.tile * weights.depth * every + k * every + i) * LINE for i in range(every)
        ]
    share = width // weights.tiles
    if share == 0:  # the panel is read so often that its own loads bring it
        return None
    return lambda k: [following + (weights.tile * weights.depth + k) * share]


def _finish(
    lanes: int,
    vectors: int,
    channels: int,
    panel: Expr,
    value: Callable[[Expr], Expr],
    store: Callable[[Expr, Expr], Stmt],
) -> Stmt:
    """Store one pixel's channels of a panel; the last panel's odd channels go in pieces of 8, 4, 2 and 1."""
    width = vectors * lanes
    base = panel * width

    def piece(first: Expr, size: int) -> Stmt:
        return loop("lane", size, lambda lane: store(base + first + lane, value(first + lane)), ForKind.VECTORIZED)

    def pieces(count: int) -> Stmt:
        whole, rest = divmod(count, lanes)
        statements = [loop("v", whole, lambda v: piece(v * lanes, lanes))] if whole else []
        first, size = whole * lanes, lanes // 2
        while rest:
            if rest >= size:
                statements.append(piece(index(first), size))
                first, rest = first + size, rest - size
            size //= 2
        return sequence(statements)

    panels = -(-channels // width)
    odd = channels - (panels - 1) * width
    if odd == width:
        return pieces(width)
    if panels == 1:
        return pieces(odd)
    return IfThenElse(panel < panels - 1, pieces(width), pieces(odd))


def _load(buffer: Buffer, offset: Expr) -> Expr:
    return BufferLoad(buffer, [offset])
