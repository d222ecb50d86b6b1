"""Where a search begins: the unpruned network, uniform ladders, and genomes spread over all sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from joulefront.space_records import Genome, Space


def structured(space: Space, count: int, rng: np.random.Generator) -> list[Genome]:
    """At most ``count`` different genomes, the unpruned network first.

    Half are uniform ladders (every layer keeps the same share of its channels) down to the smallest network, in geometric
    steps, since what a network costs goes with about the square of the share. The others draw a share for the whole
    network first and then scatter the layers around it: drawing each gene on its own would give networks of half the
    size only, because the sum over many genes concentrates there.
    """
    return _different(_starts(space, count, rng), count, space)


def scattered(space: Space, rng: np.random.Generator) -> Genome:
    """A random genome around a random overall share."""
    share = rng.uniform(0.0, 1.0)
    lengths = np.array([len(gene.options) for gene in space.genes])
    places = np.clip(share + rng.normal(0.0, 0.2, len(lengths)), 0.0, 1.0) * (lengths - 1)
    return tuple(int(index) for index in np.rint(places))


def independent(space: Space, rng: np.random.Generator) -> Genome:
    """A genome drawn uniformly from the space: every gene on its own."""
    return tuple(int(rng.integers(len(gene.options))) for gene in space.genes)


def _starts(space: Space, count: int, rng: np.random.Generator) -> Iterator[Genome]:
    yield space.full
    smallest = min((gene.kept(0) for gene in space.genes if gene.kind == "width"), default=1.0)
    rungs = max(count // 2, 1)
    for rung in range(rungs):
        yield space.uniform(smallest ** ((rung + 1) / rungs))
    while True:
        yield scattered(space, rng)


def _different(genomes: Iterator[Genome], count: int, space: Space) -> list[Genome]:
    wanted = min(count, space.size)
    found: dict[Genome, None] = {}
    # A small space may hold genomes that scattering hardly ever reaches: stop looking then, fewer are enough.
    for _ in range(100 * count):
        found[next(genomes)] = None
        if len(found) == wanted:
            break
    return list(found)
