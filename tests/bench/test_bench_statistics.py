"""The interval: simulated studies, of which it has to cover the truth as often as it says."""

import math

import numpy as np
import pytest

from joulefront.bench.statistics import TAIL_SAMPLES, median_latency, relative_width, tail_latency

STUDIES = 600


def repeats(random, number, *, correlation, between, samples=100, within=0.02):
    """Relative latencies around 1: (number, samples), AR(1) within each repeat, and an offset of each repeat's own."""
    noise = random.standard_normal((number, samples))
    for index in range(1, samples):
        noise[:, index] = correlation * noise[:, index - 1] + math.sqrt(1 - correlation**2) * noise[:, index]
    return 1 + between * random.standard_normal((number, 1)) + within * noise


@pytest.mark.parametrize("number", range(3, 9))
@pytest.mark.parametrize(("correlation", "between"), [(0.0, 0.0), (0.0, 0.01), (0.9, 0.0), (0.9, 0.01)])
def test_the_interval_covers_the_median(number, correlation, between):
    random = np.random.default_rng([number, round(10 * correlation), round(1000 * between)])
    covered = 0
    for _ in range(STUDIES):
        estimate = median_latency(repeats(random, number, correlation=correlation, between=between))
        covered += estimate.low <= 1 <= estimate.high
    assert covered / STUDIES >= 0.93


@pytest.mark.parametrize(("correlation", "between"), [(0.0, 0.003), (0.9, 0.003), (0.0, 0.01), (0.9, 0.01)])
def test_it_still_does_when_repeats_stop_as_soon_as_it_is_narrow(correlation, between):
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(STUDIES):
        study = repeats(random, 12, correlation=correlation, between=between)
        estimates = (median_latency(study[:number]) for number in range(3, 13))
        estimate = next((one for one in estimates if relative_width(one) <= 0.02), median_latency(study))
        covered += estimate.low <= 1 <= estimate.high
    assert covered / STUDIES >= 0.93


def test_the_value_is_the_median_of_the_repeats_medians():
    assert median_latency([[1.0, 1.0, 9.0], [2.0] * 5, [3.0, 3.1, 2.9], [2.0]]).value == 2.0


def test_one_disturbed_repeat_widens_the_interval_but_does_not_move_the_value():
    calm = median_latency([[1.0], [1.001], [0.999], [1.0], [1.0]])
    disturbed = median_latency([[1.0], [1.001], [0.999], [1.0], [1.5]])
    assert disturbed.value == pytest.approx(calm.value, rel=1e-3)
    assert relative_width(disturbed) > 10 * relative_width(calm)


def test_the_interval_by_hand():
    # t(0.975, 2) = 4.3027; s = 1; n = 3
    estimate = median_latency([[9.0], [10.0], [11.0]])
    assert (estimate.high - estimate.low) / 2 == pytest.approx(4.3027 * math.sqrt(math.pi / 2) / math.sqrt(3), rel=1e-4)


def test_one_repeat_says_nothing_about_the_spread():
    estimate = median_latency([[1.0, 1.0]])
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 0.0, math.inf)
    assert relative_width(estimate) == math.inf


def test_a_latency_of_nothing_has_no_width_that_is_narrow_enough():
    assert relative_width(median_latency([[0.0], [0.0]])) == math.inf


def test_a_latency_is_never_negative():
    assert median_latency([[1e-3], [9e-3]]).low == 0.0


def test_the_tail_is_the_99th_percentile_of_each_repeat():
    repeats_s = [[1.0] * 98 + [tail] * 3 for tail in (9.0, 10.0, 11.0)]
    estimate, reason = tail_latency(repeats_s)
    assert (estimate.value, reason) == (10.0, None)
    half = 4.3027 * math.sqrt(math.pi / 2) / math.sqrt(3)  # as by hand above
    assert (estimate.low, estimate.high) == pytest.approx((10 - half, 10 + half), rel=1e-4)


def test_too_few_samples_have_no_tail():
    estimate, reason = tail_latency([[1.0] * TAIL_SAMPLES, [1.0] * (TAIL_SAMPLES - 1)])
    assert (estimate, reason) == (None, "a 99th percentile needs 100 samples a repeat, and there was time for 99")
