"""Uniform pruning as a search: the same share of every layer's channels, in even steps. The habit to be beaten."""

from collections.abc import Sequence

from joulefront.records import Trial
from joulefront.space_records import Genome, Space


class Uniform:
    """As many different uniform ladders as there may be evaluations, from the unpruned network down."""

    def __init__(self, space: Space, objectives: Sequence[str], evaluations: int, seed: int) -> None:
        del objectives, seed
        # Finer and finer ladders, until there are enough different rungs or no finer ladder has another one.
        rungs: dict[Genome, None] = {}
        for steps in (evaluations, 4 * evaluations, 64 * evaluations):
            rungs = dict.fromkeys(space.uniform(1 - step / steps) for step in range(steps))
            if len(rungs) >= evaluations:
                break
        genomes = list(rungs)
        count = min(evaluations, len(genomes))
        self._genomes = [genomes[round(place * (len(genomes) - 1) / max(count - 1, 1))] for place in range(count)]

    def ask(self) -> Sequence[Genome]:
        """See protocols.Search."""
        genomes, self._genomes = self._genomes[:8], self._genomes[8:]
        return genomes

    def tell(self, trials: Sequence[Trial]) -> None:
        """See protocols.Search."""
