"""Which network a user means, by every way of saying it; and what is said when none is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from joulefront.errors import ConfigError
from joulefront.pick import pick
from joulefront.records import Trial
from joulefront.results import Results, read
from written import SPACE, measured_trial, write_study


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A study with energy whose front has a few networks, the unpruned one not among them."""
    folder = tmp_path_factory.mktemp("studies")
    return read(write_study(folder, energy=True, fails=lambda number: number == 5))


def values(trial: Trial) -> Mapping[str, float]:
    """By metric, as the records have them."""
    assert trial.candidate
    assert trial.artifact
    assert trial.measurement
    assert trial.measurement.energy_j
    return {
        "error": trial.candidate.score.error.value,
        "accuracy": trial.candidate.score.metric,
        "latency_s": trial.measurement.latency_s.value,
        "energy_j": trial.measurement.energy_j.value,
        "size_b": trial.artifact.size_b,
        "params": trial.candidate.params,
        "macs": trial.candidate.macs,
    }


def choices(results: Results) -> list[Trial]:
    assert results.unpruned
    return list({trial.number: trial for trial in [*results.front, results.unpruned]}.values())


def test_weights_pick_the_least_sum_over_the_fronts_own_ranges(settled: Results) -> None:
    front = settled.front
    least = {name: min(values(trial)[name] for trial in front) for name in ("error", "latency_s")}
    span = {name: max(values(trial)[name] for trial in front) - least[name] for name in least}
    for weights in ({"error": 0.6, "latency_s": 0.4}, {"error": 1, "latency_s": 9}, {"error": 1.0}):
        text = "weighted:" + " , ".join(f"{name} = {weight}" for name, weight in weights.items())

        def total(trial: Trial, weights: Mapping[str, float] = weights) -> float:
            return sum(weight * (values(trial)[name] - least[name]) / span[name] for name, weight in weights.items())

        picked = pick(settled, text)
        assert picked.trial == min(front, key=lambda trial: (total(trial), trial.number))
        assert "concave part of the front" in picked.because
    assert pick(settled, "weighted:error=1").trial == min(front, key=lambda trial: values(trial)["error"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weighted:", "cannot pick by the weight ''"),
        ("weighted:error", "cannot pick by the weight 'error'"),
        ("weighted:error=-1", "cannot pick by the weight 'error=-1'"),
        ("weighted:accuracy=1", "'accuracy' is not minimised"),
        ("weighted:latncy_s=1", "did you mean 'latency_s'"),
        ("weighted:error=0,latency_s=0.0", "weights that are all 0"),
        ("weighted:memory_b=1", "cannot pick by memory_b: the version that recorded it did not tell"),
        ("packed_b<1e6", "cannot pick by packed_b: an earlier version compiled"),
        ("f1_error<0.1", "cannot pick by f1_error: only of a classifier"),
    ],
)
def test_weights_that_say_nothing_and_quantities_that_nobody_knows(settled: Results, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        pick(settled, text)


def test_the_knee(settled: Results) -> None:
    picked = pick(settled, " knee ")
    assert picked.trial == settled.knee
    assert "knee" in picked.because


def test_a_number_of_the_front_or_of_the_unpruned_network(settled: Results) -> None:
    for trial in choices(settled):
        assert pick(settled, str(trial.number)).trial == trial


@pytest.mark.parametrize("metric", ["latency_s", "energy_j", "size_b", "params", "macs"])
def test_within_a_cost_the_most_accurate_is_picked(settled: Results, metric: str) -> None:
    known = sorted(choices(settled), key=lambda trial: values(trial)[metric])
    bound = values(known[len(known) // 2])[metric]
    for sign, fits in (
        ("<=", [trial for trial in known if values(trial)[metric] <= bound]),
        (">", [trial for trial in known if values(trial)[metric] > bound]),
    ):
        if not fits:
            continue
        expected = min(fits, key=lambda trial: (values(trial)["error"], values(trial)["latency_s"]))
        assert pick(settled, f"{metric}{sign}{bound!r}").trial == expected


@pytest.mark.parametrize(("metric", "sign"), [("error", "<="), ("accuracy", ">=")])
def test_within_an_accuracy_the_fastest_is_picked(settled: Results, metric: str, sign: str) -> None:
    known = sorted(choices(settled), key=lambda trial: values(trial)["error"])
    bound = values(known[len(known) // 2])[metric]
    fits = [trial for trial in known if values(trial)["error"] <= values(known[len(known) // 2])["error"]]
    picked = pick(settled, f"{metric} {sign} {bound!r}")
    assert picked.trial == min(fits, key=lambda trial: values(trial)["latency_s"])
    assert "least latency_s" in picked.because


def test_of_equals_in_accuracy_the_fastest_is_picked(settled: Results) -> None:
    slowest, fastest = (which(choices(settled), key=lambda trial: values(trial)["latency_s"]) for which in (max, min))
    assert slowest.candidate
    assert fastest.candidate
    assert pick(settled, "params>0").trial != fastest
    as_good = replace(fastest, candidate=replace(fastest.candidate, score=slowest.candidate.score))
    two = replace(settled, trials=(slowest, as_good))
    assert pick(two, "params>0").trial == as_good


def test_several_limits_hold_together(settled: Results) -> None:
    fastest = min(choices(settled), key=lambda trial: values(trial)["latency_s"])
    others = [trial for trial in choices(settled) if trial != fastest]
    bound = min(values(trial)["latency_s"] for trial in others)
    assert pick(settled, f"latency_s<{bound!r},params>1").trial == fastest
    assert pick(settled, f"latency_s<{bound!r},params>1").because.startswith("the only network")


def test_strictly_less_is_less(settled: Results) -> None:
    known = sorted(values(trial)["params"] for trial in choices(settled))
    least = min(choices(settled), key=lambda trial: values(trial)["params"])
    assert pick(settled, f"params<={known[0]}").trial == least
    with pytest.raises(ConfigError, match="none of the"):
        pick(settled, f"params<{known[0]}")


def test_an_interval_across_the_limit_is_said(settled: Results) -> None:
    trial = min(choices(settled), key=lambda one: values(one)["latency_s"])
    assert trial.measurement
    latency_s = trial.measurement.latency_s
    near, far = pick(settled, f"latency_s<={latency_s.value!r}"), pick(settled, f"latency_s<{latency_s.high * 1.001!r}")
    assert near.trial == trial
    assert f"but not by all of its 95 % interval, {latency_s.low:.4g} to {latency_s.high:.4g}" in near.warnings[0]
    assert far.trial == trial
    assert far.warnings == ()


def test_accuracy_has_the_interval_of_the_error(settled: Results) -> None:
    best = min(choices(settled), key=lambda one: values(one)["error"])
    assert best.candidate
    picked = pick(settled, f"accuracy>={best.candidate.score.metric!r}")
    assert picked.trial.candidate
    low = 1 - picked.trial.candidate.score.error.high
    assert f"{low:.4g} to" in picked.warnings[0]


def test_what_nothing_keeps_names_the_nearest(settled: Results) -> None:
    nearest = min(choices(settled), key=lambda trial: values(trial)["latency_s"])
    with pytest.raises(ConfigError) as refused:
        pick(settled, "latency_s<1e-9")
    assert f"none of the {len(choices(settled))} settled networks has latency_s<1e-09" in str(refused.value)
    assert f"the nearest is trial {nearest.number} " in str(refused.value)
    assert f"latency_s {values(nearest)['latency_s']:.4g}" in str(refused.value)


def test_a_limit_is_repeated_with_all_its_digits(settled: Results) -> None:
    for bound in ("1048577", "9876543.5", "1e-09", "0.0123456789"):
        assert pick(settled, f"params>0,latency_s>=0,size_b<99999999,macs>-{bound}").because.endswith(f"macs>-{bound}")


def test_an_unpruned_network_that_breaks_the_studys_own_limits_is_said_so(settled: Results) -> None:
    assert settled.unpruned
    limits = settled.study.limits.model_copy(update={"latency_s": 1e-5})
    limited = {"latency_s": settled.unpruned.objectives["latency_s"]}
    unpruned = replace(settled.unpruned, limited=limited, violation=1.0)
    others = [replace(trial, limited={"latency_s": 1e-6}) for trial in settled.trials if trial != settled.unpruned]
    study = settled.study.model_copy(update={"limits": limits})
    results = replace(settled, study=study, trials=(*others, unpruned))
    for text in (str(unpruned.number), "params>0"):
        picked = pick(results, text)
        assert picked.trial == unpruned
        assert picked.warnings == (f"it breaks the study's own limit, latency_s <= 1e-05: {limited['latency_s']:.4g}",)
    assert pick(results, str(results.front[0].number)).warnings == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kne", "did you mean 'knee'?"),
        ("latency_s", "cannot pick 'latency_s': expected knee, a trial's number, limits in SI units"),
        ("latency<0.01", "unknown metric 'latency'; did you mean 'latency_s'?"),
        ("test_accuracy>0.9", "unknown metric 'test_accuracy'; did you mean 'accuracy'?"),
        ("latency_s<10ms", "cannot pick 'latency_s<10ms': expected knee"),
        ("latency_s<nan", "cannot pick 'latency_s<nan'"),
        ("latency_s=0.1", "cannot pick 'latency_s=0.1'"),
        ("latency_s<1,,params<9", "cannot pick ''"),
        ("latency_s<1;params<9", "cannot pick"),
        ("-3", "cannot pick '-3'"),
        ("", "cannot pick ''"),
        ("__import__('os')<1", "cannot pick"),
        ("999", "there is no trial 999"),
        ("9" * 5000, "cannot pick '999"),
    ],
)
def test_what_is_no_choice_is_one_message(settled: Results, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        pick(settled, text)


def test_a_number_of_the_search_names_the_settled_ones(settled: Results) -> None:
    there = choices(settled)
    became = {trial.genome: trial.number for trial in there}
    front = [trial for trial in settled.trials if trial.fidelity == "screen" and trial.genome in became]
    others = [trial for trial in settled.trials if trial.fidelity == "screen" and trial.genome not in became]
    with pytest.raises(ConfigError) as refused:
        pick(settled, str(front[-1].number))
    assert f"settled, the same network is trial {became[front[-1].genome]}" in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        pick(settled, str(next(trial.number for trial in others if not trial.failure)))
    assert "the same network is not on the settled front" in str(refused.value)
    assert settled.unpruned
    assert f"{settled.unpruned.number} (unpruned)" in str(refused.value)
    assert all(str(trial.number) in str(refused.value) for trial in there)


def test_a_failed_trial_is_said_so(settled: Results) -> None:
    with pytest.raises(ConfigError, match="trial 5 failed; to choose from are"):
        pick(settled, "5")


def test_a_settled_network_that_another_beats_is_not_kept(settled: Results) -> None:
    beaten = measured_trial(900, (0, 0, 0), "full", energy=True, latency=lambda widths: 1.0)
    with pytest.raises(ConfigError, match="trial 900 is not on the settled front, and so not kept"):
        pick(replace(settled, trials=(*settled.trials, beaten)), "900")


def test_energy_is_no_choice_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot pick by energy_j: a written device has no meter"):
        pick(read(write_study(tmp_path)), "energy_j<1")


def test_an_unsettled_study_is_refused_with_what_to_do(tmp_path: Path) -> None:
    results = read(write_study(tmp_path, settled=False))
    for text in ("knee", "3", "latency_s<1"):
        with pytest.raises(ConfigError, match=r"is not settled, .*run its search to the end"):
            pick(results, text)


def test_a_study_without_a_front_has_nothing_to_ship(tmp_path: Path) -> None:
    results = replace(read(write_study(tmp_path, settled=False)), settled=True)
    with pytest.raises(ConfigError, match="no network kept the study's limits"):
        pick(results, "knee")


def test_the_space_is_as_the_tests_assume(settled: Results) -> None:
    assert settled.space == SPACE
    assert len(choices(settled)) > 4
