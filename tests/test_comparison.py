"""Studies compared: what survives, how far devices agree, the one network for all; checked by an independent script."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulefront.comparison import Comparison, compare
from joulefront.comparison.agreement import disagreement, rank_correlation
from joulefront.comparison.choice import regret
from joulefront.comparison.drift import undrifted
from joulefront.comparison.networks import Seen
from joulefront.comparison.verdicts import verdict
from joulefront.errors import ConfigError
from joulefront.front import front_of
from joulefront.records import Estimate, Failure, Trial, Visit
from joulefront.report import comparison_document, comparison_table
from joulefront.results import Results, read
from joulefront.space_records import Pruning
from joulefront.store import Store
from joulefront.terminal import show
from recomputed import Study, recompute
from written import Latency, latency_s, measured_trial, write_study

NAMES = ("error", "latency_s")


def other_latency_s(widths: Mapping[str, int]) -> float:
    """Of a device that minds the second layer and the dense one, and not the first."""
    return 1e-6 * (3 + 0.05 * widths["conv1"] + 0.3 * widths["conv2"] + 0.1 * widths["fc1"])


def third_latency_s(widths: Mapping[str, int]) -> float:
    """Of a device on which all layers cost the same."""
    return 1e-7 * (widths["conv1"] + widths["conv2"] + widths["fc1"])


def visits(host: Path, home: Path, latency: Latency, session: str = "2026-01-02", only: Sequence[int] = ()) -> None:
    """The front of ``home``, or some of its trials, measured on a device with that ``latency``."""
    guests = [trial for trial in read(home).front if not only or trial.number in only]
    made = []
    for trial in guests:
        shown = measured_trial(trial.number, trial.genome, "full", latency=latency)
        assert shown.candidate
        made.append(Visit(session, read(home).name, trial.number, shown.candidate, shown.artifact, shown.measurement))
    with Store.open(host, writable=True) as store:
        store.add_visits(made)


def compared(*folders: Path) -> Comparison:
    return compare([read(folder) for folder in folders])


def document(*folders: Path) -> dict:  # type: ignore[type-arg]
    made = comparison_document.document(compared(*folders))
    assert json.loads(json.dumps(made, allow_nan=False)) == made  # plain values, and no numbers that JSON has not
    return made


def trial(number: int, error: float, latency: float, spread: float = 0.0) -> Trial:
    """A network of such an error and latency, in s; ``spread`` is half the latency's interval."""
    whole = measured_trial(number, (0, 0, number), "full")
    assert whole.candidate
    assert whole.measurement
    score = replace(whole.candidate.score, error=Estimate(error, error, error))
    time_s = Estimate(latency, latency - spread, latency + spread)
    return replace(
        whole,
        candidate=replace(whole.candidate, score=score),
        measurement=replace(whole.measurement, latency_s=time_s),
        objectives={"error": error, "latency_s": latency},
        intervals={"error": (0.0, 1.0), "latency_s": (time_s.low, time_s.high)},
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two settled studies of one model on devices that differ."""
    folder = tmp_path_factory.mktemp("written")
    return (
        write_study(folder, "one", device="a", count=40),
        write_study(folder, "other", device="b", count=40, latency=other_latency_s),
    )


@pytest.fixture
def two(written: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A copy of both, for one test."""
    one, other = (Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in written)
    return one, other


def agrees(made: dict, folders: Sequence[Path]) -> None:  # type: ignore[type-arg]
    """The document says what the independent script finds in the databases."""
    labels, found = made["studies"], recompute(list(folders))
    for pair, (survive, judged) in found["survival"].items():
        one, other = (labels[int(index)] for index in pair.split())
        counts = made["survival_counts"][one][other]
        assert (counts["survive"], counts["judged"]) == (survive, judged)
        assert made["survival"][one][other] == (survive / judged if judged else None)
    for pair, (value, networks) in found["spearman"].items():
        one, other = (labels[int(index)] for index in pair.split())
        correlation = made["latency_rank_correlation"][one][other]
        assert correlation["networks"] == networks
        assert correlation["value"] == (pytest.approx(value) if networks >= 5 else None)
    assert [made["hypervolume"][label]["value"] for label in labels] == pytest.approx(found["hypervolume"])
    best = made["best_single"]
    assert list(made["points"][best["point"]]["widths"].values()) == found["best"]["widths"]
    assert [best["regret"][label] for label in labels] == pytest.approx(found["best"]["regret"])
    for label, slower in zip(labels, found["best"]["slower"], strict=True):
        assert best["slower"][label] == (None if slower is None else pytest.approx(slower))
    assert best["worst_regret"] == max(best["regret"].values())


def test_it_is_what_an_independent_script_finds(two: tuple[Path, Path]) -> None:
    made = document(*two)
    agrees(made, two)
    counts = made["survival_counts"]["one"]["other"]
    assert 0 < counts["judged"] < counts["front"]  # what the second search favoured as well
    assert any("has measured" in warning and "flattered" in warning for warning in made["warnings"])


def test_with_visits_all_of_a_front_is_judged(two: tuple[Path, Path]) -> None:
    one, other = two
    before = document(one, other)
    visits(other, one, other_latency_s)
    visits(one, other, latency_s)
    made = document(one, other)
    agrees(made, two)
    for home, away in (("one", "other"), ("other", "one")):
        counts = made["survival_counts"][home][away]
        assert counts["judged"] == counts["front"] > before["survival_counts"][home][away]["judged"]
        assert counts["survive"] + counts["beaten"] + counts["barred"] == counts["judged"]
        assert counts["beaten"] > 0  # these devices really differ
        assert 0 < made["survival"][home][away] < 1
    assert not any("flattered" in warning for warning in made["warnings"])
    for point in made["points"]:
        assert set(point["measured"]) == {"one", "other"}
        for label, measured in point["measured"].items():
            assert measured["visit"] == (measured["home"] != label)
            assert measured["grade"] == measured["fidelity"] == "full"
            assert measured["provenance"]["latency_s"] == "simulated"
        for label in point["on_front"]:
            assert point["measured"][label]["home"] == label
            assert point["verdict"][label]["state"] in ("survives", "undecided")


def test_three_studies_are_joined_network_by_network(two: tuple[Path, Path], tmp_path: Path) -> None:
    third = write_study(tmp_path, "third", device="c", count=30, seed=3, latency=third_latency_s)
    folders = (*two, third)
    for host, latency in zip(folders, (latency_s, other_latency_s, third_latency_s), strict=True):
        for home in folders:
            if home != host:
                visits(host, home, latency)
    made = document(*folders)
    agrees(made, folders)
    assert len({tuple(point["widths"].items()) for point in made["points"]}) == len(made["points"])
    assert sum(len(point["on_front"]) for point in made["points"]) == sum(map(len, made["fronts"].values()))


def test_what_was_not_measured_there_is_not_judged(two: tuple[Path, Path]) -> None:
    one, other = two
    for point in document(one, other)["points"]:
        for label in ("one", "other"):
            assert (
                (point["measured"][label] is None)
                == (point["verdict"][label] is None)
                == (point["regret"][label] is None)
            )
    before = document(one, other)["survival_counts"]["one"]["other"]["judged"]
    known = Study(other).known
    unknown = [
        guest.number
        for guest in read(one).front
        if guest.candidate and tuple(guest.candidate.pruning.widths.values()) not in known
    ]
    visits(other, one, other_latency_s, only=unknown[:1])
    assert document(one, other)["survival_counts"]["one"]["other"]["judged"] == before + 1


def test_none_judged_is_none_with_the_remedy(tmp_path: Path) -> None:
    """The studies share no network: each search saw others, and one of them not even the unpruned one."""
    one = read(write_study(tmp_path, "one", count=3, seed=1))
    other = read(write_study(tmp_path, "other", count=3, seed=2, latency=other_latency_s))
    cut = tuple(trial for trial in other.trials if trial.genome != other.space.full)
    made = comparison_document.document(compare([one, replace(other, trials=cut)]))
    assert made["survival"]["one"]["other"] is None
    assert "--remeasure" in made["survival_reason"]["one"]["other"]
    assert made["best_single"] is None
    assert "--remeasure" in made["best_single_reason"]
    correlation = made["latency_rank_correlation"]["one"]["other"]
    assert (correlation["value"], correlation["networks"]) == (None, 0)
    assert "5 are the least" in correlation["reason"]
    assert made["disagreement"]["one"]["other"] == {"layers": {}, "networks": 0, "reason": correlation["reason"]}


@pytest.mark.parametrize(
    ("change", "ranked", "reason"),
    [
        ({"task": {"model": "m2"}}, False, "differ, so no network is in both"),
        ({"task": {"data": "d2"}}, True, "have other data, so their errors cannot be compared"),
        ({"settled": False}, True, "other still searches and one is settled"),
        ({"count": 0}, False, "other still searches"),
        ({"fails": lambda number: True}, False, "other still searches"),
    ],
)
def test_what_cannot_be_compared_is_none_with_its_reason(
    tmp_path: Path, change: dict, ranked: bool, reason: str
) -> None:  # type: ignore[type-arg]
    one = write_study(tmp_path, "one")
    other = write_study(tmp_path, "other", latency=other_latency_s, **change)
    made = document(one, other)
    for home, away in (("one", "other"), ("other", "one")):
        assert made["survival"][home][away] is None
        assert reason in made["survival_reason"][home][away]
        assert made["survival_counts"][home][away]["judged"] == 0
        # What a network takes hangs neither on the data nor on who has ended.
        assert (made["latency_rank_correlation"][home][away]["value"] is not None) == ranked
    assert reason in made["best_single_reason"]
    assert any(reason in warning for warning in made["warnings"])
    assert made["fronts"]["one"]  # shown all the same
    for point in made["points"]:
        if point["on_front"] == ["one"]:
            assert point["verdict"]["other"] is None
    comparison_table.table(made)


def test_a_settled_study_without_a_front_says_so(tmp_path: Path) -> None:
    one, other = write_study(tmp_path, "one"), write_study(tmp_path, "other", settled=False)
    empty = replace(read(other), settled=True, trials=())
    made = comparison_document.document(compare([read(one), empty]))
    assert made["survival_reason"]["one"]["other"] == made["survival_reason"]["other"]["one"] == "other has no front"
    assert "other has no front" in made["warnings"]


def test_a_study_that_has_not_begun_is_in_nobodys_way(two: tuple[Path, Path]) -> None:
    one, other = read(two[0]), read(two[1])
    bare = replace(other, facts={}, trials=(), settled=False, study=other.study.model_copy(update={"name": "bare"}))
    made = comparison_document.document(compare([one, bare]))
    assert made["survival_reason"]["one"]["bare"] == "bare has not begun to search"
    assert made["hypervolume"]["bare"] == {"value": None, "reference_point": None}
    assert "bare has no front" in made["warnings"]
    assert not any("objectives" in warning for warning in made["warnings"])
    comparison_table.table(made)


def test_while_both_search_screening_figures_are_compared(tmp_path: Path) -> None:
    one = write_study(tmp_path, "one", settled=False)
    other = write_study(tmp_path, "other", settled=False, latency=other_latency_s)
    visits(
        other, write_study(tmp_path, "settled"), other_latency_s
    )  # at full grade, which screening figures never meet
    made = document(one, other)
    assert set(made["state"].values()) == {"searching"}
    assert made["survival_counts"]["one"]["other"]["judged"] == made["survival_counts"]["one"]["other"]["front"]
    for point in made["points"]:
        for measured in point["measured"].values():
            assert measured["grade"] == "screening"


def test_two_of_one_name_are_called_by_their_folders(tmp_path: Path) -> None:
    one, other = write_study(tmp_path / "a"), write_study(tmp_path / "b", latency=other_latency_s)
    assert document(one, other)["studies"] == [str(one.resolve()), str(other.resolve())]


def test_one_study_or_one_given_twice_is_refused(two: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="two studies or more"):
        compared(two[0])
    with pytest.raises(ConfigError, match="one is given 2 times"):
        compared(two[0], two[1], two[0].parent / "." / "one")


def test_a_study_that_leaves_a_layer_alone_has_the_same_networks(tmp_path: Path) -> None:
    """Its networks do not name the layer, which has the width that the other study calls the full one."""
    whole, part = read(write_study(tmp_path, "whole")), read(write_study(tmp_path, "part"))
    assert whole.space.genes[0].name == "conv1"

    def without(trial: Trial) -> Trial:
        assert trial.candidate
        widths = {name: width for name, width in trial.candidate.pruning.widths.items() if name != "conv1"}
        return replace(trial, candidate=replace(trial.candidate, pruning=Pruning(widths)))

    full = [trial for trial in part.trials if trial.candidate and trial.candidate.pruning.widths["conv1"] == 32]
    genes = [gene for gene in part.facts["space"]["genes"] if gene["name"] != "conv1"]
    part = replace(part, trials=tuple(map(without, full)), facts={**part.facts, "space": {"genes": genes}})
    networks = compare([whole, part]).latency["whole"]["part"].networks
    assert networks == len({trial.genome for trial in full}) > 1
    for point in compare([whole, part]).points:
        assert set(point.pruning.widths) == {"conv1", "conv2", "fc1"}


def test_a_failed_visit_and_broken_limits_bar_a_network(two: tuple[Path, Path]) -> None:
    one, other = two
    visits(other, one, other_latency_s)
    host, home = read(other), read(one)
    own = [trial.candidate.pruning.widths for trial in host.comparable if trial.candidate]
    guests = [visit for visit in host.visits if visit.candidate.pruning.widths not in own]
    guest = guests[0]
    failed = replace(guest, measurement=None, failure=Failure("OutOfMemory", "it needs 3 GiB"))
    bare = replace(host, visits=tuple(failed if visit is guest else visit for visit in host.visits))
    made = comparison_document.document(compare([home, bare]))
    assert made["survival_counts"]["one"]["other"]["barred"] == 1
    (point,) = [point for point in made["points"] if (point["verdict"]["other"] or {}).get("state") == "barred"]
    assert point["verdict"]["other"]["reason"] == "OutOfMemory: it needs 3 GiB"
    assert point["measured"]["other"] is None
    assert point["regret"]["other"] is None
    assert any("failed on the device of other" in warning for warning in made["warnings"])

    limits = host.study.limits.model_copy(update={"latency_s": 1e-9})
    strict = replace(host, study=host.study.model_copy(update={"limits": limits}))
    counts = comparison_document.document(compare([home, strict]))["survival_counts"]["one"]["other"]
    assert counts["barred"] == len(guests)


def test_the_same_widths_with_other_weights_are_said_so(two: tuple[Path, Path]) -> None:
    one, other = read(two[0]), read(two[1])

    def retrained(trial: Trial) -> Trial:
        assert trial.candidate
        return replace(trial, candidate=replace(trial.candidate, sha256="0" * 64))

    assert not any("other weights" in warning for warning in compare([one, other]).warnings)
    again = replace(other, trials=tuple(map(retrained, other.trials)))
    assert any("same widths and other weights" in warning for warning in compare([one, again]).warnings)


def test_what_is_measured_is_never_mixed_with_what_is_simulated_unsaid(two: tuple[Path, Path]) -> None:
    one, other = read(two[0]), read(two[1])

    def real(trial: Trial) -> Trial:
        return (
            replace(trial, measurement=replace(trial.measurement, provenance="measured"))
            if trial.measurement
            else trial
        )

    made = compare([replace(one, trials=tuple(map(real, one.trials))), other])
    assert "the figures are of different kinds: measured on one; simulated on other" in made.warnings


def test_energy_is_compared_where_both_have_it(tmp_path: Path) -> None:
    one = write_study(tmp_path, "one", energy=True)
    other = write_study(tmp_path, "other", energy=True, latency=other_latency_s)
    bare = write_study(tmp_path, "bare", latency=third_latency_s)
    made = document(one, other, bare)
    assert made["energy_rank_correlation"]["one"]["other"]["value"] is not None
    without = made["energy_rank_correlation"]["one"]["bare"]
    assert (without["value"], without["reason"]) == (None, "bare has no energy: a written device has no meter")
    assert any("the studies have other objectives" in warning for warning in made["warnings"])


# Drift: the host's own network beside the visitors takes longer than in its study.


def drifted(study: Results, factor: float) -> Results:
    """As if on the day of the visits everything had taken so many times as long, the study's own network too."""
    own = study.unpruned
    assert own
    assert own.candidate
    canary = Visit("2026-01-02", study.name, own.number, own.candidate, own.artifact, own.measurement)

    def slowed(visit: Visit) -> Visit:
        assert visit.measurement
        then = visit.measurement.latency_s
        slow = Estimate(then.value * factor, then.low * factor, then.high * factor)
        return replace(visit, measurement=replace(visit.measurement, latency_s=slow))

    return replace(study, visits=tuple(map(slowed, (canary, *study.visits))))


@pytest.mark.parametrize(("spread", "apart"), [(0.005, True), (0.02, False), (1.01, False)])
def test_a_small_drift_is_none_where_intervals_leave_it_open(
    two: tuple[Path, Path], spread: float, apart: bool
) -> None:
    """Of 2 %; the widest interval begins below 0."""
    study = drifted(read(two[1]), 1.02)
    (canary,) = study.visits
    assert canary.measurement
    value_s = canary.measurement.latency_s.value
    time_s = Estimate(value_s, value_s * (1 - spread), value_s * (1 + spread))
    shown = replace(study, visits=(replace(canary, measurement=replace(canary.measurement, latency_s=time_s)),))
    (drift,) = compare([read(two[0]), shown]).drift["other"]
    assert drift.ratio == pytest.approx(1.02)
    assert drift.apart == apart


def test_drift_shows_and_decides_nothing(tmp_path: Path) -> None:
    one, other = (write_study(tmp_path, name, count=30, seed=seed) for name, seed in (("one", 1), ("other", 2)))
    visits(other, one, latency_s)
    home, host = read(one), read(other)
    calm = comparison_document.document(compare([home, drifted(host, 1.0)]))
    assert [drift["apart"] for drift in calm["drift"]["other"]] == [False]
    assert calm["drift"]["other"][0]["ratio"] == 1
    before = calm["survival_counts"]["one"]["other"]

    hot = comparison_document.document(compare([home, drifted(host, 5.0)]))
    (drift,) = hot["drift"]["other"]
    assert drift["apart"]
    assert drift["ratio"] == pytest.approx(5.0)
    assert drift["interval"] == pytest.approx([5 * np.exp(-0.01 * 2**0.5), 5 * np.exp(0.01 * 2**0.5)])
    assert any("not as it was in its study" in warning for warning in hot["warnings"])
    after = hot["survival_counts"]["one"]["other"]
    # What survived then is beaten as it was measured now, but for the drift: it is undecided. What is beaten is so anyway.
    assert after["undecided"] > before["undecided"]
    assert (after["survive"], after["beaten"]) == (before["survive"], before["beaten"])


# Verdicts on networks made by hand.

FRONT = [trial(0, 0.1, 10e-6, 1e-6), trial(1, 0.2, 5e-6, 0.1e-6)]


@pytest.mark.parametrize(
    ("error", "latency", "spread", "state", "by"),
    [
        (0.10, 13e-6, 1e-6, "beaten", (0,)),
        (0.10, 11e-6, 1e-6, "undecided", (0,)),  # slower by value, within the intervals
        (0.25, 11e-6, 1e-6, "beaten", (0, 1)),
        (0.05, 90e-6, 1e-6, "survives", ()),
        (0.10, 10e-6, 1e-6, "survives", ()),  # as good as one of the front
        (0.15, 7e-6, 1e-6, "survives", ()),
        (0.1001, 10e-6, 1e-6, "beaten", (0,)),  # the error is compared by its value
    ],
)
def test_a_verdict(error: float, latency: float, spread: float, state: str, by: tuple[int, ...]) -> None:
    said = verdict(Seen(trial(9, error, latency, spread)), FRONT, NAMES)
    assert (said.state, said.by) == (state, by)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=8))
def test_a_front_survives_on_itself(values: list[tuple[int, int, int]]) -> None:
    trials = [
        trial(number, error / 10, latency * 1e-6, spread * 1e-7)
        for number, (error, latency, spread) in enumerate(values)
    ]
    front = front_of(trials, NAMES)
    for one in front:
        said = verdict(Seen(one), front, NAMES)
        assert said.state != "beaten"
        assert (said.state == "survives") == (not said.by)
        assert one.number not in said.by


# Agreement.


def test_a_rank_correlation_by_hand() -> None:
    found = rank_correlation([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5])
    assert found.value == pytest.approx(1 - 6 * 2 / (6 * 35))
    z, half = np.arctanh(found.value), 1.959964 * np.sqrt((1 + found.value**2 / 2) / 3)  # type: ignore[arg-type]
    assert found.interval == pytest.approx((np.tanh(z - half), np.tanh(z + half)), rel=1e-6)


def test_a_perfect_rank_correlation_has_an_interval() -> None:
    same, turned = rank_correlation(range(8), range(8)), rank_correlation(range(8), range(8, 0, -1))
    assert (same.value, turned.value) == (1, -1)
    assert same.interval
    assert turned.interval
    swapped = rank_correlation(range(8), [1, 0, *range(2, 8)])
    assert swapped.interval
    assert same.interval == (pytest.approx(swapped.interval[0]), 1.0)
    assert turned.interval == (-1.0, pytest.approx(-swapped.interval[0]))


@pytest.mark.parametrize(
    ("ones", "others", "reason"),
    [([1, 2, 3, 4], [1, 2, 3, 4], "5 are the least"), ([1] * 6, range(6), "the same value")],
)
def test_no_rank_correlation_has_a_reason(ones: Sequence[float], others: Sequence[float], reason: str) -> None:
    found = rank_correlation(ones, others)
    assert (found.value, found.interval) == (None, None)
    assert reason in (found.reason or "")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=5, max_size=20))
def test_a_rank_correlation_lies_in_its_interval(pairs: list[tuple[int, int]]) -> None:
    found = rank_correlation([one for one, _ in pairs], [other for _, other in pairs])
    if found.value is None:
        assert found.reason
    else:
        assert found.interval
        assert -1 <= found.interval[0] <= found.value <= found.interval[1] <= 1
        assert found.interval[0] < found.interval[1]


def widths_of(count: int) -> list[dict[str, int]]:
    rng = np.random.default_rng(0)
    return [{"a": int(2 ** rng.integers(2, 6)), "b": int(2 ** rng.integers(2, 6))} for _ in range(count)]


def test_the_layer_that_moves_two_devices_apart_is_found() -> None:
    """One device takes 3 times as long, times the square root of the first layer's width: halving it gains 0.71."""
    rng, widths = np.random.default_rng(1), widths_of(40)
    ones = [row["a"] * row["b"] for row in widths]
    others = [3 * one * row["a"] ** 0.5 * rng.normal(1, 0.02) for one, row in zip(ones, widths, strict=True)]
    found = disagreement(widths, ones, others)
    low, high = found.layers["a"].interval
    assert low < 0.5**0.5 < high
    assert high - low < 0.05
    assert found.layers["b"].interval[0] < 1 < found.layers["b"].interval[1]
    back = disagreement(widths, others, ones)
    assert back.layers["a"].factor == pytest.approx(1 / found.layers["a"].factor)


def test_what_cannot_be_fitted_has_a_reason() -> None:
    assert "both measured 4 networks, and 5" in (disagreement(widths_of(4), range(1, 5), range(1, 5)).reason or "")
    together = [{"a": width, "b": 2 * width} for width in range(1, 9)]
    assert "do not vary independently" in (disagreement(together, range(1, 9), range(1, 9)).reason or "")


# Regret.


def test_regret_by_hand(tmp_path: Path) -> None:
    front = (trial(1, 0.0, 10e-6), trial(2, 0.1, 2e-6), trial(3, 0.2, 0.0))
    study = replace(
        read(write_study(tmp_path, count=0)), settled=True, facts={"objectives": {"names": NAMES}}, trials=front
    )
    assert study.knee is front[1]
    assert regret(front[1], study) == 0
    # Ranges 0.2 and 10e-6: the knee is at (0.5, 0.2), this one at (0.5, 0.7), that one better than the ideal in latency.
    assert regret(trial(9, 0.1, 7e-6), study) == pytest.approx(np.hypot(0.5, 0.7) - np.hypot(0.5, 0.2))
    assert regret(trial(9, 0.1, -5e-6), study) == pytest.approx(0.5 - np.hypot(0.5, 0.2))
    assert regret(replace(trial(9, 0.1, 7e-6), violation=0.5), study) is None
    alone = replace(study, trials=front[1:2])
    assert regret(trial(9, 0.1, 4e-6), alone) == 1.0  # a front of one has no range: its value is taken for it


def test_beyond_the_reference_point_there_is_no_choice(two: tuple[Path, Path]) -> None:
    study = read(two[0])
    assert study.unpruned
    slow = study.unpruned.objectives["latency_s"] * 1.2
    assert regret(trial(9, 0.01, slow), study) is None


# For people.


def shown(capsys: pytest.CaptureFixture[str], made: dict) -> str:  # type: ignore[type-arg]
    show(made, as_json=False, table=comparison_table.table)
    return capsys.readouterr().out


def test_the_table_says_it_in_words(two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = two
    visits(other, one, other_latency_s)
    made = document(one, other)
    text = " ".join(shown(capsys, made).split())
    counts = made["survival_counts"]["one"]["other"]
    assert f"Of one's front of {counts['front']}, {counts['survive']} survive on other" in text
    assert "Rank correlation of latency on one and other: 0." in text
    assert "Halving a layer's width changes the latency on other, by that on one: " in text
    factor = made["disagreement"]["one"]["other"]["layers"]["conv1"]["factor"]
    assert f"conv1 × {factor:.2f} (" in text
    assert "Best single network for all:" in text
    assert "beaten by" in text
    assert "not measured" in text
    assert "simulated on one (a); simulated on other (b)" in text
    third = write_study(tmp_path, "third", latency=third_latency_s)
    assert "Share of a row's front" in shown(capsys, document(one, other, third))


def test_what_a_device_wrote_moves_no_cursor(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    one, other = read(two[0]), read(two[1])
    nasty = Visit("2026-01-02", "else", 1, one.front[0].candidate, failure=Failure("Crashed", "\x1b[2J<script>"))  # type: ignore[arg-type]
    made = comparison_document.document(compare([one, replace(other, visits=(nasty,))]))
    text = shown(capsys, made)
    assert "\\x1b[2J<script>" in text
    assert "\x1b[2J" not in text


def test_the_verb_compares_without_torch_and_tvm(two: tuple[Path, Path]) -> None:
    code = (
        "import sys; from joulefront.cli import main\n"
        f"sys.argv = ['joulefront', 'compare', {str(two[0])!r}, {str(two[1])!r}, '--json']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'torch', 'tvm', 'tvm_ffi'}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert json.loads(done.stdout)["studies"] == ["one", "other"]


def test_drift_is_taken_out_of_every_percentile_of_the_latency() -> None:
    values = {"error": 0.1, "latency_p99_s": 3.0, "memory_b": 5.0}
    trial = Trial(0, (), "full", objectives=values, intervals={"latency_p99_s": (2.0, 4.0), "memory_b": (5.0, 5.0)})
    calm = undrifted(trial, 2.0)
    assert calm.objectives == {"error": 0.1, "latency_p99_s": 1.5, "memory_b": 5.0}
    assert calm.intervals == {"latency_p99_s": (1.0, 2.0), "memory_b": (5.0, 5.0)}
