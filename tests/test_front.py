"""Dominance with intervals, limits and hypervolume, on cases worked by hand."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulefront.config import LimitsConfig, Objective
from joulefront.errors import ConfigError, TrainError
from joulefront.front import beats, front_of, hypervolume, judged, reference_point, unpruned_of, violation
from joulefront.objectives import MACRO, NAMES
from joulefront.records import Energy, Estimate, Failure, Trial
from joulefront.space_records import Gene, Space
from written import SPACE, measured_trial

BOTH = ("error", "latency_s")


def trial(number: int, error: float, latency_s: float, half_s: float = 0.0, **more: object) -> Trial:
    return Trial(
        number,
        (number,),
        "screen",
        objectives={"error": error, "latency_s": latency_s},
        intervals={"error": (error / 2, error * 2), "latency_s": (latency_s - half_s, latency_s + half_s)},
        **more,  # type: ignore[arg-type]
    )


def test_better_in_all_beats() -> None:
    assert beats(trial(0, 0.1, 1.0), trial(1, 0.2, 2.0), BOTH)
    assert not beats(trial(1, 0.2, 2.0), trial(0, 0.1, 1.0), BOTH)


def test_a_trade_off_beats_neither_way() -> None:
    assert not beats(trial(0, 0.1, 2.0), trial(1, 0.2, 1.0), BOTH)
    assert not beats(trial(1, 0.2, 1.0), trial(0, 0.1, 2.0), BOTH)


def test_what_intervals_cannot_tell_apart_is_not_beaten() -> None:
    quicker, slower = trial(0, 0.1, 1.0, half_s=0.1), trial(1, 0.1, 1.1, half_s=0.1)
    assert not beats(quicker, slower, BOTH)
    assert front_of([slower, quicker], BOTH) == [quicker, slower]


def test_a_lower_error_at_an_equal_latency_beats_though_the_latencies_overlap() -> None:
    assert beats(trial(0, 0.1, 1.0, half_s=0.1), trial(1, 0.2, 1.05, half_s=0.1), BOTH)


def test_intervals_that_overlap_a_little_are_apart_by_their_ratio() -> None:
    quicker, slower = trial(0, 0.1, 1.0, half_s=0.03), trial(1, 0.1, 1.05, half_s=0.03)
    assert beats(quicker, slower, BOTH)
    assert not beats(quicker, trial(1, 0.1, 1.03, half_s=0.03), BOTH)


def joules(number: int, energy_j: float, meter: str = "rapl", factor: float = 1.0) -> Trial:
    """Within ± 1 % of its own, and of a meter whose scale may be off by 20 %."""
    whole = measured_trial(number, SPACE.full, "screen", energy=True)
    assert whole.measurement
    parts = {"repeats": 0.01, "gain": 0.2}
    energy = Energy(meter, "the board", None, "none", Estimate(5.0, 4.0, 6.0), None, parts, (), factor=factor)
    return replace(
        whole,
        objectives={"energy_j": energy_j},
        intervals={"energy_j": (0.8 * energy_j, 1.2 * energy_j)},
        measurement=replace(whole.measurement, energy=energy),
    )


def test_the_scale_of_one_meter_tells_nothing_apart_and_that_of_two_does() -> None:
    assert beats(joules(0, 1.0), joules(1, 1.02), ["energy_j"])
    assert not beats(joules(0, 1.0), joules(1, 1.01), ["energy_j"])
    assert not beats(joules(0, 1.0), joules(1, 1.02, meter="joulescope"), ["energy_j"])
    assert not beats(joules(0, 1.0), joules(1, 1.02, factor=1.1), ["energy_j"])


@st.composite
def noisy(draw: st.DrawFn) -> list[Trial]:
    """Trials of few different values, so that some are equal, with intervals of all widths."""
    number = draw(st.integers(1, 7))
    values = st.sampled_from([0.0, 0.1, 0.11, 0.3, 1e-5, 1e-5 / 3])
    made = []
    for index in range(number):
        latency_s = draw(values)
        half_s = latency_s * draw(st.floats(0.0, 2.0))
        ends = (max(0.0, latency_s - half_s), draw(st.sampled_from([latency_s + half_s, float("inf")])))
        one = trial(index, draw(values), latency_s)
        made.append(replace(one, intervals={**one.intervals, "latency_s": ends}))
    return made


@given(noisy())
def test_nothing_beats_what_beats_it_and_no_circle_empties_a_front(trials: list[Trial]) -> None:
    assert front_of(trials, BOTH)
    for one in trials:
        assert not any(beats(one, other, BOTH) and beats(other, one, BOTH) for other in trials)
    # Taking away what nothing beats leaves a front of the rest, until there is nothing left: there are no circles.
    left = trials
    while left:
        front = front_of(left, BOTH)
        assert front
        left = [one for one in left if one not in front]


@given(noisy())
def test_the_front_holds_all_that_is_not_worse_by_value(trials: list[Trial]) -> None:
    values = [tuple(one.objectives[name] for name in BOTH) for one in trials]
    best = [
        one
        for one, own in zip(trials, values, strict=True)
        if not any(other != own and all(map(float.__le__, other, own)) for other in values)
    ]
    assert {one.number for one in best} <= {one.number for one in front_of(trials, BOTH)}


def test_what_is_judged_on_the_same_examples_is_compared_by_its_value() -> None:
    for name, overlapping in (("f1_error", True), ("loss", True), ("memory_b", False), ("latency_p99_s", False)):
        one, other = (
            Trial(number, (number,), "screen", objectives={name: value}, intervals={name: (value / 2, value * 2)})
            for number, value in enumerate((0.10, 0.11))
        )
        assert beats(one, other, [name]) is overlapping


def test_everything_found_of_a_trial_is_an_objective_or_a_limit() -> None:
    whole = measured_trial(0, SPACE.full, "screen", energy=True)
    assert whole.candidate
    assert whole.artifact
    assert whole.measurement
    estimate = Estimate(3.0, 2.0, 4.0)
    score = replace(whole.candidate.score, loss=0.5, macro=dict.fromkeys(MACRO, estimate))
    whole = replace(
        whole,
        candidate=replace(whole.candidate, score=score),
        artifact=replace(whole.artifact, packed_b=7),
        measurement=replace(whole.measurement, latency_p99_s=estimate, memory_b=estimate),
    )
    found = judged(whole, NAMES, {"memory_b": 1.5, "loss": 1.0})
    assert set(found.objectives) == set(NAMES) == set(get_args(Objective)) == set(LimitsConfig.model_fields)
    assert (found.objectives["loss"], found.objectives["packed_b"], found.objectives["memory_b"]) == (0.5, 7, 3.0)
    assert set(found.intervals) == set(NAMES) - {"loss", "size_b", "packed_b", "params", "macs"}
    assert found.intervals["f1_error"] == (2.0, 4.0)
    assert found.limited == {"memory_b": 3.0, "loss": 0.5}
    assert found.violation == 1.0
    with pytest.raises(
        ConfigError, match=r"memory_b cannot be told: the version that recorded it did not tell\. Leave"
    ):
        judged(measured_trial(0, SPACE.full, "screen"), ["error", "memory_b"], {})
    with pytest.raises(TrainError, match="not a finite number"):  # the network's fault: it diverged
        judged(measured_trial(0, SPACE.full, "screen"), ["error"], {"loss": 1.0})


def test_equal_trials_do_not_beat_one_another() -> None:
    assert not beats(trial(0, 0.1, 1.0), trial(1, 0.1, 1.0), BOTH)


def test_failures_and_broken_limits_are_on_no_front() -> None:
    failed = Trial(0, (0,), "screen", failure=Failure("Hung", "it hung"))
    over = trial(1, 0.0, 0.5, violation=0.1)
    fine = trial(2, 0.5, 5.0)
    assert front_of([failed, over, fine], BOTH) == [fine]


def test_violation_is_relative_and_adds_up() -> None:
    limits = {"latency_s": 2.0, "error": 0.1}
    assert violation({"latency_s": 3.0, "error": 0.05}, limits) == pytest.approx(0.5)
    assert violation({"latency_s": 3.0, "error": 0.2}, limits) == pytest.approx(1.5)
    assert violation({"latency_s": 2.0, "error": 0.1}, limits) == 0


def test_hypervolume_of_two_points_by_hand() -> None:
    point = {"error": 0.5, "latency_s": 10.0}
    # In units of the point: (0.2, 0.8) and (0.6, 0.3): 0.8 x 0.2 + 0.4 x 0.7 - 0.4 x 0.2 (counted twice).
    found = hypervolume([trial(0, 0.1, 8.0), trial(1, 0.3, 3.0)], point)
    assert found.value == pytest.approx(0.8 * 0.2 + 0.4 * 0.7 - 0.4 * 0.2)
    assert hypervolume([trial(0, 0.1, 11.0)], point).value == 0
    assert hypervolume([], point).value == 0


def test_the_reference_point_is_a_little_worse_than_the_unpruned_network() -> None:
    assert reference_point(trial(0, 0.1, 2.0), BOTH) == pytest.approx({"error": 0.3, "latency_s": 2.2})
    assert reference_point(trial(0, 0.9, 2.0), BOTH)["error"] == 1.0
    assert reference_point(trial(0, 4.0, 2.0), BOTH)["error"] == pytest.approx(4.2)  # a metric may be below 0


def test_the_reference_point_of_every_kind() -> None:
    values = {"f1_error": 0.5, "recall_error": 0.95, "loss": -2.0, "memory_b": 100.0}
    point = reference_point(Trial(0, (), "screen", objectives=values), list(values))
    assert point == pytest.approx({"f1_error": 0.7, "recall_error": 1.0, "loss": -1.0, "memory_b": 110.0})


def test_a_loss_below_nothing_is_no_share() -> None:
    below = Trial(0, (), "screen", objectives={"loss": -0.5, "latency_s": 1.0})
    assert hypervolume([below], {"loss": 0.5, "latency_s": 2.0}).value == pytest.approx(0.5)
    assert hypervolume([below], {"loss": -0.1, "latency_s": 2.0}).value == 0


def test_the_unpruned_network_is_found_only_if_it_ran() -> None:
    space = Space((Gene("a", (4, 8)),))
    ran = Trial(0, (1,), "screen", objectives={"error": 0.1})
    assert unpruned_of([Trial(1, (0,), "screen"), ran], space) is ran
    assert unpruned_of([Trial(0, (1,), "screen", failure=Failure("Hung", ""))], space) is None
