"""The arithmetic of samples of power."""

import pytest

from joulefront_agent.sensors import samples


def test_the_integral_goes_straight_between_samples_and_through_the_edges():
    ramp = [(0.0, 0.0), (1.0, 2.0), (3.0, 6.0)]  # 2 W/s: the joules are the difference of the squares
    assert samples.integral(ramp, 0.0, 3.0) == pytest.approx(9.0)
    assert samples.integral(ramp, 0.5, 2.5) == pytest.approx(6.25 - 0.25)
    assert samples.integral(ramp, 1.2, 1.4) == pytest.approx(1.96 - 1.44)
    assert samples.integral(ramp, 1.0, 3.0) == pytest.approx(8.0)
    assert samples.integral([(1.0, 4.0), (2.0, 4.0)], 0.0, 3.0) == pytest.approx(12.0)


def test_the_step_is_the_smallest_difference_that_was_seen():
    assert samples.step([(0, 5.0), (1, 5.5), (2, 5.5), (3, 5.25)]) == 0.25
    assert samples.step([(0, 5.0), (1, 5.0)]) == 1e-6


def test_the_update_period_needs_changes_and_bears_with_a_few_that_mislead():
    every_200_ms = [(0.05 * index, float(index // 4)) for index in range(60)]
    assert samples.update_period(every_200_ms) == pytest.approx(0.2)
    assert samples.update_period(every_200_ms[:20]) is None
    torn = [(0.05 * index, index // 4 + (0.5 if index % 16 == 3 else 0.0)) for index in range(60)]
    assert samples.update_period(torn) == pytest.approx(0.2, abs=0.051)
    assert samples.update_period([(0.0, 1.0), (1.0, 1.0)]) is None


def test_the_longest_gap_is_that_within_the_window():
    taken = [(0.0, 1.0), (4.0, 1.0), (4.5, 1.0), (6.0, 1.0), (9.0, 1.0)]
    assert samples.longest_gap(taken, 3.5, 7.0) == 1.5
    assert samples.longest_gap(taken, 3.5, 8.0) == 2.0  # to its end
    assert samples.longest_gap(taken, 1.0, 7.0) == 3.0  # and from its start
    assert samples.longest_gap([], 1.0, 2.0) == 1.0


@pytest.mark.parametrize(
    ("period_s", "window_s", "limit_s"), [(0.02, 1.0, 0.1), (0.02, 10.0, 0.5), (0.1, 4.0, 0.5), (1.0, 4.0, 1.0)]
)
def test_how_long_a_window_may_be_unseen(period_s, window_s, limit_s):
    assert samples.unseen_limit(period_s, window_s) == pytest.approx(limit_s)
