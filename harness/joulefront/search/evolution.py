"""Evolutionary searches by pymoo, behind ask and tell.

NSGA-II: Deb et al. 2002. NSGA-III: Deb and Jain 2014. SPEA2: Zitzler, Laumanns and Thiele 2001. Limits are constraints
as Deb 2000 has them: a genome that keeps them beats one that does not, and of two that do not the lesser violation wins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3 as PymooNSGA3
from pymoo.algorithms.moo.nsga3 import HyperplaneNormalization
from pymoo.algorithms.moo.spea2 import SPEA2 as PymooSPEA2
from pymoo.algorithms.moo.spea2 import SPEA2Survival
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.problems.static import StaticProblem
from pymoo.util.ref_dirs import get_reference_directions

from joulefront.errors import ConfigError
from joulefront.records import Trial
from joulefront.search.start import structured
from joulefront.space_records import Genome, Space

# A failed candidate breaks a limit by more than any that ran.
_FAILED = 1e9
# So many generations in a row without one new genome: what is left of the space is out of the operators' reach.
_BARREN = 200


class Evolution:
    """What pymoo's genetic algorithms share. A genome that was told once is never asked for again.

    The search ends before its evaluations are spent when 200 generations in a row bring no new genome.
    """

    def __init__(self, algorithm: Any, space: Space, objectives: Sequence[str], evaluations: int, seed: int) -> None:
        self._space = space
        self._objectives = tuple(objectives)
        self._left = min(evaluations, space.size)
        self._told: dict[Genome, Trial] = {}
        self._generation: Any = None
        self._unit: NDArray[np.float64] | None = None
        upper = [len(gene.options) - 1 for gene in space.genes]
        self._problem = Problem(
            n_var=len(upper),
            n_obj=self._outcomes(),
            n_ieq_constr=1,
            xl=np.zeros(len(upper)),
            xu=np.array(upper),
            vtype=int,
        )
        self._algorithm = algorithm
        self._algorithm.setup(self._problem, seed=seed, termination=NoTermination())

    def ask(self) -> Sequence[Genome]:
        """See protocols.Search."""
        for _ in range(_BARREN):
            if not self._left:
                break
            self._generation = self._algorithm.ask()
            if self._generation is None or not len(self._generation):
                break
            new = [genome for genome in dict.fromkeys(self._genomes()) if genome not in self._told][: self._left]
            if new:
                self._left -= len(new)
                return new
            self._advance()
        return ()

    def tell(self, trials: Sequence[Trial]) -> None:
        """See protocols.Search."""
        self._told.update({trial.genome: trial for trial in trials})
        if self._left:
            self._advance()

    def _advance(self) -> None:
        """Hand the whole generation's outcomes to the algorithm."""
        trials = [self._told[genome] for genome in self._genomes()]
        outcomes = self._values(trials)
        violations = np.array([[_FAILED if trial.failure else trial.violation] for trial in trials])
        Evaluator().eval(StaticProblem(self._problem, F=outcomes, G=violations), self._generation)
        self._algorithm.tell(infills=self._generation)

    def _genomes(self) -> list[Genome]:
        return [tuple(int(index) for index in row) for row in np.rint(self._generation.get("X"))]

    def _outcomes(self) -> int:
        """How many values the algorithm minimises."""
        return len(self._objectives)

    def _values(self, trials: Sequence[Trial]) -> NDArray[np.float64]:
        """What the algorithm minimises, (trials, outcomes); a failed trial gets the worst that was ever told.

        In units of the largest values of the first generation that ran, since pymoo's SPEA2 has thresholds that take
        microseconds for nothing.
        """
        told = np.array([self._row(trial) for trial in self._told.values() if not trial.failure])
        if not len(told):
            return np.ones((len(trials), len(self._objectives)))
        worst = told.max(axis=0)
        if self._unit is None:
            largest = np.abs(told).max(axis=0)
            self._unit = np.where(largest > 0, largest, 1.0)
        return np.array([worst if trial.failure else self._row(trial) for trial in trials]) / self._unit

    def _row(self, trial: Trial) -> list[float]:
        return [trial.objectives[name] for name in self._objectives]


class NSGA2(Evolution):
    """NSGA-II: sorts by dominance, then by crowding."""

    def __init__(
        self, space: Space, objectives: Sequence[str], evaluations: int, seed: int, population: int = 12
    ) -> None:
        """``population`` is how many genomes make a generation."""
        super().__init__(PymooNSGA2(**_operators(space, population, seed)), space, objectives, evaluations, seed)


class NSGA3(Evolution):
    """NSGA-III: keeps the front spread along reference directions; for three objectives and more."""

    def __init__(
        self, space: Space, objectives: Sequence[str], evaluations: int, seed: int, population: int = 12
    ) -> None:
        """``population`` is how many genomes make a generation."""
        algorithm = PymooNSGA3(
            ref_dirs=reference_directions(len(objectives), population),
            selection=TournamentSelection(func_comp=_lesser_violation),
            **_operators(space, population, seed),
        )
        super().__init__(algorithm, space, objectives, evaluations, seed)


class _Normalization(HyperplaneNormalization):  # type: ignore[misc]  # the library has no types
    """The range that SPEA2 normalises by; pymoo's is zero, and divided by, where an objective has had one value only."""

    def update(self, values: NDArray[np.float64], nds: Any = None) -> None:
        super().update(values, nds)
        flat = self.nadir_point <= self.ideal_point
        self.nadir_point[flat] = self.ideal_point[flat] + 1


class SPEA2(Evolution):
    """SPEA2: strength of dominance, then distance to the nearest neighbour."""

    def __init__(
        self, space: Space, objectives: Sequence[str], evaluations: int, seed: int, population: int = 12
    ) -> None:
        """``population`` is how many genomes make a generation."""
        # pymoo's own default is one object, which would carry the normalisation from one search to the next.
        survival = SPEA2Survival(normalize=True)
        survival.norm = _Normalization(len(objectives))
        algorithm = PymooSPEA2(survival=survival, **_operators(space, population, seed))
        super().__init__(algorithm, space, objectives, evaluations, seed)


class WeightedSum(Evolution):
    """A genetic algorithm on the weighted sum of normalised objectives: one number instead of a front.

    Each objective is normalised by its range over the first generation of which any genome ran. A weighted sum finds no
    point in a concave part of the front, whatever the weights.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[str],
        evaluations: int,
        seed: int,
        weights: dict[str, float],
        population: int = 12,
    ) -> None:
        """``weights`` gives each objective's share by name, such as {error = 0.6, latency_s = 0.4}."""
        shares = list(weights.values())
        if set(weights) != set(objectives) or min(shares) < 0 or not 0 < sum(shares) < math.inf:
            raise ConfigError(
                f"[search] weights: expected one number of 0 or more for each of {', '.join(objectives)}, and one above 0, "
                f"not {weights!r}"
            )
        self._weights = np.array([weights[name] for name in objectives])
        self._range: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        super().__init__(GA(**_operators(space, population, seed)), space, objectives, evaluations, seed)

    def _outcomes(self) -> int:
        return 1

    def _values(self, trials: Sequence[Trial]) -> NDArray[np.float64]:
        values = super()._values(trials)
        if self._range is None:
            if all(trial.failure for trial in trials):
                return np.ones((len(trials), 1))  # nothing to tell a range by yet
            span = np.ptp(values, axis=0)
            self._range = values.min(axis=0), np.where(span > 0, span, 1.0)
        low, span = self._range
        total: NDArray[np.float64] = ((values - low) / span) @ (self._weights / self._weights.sum())
        return total[:, np.newaxis]


def reference_directions(objectives: int, population: int) -> NDArray[np.float64]:
    """Das and Dennis's reference directions, as many as fit into the population, (directions, objectives).

    Raises ConfigError for a population of fewer than the objectives.
    """
    if objectives == 1:
        return np.ones((1, 1))
    if population < objectives:
        raise ConfigError(
            f"[search] population: nsga3 with {objectives} objectives needs {objectives} or more, not {population}"
        )
    partitions = 1
    while math.comb(partitions + objectives, objectives - 1) <= population:  # the directions of one partition more
        partitions += 1
    directions: NDArray[np.float64] = get_reference_directions("das-dennis", objectives, n_partitions=partitions)
    return directions


def _operators(space: Space, population: int, seed: int) -> dict[str, Any]:
    """What all of them share: the start, and crossover and mutation of integers."""
    if population < 4:
        raise ConfigError(f"[search] population: expected 4 or more, not {population}")
    start = structured(space, population, np.random.default_rng(seed))
    return {
        "pop_size": population,
        "sampling": np.array(start, dtype=float),
        "crossover": SBX(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
        "mutation": PM(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
        "eliminate_duplicates": True,
    }


def _lesser_violation(population: Any, pairs: NDArray[np.int64], *, random_state: Any, **_: Any) -> NDArray[np.int64]:
    """Who wins of each of the ``pairs``, (n, 2), as (n, 1): the lesser violation, or chance between equals.

    NSGA-III's own selection. pymoo's copy of it draws from a generator without a seed.
    """
    violations = population.get("CV")[:, 0][pairs]
    chance = random_state.integers(2, size=len(pairs))
    winners = np.where(violations[:, 0] == violations[:, 1], chance, violations.argmin(axis=1))
    won: NDArray[np.int64] = np.take_along_axis(pairs, winners[:, np.newaxis], axis=1)
    return won
