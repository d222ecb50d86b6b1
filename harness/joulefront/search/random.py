"""Random search: the baseline that every other search must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from joulefront.errors import ConfigError
from joulefront.records import Trial
from joulefront.search.start import independent
from joulefront.space_records import Genome, Space


class Random:
    """The unpruned network, then genomes drawn uniformly, none of them twice; it learns nothing from what it is told."""

    def __init__(self, space: Space, objectives: Sequence[str], evaluations: int, seed: int, batch: int = 12) -> None:
        """``batch`` is how many genomes one ask returns."""
        if batch < 1:
            raise ConfigError(f"[search] batch: expected 1 or more, not {batch}")
        del objectives  # a random search needs no aim
        self._space = space
        self._left = min(evaluations, space.size)
        self._batch = batch
        self._rng = np.random.default_rng(seed)
        self._asked: set[Genome] = set()

    def ask(self) -> Sequence[Genome]:
        """See protocols.Search."""
        genomes: list[Genome] = []
        while len(genomes) < min(self._batch, self._left):
            genome = independent(self._space, self._rng) if self._asked else self._space.full
            if genome not in self._asked:
                self._asked.add(genome)
                genomes.append(genome)
        self._left -= len(genomes)
        return genomes

    def tell(self, trials: Sequence[Trial]) -> None:
        """See protocols.Search."""
