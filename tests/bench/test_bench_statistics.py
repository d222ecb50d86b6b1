"""The interval: simulated studies, of which it has to cover the truth as often as it says, or say that it may not.

``benchmarks/coverage.py`` does so with more cases and more studies. Seeds are fixed; the bounds leave room for so few studies.
"""

import math

import numpy as np
import pytest
from scipy.stats import t

from joulefront.bench.statistics import (
    LEAST_REPEATS,
    median_latency,
    of_repeats,
    ratio_of_repeats,
    relative_width,
    tail_latency,
)

STUDIES = 200
LEAST = 0.915  # 93 % and more are meant
MOST = 0.995  # 97 %


def covered(estimates, truth=1.0):
    return float(np.mean([one.low <= truth <= one.high for one in estimates]))


def marked(estimates):
    return float(np.mean([one.indicative is not None for one in estimates]))


def noise(number, *seed):
    return 0.01 * np.random.default_rng([number, *seed]).standard_normal((STUDIES, number))


def middle_times(number):
    """When the repeats are made: the session is from -1/2 to 1/2."""
    return (np.arange(number) + 0.5) / number - 0.5


@pytest.mark.parametrize("drift", [0.0, 0.03, 3.0])
@pytest.mark.parametrize("number", range(LEAST_REPEATS, 11))
def test_it_covers_the_middle_of_a_session_whatever_the_drift(number, drift):
    estimates = [of_repeats(1 + one + drift * middle_times(number)) for one in noise(number)]
    assert LEAST <= covered(estimates) <= MOST
    assert marked(estimates) <= 0.12  # one in 14 is meant


def test_a_drift_makes_it_no_wider():
    still = [relative_width(of_repeats(1 + one)) for one in noise(6)]
    drifting = [relative_width(of_repeats(1 + one + 0.05 * middle_times(6))) for one in noise(6)]
    assert np.median(drifting) < 1.1 * np.median(still)


@pytest.mark.parametrize("between", [0.0, 0.01])
@pytest.mark.parametrize("number", [3, 5, 8])
def test_autocorrelated_samples_do_not_matter(number, between):
    random = np.random.default_rng([number, round(100 * between)])
    samples = random.standard_normal((STUDIES, number, 50))
    for index in range(1, 50):
        samples[:, :, index] = 0.9 * samples[:, :, index - 1] + math.sqrt(1 - 0.9**2) * samples[:, :, index]
    offsets = between * random.standard_normal((STUDIES, number, 1))
    assert LEAST <= covered([median_latency(study) for study in 1 + offsets + 0.02 * samples]) <= MOST


@pytest.mark.parametrize("spread", [0.7, 1.5, 2.5])
@pytest.mark.parametrize("first", [4, 5])
def test_it_still_does_when_repeats_stop_as_soon_as_it_is_narrow(first, spread):
    estimates = []
    for study in 1 + spread * noise(12, first):
        tried = (of_repeats(study[:number]) for number in range(first, 13))
        estimates.append(next((one for one in tried if relative_width(one) <= 0.02), of_repeats(study)))
    assert covered(estimates) >= LEAST - 0.01


@pytest.mark.parametrize("number", [5, 7, 10])
def test_a_throttled_part_of_the_session_is_indicative(number):
    """10 % slower in the last third; the truth is then the median of the other two and that."""
    estimates = [of_repeats(1 + one / 4 + 0.1 * (middle_times(number) > 1 / 6)) for one in noise(number)]
    assert marked(estimates) >= 0.95
    assert covered(estimates, 1.0016) >= 0.95  # the three quarters' quantile of the quick ones
    assert "are not spread as noise is" in str(estimates[0].indicative)


def test_any_distribution_is_covered_where_it_is_not_noise():
    """Three repeats of ten are throttled, whenever."""
    slow = np.random.default_rng(5).uniform(size=(STUDIES, 8)) < 0.3
    estimates = [of_repeats(one) for one in 1 + noise(8) / 4 + 0.1 * slow]
    assert marked(estimates) >= 0.8
    assert covered(estimates, 1.0014) >= LEAST


@pytest.mark.parametrize("number", [8, 10])
def test_a_drift_that_bends_is_indicative_since_neighbours_are_alike(number):
    bend = 0.2 * (middle_times(number) + 0.5) ** 2
    estimates = [of_repeats(1 + one / 4 + bend) for one in noise(number)]
    assert np.mean(["neighbours among the" in str(one.indicative) for one in estimates]) >= 0.95
    assert covered(estimates, 1.05) >= LEAST


@pytest.mark.parametrize("number", [2, 3])
def test_few_repeats_are_indicative(number):
    estimates = [of_repeats(1 + one) for one in noise(number)]
    assert LEAST <= covered(estimates) <= MOST
    assert {one.indicative for one in estimates} == {
        f"{number} repeats are too few to tell a drift, or a disturbed one, from noise"
    }


def test_the_factors_of_the_table_and_beyond_it():
    """What half the interval is of the scatter has to be what 95 % of normal studies need."""
    for number in (4, 5, 9, 12, 13, 20, 31):
        estimates = [of_repeats(one) for one in 1 + noise(number, 1)]
        plain = [one for one in estimates if one.indicative is None]
        assert 0.935 <= covered(plain) <= MOST


def test_the_interval_by_hand():
    # The line of Theil and Sen has the slope 1; around it there are -0.5, 0.5, 0, 0 and 0: s² = 0.5 / 3.
    estimate = of_repeats([7.5, 9.5, 10.0, 11.0, 12.0])
    half = t.ppf(0.975, 3) * 1.045 * math.sqrt(0.5 / 3) / math.sqrt(5)
    assert estimate.value == 10.0
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half, rel=1e-6)
    assert estimate.indicative is None


def test_few_repeats_by_hand():
    estimate = median_latency([[9.0], [10.0], [11.0]])
    half = t.ppf(0.975, 2) * 1.025 / math.sqrt(3)  # s = 1
    assert (estimate.value, estimate.high - 10) == (10.0, pytest.approx(half, rel=1e-6))


def test_one_disturbed_repeat_widens_the_interval_but_does_not_move_the_value():
    for place in range(5):
        calm = [1.0, 1.001, 0.999, 1.0, 1.0]
        disturbed = [*calm[:place], 1.5, *calm[place + 1 :]]
        assert of_repeats(disturbed).value == pytest.approx(of_repeats(calm).value, rel=1e-3)
        assert relative_width(of_repeats(disturbed)) > 10 * relative_width(of_repeats(calm))
        assert of_repeats(disturbed).indicative


def test_one_repeat_says_nothing_about_the_spread():
    estimate = median_latency([[1.0, 1.0]])
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 0.0, math.inf)
    assert relative_width(estimate) == math.inf


def test_repeats_that_are_alike_leave_no_doubt():
    estimate = of_repeats([2.0] * 5)
    assert (estimate.value, estimate.low, estimate.high, estimate.indicative) == (2.0, 2.0, 2.0, None)


def test_ticks_of_a_coarse_clock_are_no_certainty():
    estimate = of_repeats([1e-6, 2e-6, 3e-6, 4e-6])
    assert relative_width(estimate) > 0.5
    assert "lie exactly on a line" in str(estimate.indicative)


def test_a_latency_of_nothing_has_no_width_that_is_narrow_enough():
    assert relative_width(median_latency([[0.0], [0.0]])) == math.inf


def test_a_latency_is_never_negative():
    assert median_latency([[1e-3], [9e-3]]).low == 0.0


def test_the_tail_is_the_99th_percentile_of_each_repeat():
    repeats_s = [[1.0] * 393 + [tail] * 7 for tail in (9.0, 10.0, 11.0)]
    assert tail_latency(repeats_s) == (of_repeats([9.0, 10.0, 11.0]), None)


def test_too_few_samples_have_no_tail():
    for counts, said in (((500, 499), "999, and 499 at least"), ((1000, 99), "1099, and 99 at least")):
        estimate, reason = tail_latency([[1.0] * count for count in counts])
        needed = "a 99th percentile needs 1000 samples, and 100 a repeat: there was time for "
        assert (estimate, reason) == (None, needed + said)
    assert tail_latency([[1.0] * 900, [1.0] * 100])[1] is None


# Ratios.


def test_a_ratio_by_hand():
    found = ratio_of_repeats([2.0, 4.0, 8.0, 16.0], [1.0, 2.0, 4.0, 8.0], paired=True)
    assert (found.value, found.low, found.high) == (pytest.approx(2.0),) * 3
    alike = ratio_of_repeats([3.0] * 4, [2.0] * 5, paired=False)
    assert (alike.value, alike.low, alike.high) == (pytest.approx(1.5),) * 3


@pytest.mark.parametrize("number", [4, 5, 8])
def test_pairs_do_not_suffer_from_what_befalls_a_round(number):
    """Of two networks whose ratio is 1.1: the rounds differ by 20 %, and that is in neither value nor width."""
    random = np.random.default_rng(number)
    rounds = 1 + 0.2 * random.uniform(size=(STUDIES, number))
    ones, others = (rounds * (1 + noise(number, seed)) for seed in (1, 2))
    paired = [ratio_of_repeats(1.1 * one, other, paired=True) for one, other in zip(ones, others, strict=True)]
    assert LEAST <= covered(paired, 1.1) <= MOST
    apart = [ratio_of_repeats(1.1 * one, other, paired=False) for one, other in zip(ones, others, strict=True)]
    assert np.median([relative_width(one) for one in apart]) > 3 * np.median([relative_width(one) for one in paired])


@pytest.mark.parametrize(("number", "others"), [(5, 5), (4, 10)])
def test_a_ratio_of_what_was_measured_apart_covers(number, others):
    found = [
        ratio_of_repeats(1.1 * (1 + one), 1 + 3 * other, paired=False)
        for one, other in zip(noise(number, 3), noise(others, 4), strict=True)
    ]
    assert LEAST <= covered(found, 1.1) <= MOST


def test_the_other_way_round_a_ratio_is_the_inverse():
    ones, others = [1.0, 1.1, 1.05, 1.02], [2.0, 2.2, 2.0, 2.1]
    for paired in (True, False):
        found, back = (ratio_of_repeats(*pair, paired) for pair in ((ones, others), (others, ones)))
        assert (found.value, found.low, found.high) == pytest.approx((1 / back.value, 1 / back.high, 1 / back.low))


def test_a_disturbed_one_makes_a_ratio_indicative():
    disturbed, calm = [1.0, 1.001, 1.5, 0.999, 1.002], [1.0, 1.002, 0.999, 1.001, 1.0]
    for paired in (True, False):
        assert ratio_of_repeats(disturbed, calm, paired).indicative
        assert ratio_of_repeats(calm, disturbed, paired).high > 1.0
    assert ratio_of_repeats(calm, calm[::-1], paired=False).indicative is None


def test_what_has_no_ratio():
    nothing = ratio_of_repeats([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], paired=True)
    assert (nothing.low, nothing.high) == (0.0, math.inf)
    assert nothing.indicative
    alone = ratio_of_repeats([1.0], [2.0], paired=False)
    assert (alone.value, alone.low, alone.high) == (pytest.approx(0.5), 0.0, math.inf)
    with pytest.raises(ValueError, match="2 and 3 figures are no pairs"):
        ratio_of_repeats([1.0, 2.0], [1.0, 2.0, 3.0], paired=True)
