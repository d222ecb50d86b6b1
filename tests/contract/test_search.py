"""What every Search keeps to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.plugins import build
from joulefront.protocols import Search
from joulefront.records import Failure, Gene, Genome, Space, Trial
from joulefront.search import READY

SPACE = Space(tuple(Gene(f"layer{index}", tuple(range(4, 68, 4))) for index in range(5)))
SMALL = Space((Gene("a", (4, 8)), Gene("b", (4, 8, 12))))
OBJECTIVES = ("error", "latency_s")
WEIGHTS = {"weighted-sum": {"weights": {"error": 0.5, "latency_s": 0.5}}}


def search_of(kind: str, space: Space = SPACE, evaluations: int = 40, seed: int = 1, **arguments: Any) -> Search:
    plugin = Plugin(kind=kind, **{**WEIGHTS.get(kind, {}), **arguments})
    found: Search = build(
        plugin,
        READY,
        folder=Path(),
        where="[search]",
        space=space,
        objectives=OBJECTIVES,
        evaluations=evaluations,
        seed=seed,
    )
    return found


def outcome(genome: Genome, number: int) -> Trial:
    """A trade-off: each channel costs time, and each one that is missing costs accuracy."""
    shares = np.array([(index + 1) / 16 for index in genome])
    return Trial(
        number,
        genome,
        "screen",
        objectives={"error": float(np.sum((1 - shares) ** 2)) / 10, "latency_s": float(np.sum(shares))},
    )


def play(search: Search, of: Callable[[Genome, int], Trial] = outcome) -> list[Trial]:
    trials: list[Trial] = []
    while asked := search.ask():
        told = [of(genome, len(trials) + place) for place, genome in enumerate(asked)]
        trials += told
        search.tell(told)
    return trials


@pytest.fixture(params=sorted(READY))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_asks_for_as_many_different_legal_genomes_as_it_may(kind: str) -> None:
    genomes = [trial.genome for trial in play(search_of(kind))]
    assert len(genomes) == 40
    assert len(set(genomes)) == 40
    assert all(0 <= index < 16 for genome in genomes for index in genome)
    assert all(isinstance(index, int) for genome in genomes for index in genome)


def test_the_unpruned_network_is_asked_for_first(kind: str) -> None:
    assert search_of(kind).ask()[0] == SPACE.full


def test_it_is_deterministic_in_its_seed_and_in_what_it_was_told(kind: str) -> None:
    first, again, other = (play(search_of(kind, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_global_random_state_is_left_alone(kind: str) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 -- the state that must not change
    play(search_of(kind))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_a_small_space_is_searched_to_its_end_and_no_further(kind: str) -> None:
    genomes = {trial.genome for trial in play(search_of(kind, SMALL, evaluations=100))}
    assert SMALL.full in genomes
    assert len(genomes) <= SMALL.size


def test_failures_do_not_stop_it(kind: str) -> None:
    def fails_often(genome: Genome, number: int) -> Trial:
        return (
            Trial(number, genome, "screen", failure=Failure("Hung", "")) if sum(genome) % 2 else outcome(genome, number)
        )

    assert len(play(search_of(kind), fails_often)) == 40
    assert (
        len(play(search_of(kind), lambda genome, number: Trial(number, genome, "screen", failure=Failure("Hung", ""))))
        == 40
    )


@pytest.mark.parametrize("learns", sorted(set(READY) - {"random"}))
def test_limits_draw_it_to_what_keeps_them(learns: str) -> None:
    def limited(genome: Genome, number: int) -> Trial:
        trial = outcome(genome, number)
        return Trial(
            number,
            genome,
            "screen",
            objectives=trial.objectives,
            violation=max(0.0, trial.objectives["latency_s"] / 1.0 - 1),
        )

    trials = play(search_of(learns, evaluations=120), limited)
    kept = [trial.violation == 0 for trial in trials]
    assert sum(kept[60:]) > sum(kept[:60])


def test_a_search_that_learns_beats_random_on_average() -> None:
    from joulefront.front import hypervolume

    point = {"error": 0.5, "latency_s": 5.0}

    def reached(kind: str) -> float:
        return sum(hypervolume(play(search_of(kind, evaluations=100, seed=seed)), point).value for seed in range(3))

    assert reached("nsga2") > reached("random")


@pytest.mark.parametrize(
    "weights", [{"error": 1.0}, {"error": -1.0, "latency_s": 1.0}, {"error": 0.0, "latency_s": 0.0}]
)
def test_weights_that_are_none_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="weights"):
        search_of("weighted-sum", weights=weights)


def test_a_population_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="population: expected 4 or more, not 2"):
        search_of("nsga2", population=2)
