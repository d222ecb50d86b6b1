"""What every Search keeps to."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.plugins import build
from joulefront.protocols import Search
from joulefront.records import Failure, Trial
from joulefront.search import READY
from joulefront.search.evolution import reference_directions
from joulefront.space_records import Gene, Genome, Space

SPACE = Space(tuple(Gene(f"layer{index}", tuple(range(4, 68, 4))) for index in range(5)))
SMALL = Space((Gene("a", (4, 8)), Gene("b", (4, 8, 12))))
OBJECTIVES = ("error", "latency_s")
WEIGHTS = {"weighted-sum": {"weights": {"error": 0.5, "latency_s": 0.5}}}


def search_of(
    kind: str,
    space: Space = SPACE,
    evaluations: int = 40,
    seed: int = 1,
    objectives: tuple[str, ...] = OBJECTIVES,
    **arguments: Any,
) -> Search:
    plugin = Plugin(kind=kind, **{**WEIGHTS.get(kind, {}), **arguments})
    found: Search = build(
        plugin,
        READY,
        folder=Path(),
        where="[search]",
        space=space,
        objectives=objectives,
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


def fails_often(genome: Genome, number: int) -> Trial:
    return fails(genome, number) if sum(genome) % 2 else outcome(genome, number)


def fails(genome: Genome, number: int) -> Trial:
    return Trial(number, genome, "screen", failure=Failure("Hung", ""))


def several(*names: str) -> Callable[[Genome, int], Trial]:
    """Objectives of another number and scale: each counts the channels of one layer, in thousands or in thousandths."""

    def of(genome: Genome, number: int) -> Trial:
        objectives = {name: genome[place] * 1000.0 ** (-1) ** place for place, name in enumerate(names)}
        return Trial(number, genome, "screen", objectives=objectives)

    return of


def play_another(kind: str, names: tuple[str, ...] = ("size_b", "params", "macs")) -> list[Trial]:
    """A search of another space with other objectives."""
    space = Space(tuple(Gene(f"layer{index}", (1, 2, 3, 4, 5)) for index in range(7)))
    weights = {"weights": dict.fromkeys(names, 1.0)} if kind == "weighted-sum" else {}
    return play(search_of(kind, space, objectives=names, **weights), several(*names))


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
    first = play(search_of(kind))
    play_another(kind)
    assert first == play(search_of(kind))
    assert first != play(search_of(kind, seed=2))


def test_it_is_deterministic_when_much_fails(kind: str) -> None:
    assert play(search_of(kind), fails_often) == play(search_of(kind), fails_often)


def test_the_global_random_state_is_left_alone(kind: str) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 -- the state that must not change
    play(search_of(kind))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_a_small_space_is_searched_to_its_end_and_no_further(kind: str) -> None:
    genomes = [trial.genome for trial in play(search_of(kind, SMALL, evaluations=100))]
    assert len(genomes) == SMALL.size
    assert set(genomes) == set(itertools.product(range(2), range(3)))


def test_failures_do_not_stop_it(kind: str) -> None:
    assert len(play(search_of(kind), fails_often)) == 40
    assert len(play(search_of(kind), fails)) == 40


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_any_number_of_objectives_will_do(kind: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("error", "latency_s", "energy_j", "size_b", "params", "macs")[:count]
    assert len(play_another(kind, names)) == 40
    assert capsys.readouterr() == ("", "")


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
    "weights",
    [
        {"error": 1.0},
        {"error": -1.0, "latency_s": 1.0},
        {"error": 0.0, "latency_s": 0.0},
        {"error": math.nan, "latency_s": 1.0},
        {"error": 1.0, "latency_s": math.nan},
        {"error": 1.0, "latency_s": math.inf},
    ],
)
def test_weights_that_are_none_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="weights"):
        search_of("weighted-sum", weights=weights)


def test_a_population_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="population: expected 4 or more, not 2"):
        search_of("nsga2", population=2)


def test_a_batch_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch: expected 1 or more, not 0"):
        search_of("random", batch=0)


def test_reference_directions_must_fit_into_the_population(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("error", "latency_s", "energy_j", "size_b", "params", "macs")
    with pytest.raises(ConfigError, match="population: nsga3 with 6 objectives needs 6 or more, not 4"):
        search_of("nsga3", objectives=names, population=4)
    search_of("nsga3", objectives=names, population=6)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("objectives", "population", "expected"),
    [(1, 12, 1), (2, 4, 4), (2, 12, 12), (3, 5, 3), (3, 12, 10), (3, 15, 15), (6, 20, 6), (6, 21, 21)],
)
def test_there_are_as_many_reference_directions_as_fit(objectives: int, population: int, expected: int) -> None:
    directions = reference_directions(objectives, population)
    assert directions.shape == (expected, objectives)
    assert directions.sum(axis=1) == pytest.approx(1)


def test_a_generation_of_failures_does_not_set_what_a_weighted_sum_normalises_by() -> None:
    def played(unit: float) -> list[Genome]:
        """The search asks for the same whatever unit, a power of two, an objective is in."""

        def of(genome: Genome, number: int) -> Trial:
            if number < 12:
                return fails(genome, number)
            objectives = outcome(genome, number).objectives
            return Trial(
                number, genome, "screen", objectives={**objectives, "latency_s": objectives["latency_s"] * unit}
            )

        return [trial.genome for trial in play(search_of("weighted-sum", evaluations=80), of)]

    assert played(1.0) == played(2.0**-10)


def test_units_do_not_matter(kind: str) -> None:
    def in_microseconds(genome: Genome, number: int) -> Trial:
        trial = outcome(genome, number)
        objectives = {**trial.objectives, "latency_s": trial.objectives["latency_s"] * 2.0**-20}
        return Trial(number, genome, "screen", objectives=objectives)

    seconds = [trial.genome for trial in play(search_of(kind))]
    assert [trial.genome for trial in play(search_of(kind), in_microseconds)] == seconds
