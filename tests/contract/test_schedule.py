"""What every Schedule keeps to, and what each of the ready-made ones asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.plugins import build
from joulefront.prune.schedules import READY, Adaptive, Gradual, Iterative, Schedule, Tried

NEEDED: dict[str, dict[str, Any]] = {"adaptive": {"floor": 0.9}}


def made(kind: str, target: float = 0.6, **arguments: Any) -> Schedule:
    plugin = Plugin(kind=kind, **{**NEEDED.get(kind, {}), **arguments})
    schedule: Schedule = build(plugin, READY, folder=Path(), where="--schedule", target=target)
    return schedule


def driven(schedule: Schedule, metric: Callable[[float], float]) -> list[Tried]:
    """All that a schedule asks for, of networks whose metric depends on how much is gone."""
    history = [Tried(0.0, metric(0.0))]
    while (step := schedule.next(history)) is not None:
        assert step == schedule.next(list(history))
        assert 0 <= step.start < len(history)
        assert history[step.start].ratio < step.ratio <= 0.6
        history.append(Tried(step.ratio, metric(step.ratio)))
        assert len(history) < 50
    return history


def ratios(history: list[Tried]) -> list[float]:
    return [round(tried.ratio, 9) for tried in history]


@pytest.mark.parametrize("kind", READY)
@pytest.mark.parametrize("lost", [0.0, 0.3, 2.0])
def test_it_comes_to_an_end(kind: str, lost: float) -> None:
    schedule = made(kind)
    history = driven(schedule, lambda ratio: 1 - lost * ratio)
    assert schedule.result(history) in range(len(history))
    if lost == 0:
        assert history[schedule.result(history)].ratio == 0.6


@pytest.mark.parametrize("kind", READY)
@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, float("nan")])
def test_a_target_is_a_share(kind: str, target: float) -> None:
    with pytest.raises(ConfigError, match="schedule target: expected a share above 0 and below 1"):
        made(kind, target)


@pytest.mark.parametrize("kind", sorted(set(READY) - {"adaptive"}))
def test_without_data_it_goes_the_whole_way(kind: str) -> None:
    schedule = made(kind)
    history = [Tried(0.0, None)]
    while (step := schedule.next(history)) is not None:
        history.append(Tried(step.ratio, None))
    assert history[schedule.result(history)].ratio == 0.6


def test_a_floor_needs_data() -> None:
    with pytest.raises(ConfigError, match="a schedule with a floor needs a task with a validation split"):
        made("iterative", floor=0.5).next([Tried(0.0, None), Tried(0.1, None)])


def test_iterative_takes_equal_steps() -> None:
    assert ratios(driven(Iterative(0.6, steps=3), lambda _: 1.0)) == [0, 0.2, 0.4, 0.6]


def test_iterative_stops_below_its_floor_with_the_last_that_was_not() -> None:
    schedule = Iterative(0.6, steps=6, floor=0.75)
    history = driven(schedule, lambda ratio: 1 - ratio)
    assert ratios(history) == [0, 0.1, 0.2, 0.3]
    assert schedule.result(history) == 2


def test_adaptive_halves_what_it_tried_and_goes_on_from_the_last_that_was_good() -> None:
    """The floor is passed at 0.4375; behind 0.425, half of the last step that failed would be too little."""
    schedule = Adaptive(0.6, floor=0.5625, step=0.2, smallest=0.025)
    history = driven(schedule, lambda ratio: 1 - ratio)
    assert ratios(history) == [0, 0.2, 0.4, 0.6, 0.5, 0.45, 0.425, 0.45]
    assert schedule.result(history) == 6
    assert [schedule.next(history[:count]).start for count in range(1, len(history))] == [0, 1, 2, 2, 2, 2, 6]  # type: ignore[union-attr]


def test_adaptive_halves_what_is_left_to_its_target() -> None:
    """Behind 0.4 a whole step would be 0.8: the target is tried, and then half of the way there."""
    history = driven(Adaptive(0.5, floor=0.56, step=0.4, smallest=0.02), lambda ratio: 1 - ratio)
    assert ratios(history) == [0, 0.4, 0.5, 0.45, 0.425, 0.45]


def test_adaptive_reaches_a_target_that_its_steps_do_not_sum_to() -> None:
    assert ratios(driven(Adaptive(0.3, floor=0.0, step=0.1), lambda _: 1.0)) == [0, 0.1, 0.2, 0.3]


def test_a_floor_above_the_unpruned_network_leaves_that() -> None:
    for schedule in (Iterative(0.6, floor=2.0), Adaptive(0.6, floor=2.0)):
        history = driven(schedule, lambda _: 1.0)
        assert schedule.result(history) == 0


def test_gradual_is_the_polynomial_of_zhu_and_gupta() -> None:
    """From step 10 to 50, every 10: of 0.8, 1 - (3/4)³ = 37/64, 1 - (2/4)³ = 7/8 and 1 - (1/4)³ = 63/64, then all."""
    course = Gradual(0.8, start_step=10, end_step=50, every=10).course
    found = {step: share for step in range(100) if (share := course(step, 100)) is not None}
    assert list(found) == [10, 20, 30, 40, 50]
    assert list(found.values()) == pytest.approx([0, 0.8 * 37 / 64, 0.8 * 7 / 8, 0.8 * 63 / 64, 0.8])


def test_gradual_ends_in_time_to_recover_and_at_its_target_whatever_every_is() -> None:
    course = Gradual(0.5, every=7).course
    found = {step: share for step in range(40) if (share := course(step, 40)) is not None}
    assert list(found) == [0, 7, 14, 21, 28, 30]
    assert found[30] == 0.5
    step = Gradual(0.5).next([Tried(0.0, None)])
    assert step is not None
    assert step.course is not None
    assert step.course(30, 40) == 0.5


def test_gradual_needs_enough_steps() -> None:
    with pytest.raises(ConfigError, match="it prunes until optimiser step 50, but fine-tuning has 40"):
        Gradual(0.5, end_step=50).course(0, 40)


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("iterative", {"steps": 0}, "steps: expected a whole number of at least 1, not 0"),
        ("gradual", {"every": 0}, "every: expected a whole number of at least 1"),
        ("gradual", {"start_step": 5, "end_step": 5}, "end_step: expected more than start_step, 5"),
        ("adaptive", {"smallest": 0.0}, "smallest: expected between 0 and 1, not 0"),
        ("adaptive", {"step": 0.01}, "step: expected at least smallest, 0.025, and below 1"),
        ("one-shot", {"steps": 2}, "steps: unknown key for kind 'one-shot'"),
    ],
)
def test_arguments_that_cannot_be(kind: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(kind, **arguments)
