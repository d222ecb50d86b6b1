"""Arithmetic of estimates: by hand, by properties, and by what is covered."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulefront.estimates import indicative, inverse, is_below, product, ratio, scaled, within_one_meter
from joulefront.records import Energy, Estimate

VALUES = st.floats(1e-9, 1e9)
SHARES = st.floats(0.0, 3.0)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    """Of all widths, one-sided ones and infinite ones among them."""
    value = draw(VALUES)
    low = max(0.0, value * (1 - draw(SHARES)))
    return Estimate(value, low, draw(st.sampled_from([math.inf, value * (1 + draw(SHARES))])))


def test_a_ratio_is_as_unsure_as_both_together() -> None:
    share = ratio(Estimate(1.0, 0.97, 1.03), Estimate(2.0, 1.92, 2.08))
    assert share.value == 0.5
    assert (share.low, share.high) == pytest.approx((0.5 * 0.95, 0.5 * 1.05), abs=1e-3)  # 3 % and 4 % are 5 %


def test_a_product_of_independent_ones_is_less_unsure_than_of_others() -> None:
    one, other = Estimate(2.0, 1.98, 2.02), Estimate(3.0, 2.97, 3.03)
    apart, together = product(one, other), product(one, other, together=True)
    assert (apart.value, together.value) == (6.0, 6.0)
    assert apart.high == pytest.approx(6.0 * (1 + 0.01 * math.sqrt(2)), rel=1e-4)
    assert (together.low, together.high) == pytest.approx((1.98 * 2.97, 2.02 * 3.03))


def test_the_inverse_by_hand() -> None:
    assert inverse(Estimate(0.5, 0.25, 1.0, "why")) == Estimate(2.0, 1.0, 4.0, "why")
    assert inverse(Estimate(0.5, 0.0, math.inf)) == Estimate(2.0, 0.0, math.inf)
    assert scaled(Estimate(0.5, 0.25, 1.0, "why"), 4.0) == Estimate(2.0, 1.0, 4.0, "why")


def test_what_has_no_end_has_none_afterwards() -> None:
    unknown, known = Estimate(1.0, 0.0, math.inf), Estimate(2.0, 1.9, 2.1)
    for found in (ratio(unknown, known), ratio(known, unknown), product(known, unknown), inverse(unknown)):
        assert (found.low, found.high) == (0.0, math.inf)
    assert ratio(Estimate(1.0, 0.0, 1.1), known).high < 1  # an end of 0 alone is the low one's
    assert ratio(known, Estimate(1.0, 0.0, 1.1)).high == math.inf


@pytest.mark.parametrize(("one", "other", "value"), [(0.0, 2.0, 0.0), (2.0, 0.0, math.inf), (0.0, 0.0, math.inf)])
def test_a_value_of_nothing_has_no_ratio(one: float, other: float, value: float) -> None:
    found = ratio(Estimate(one, one, one), Estimate(other, other, other))
    assert (found.value, found.low, found.high) == (value, 0.0, math.inf)
    assert found.indicative == "what is not above 0 has no ratio"


def test_reasons_travel_along_each_once() -> None:
    one, other = Estimate(1.0, 1.0, 1.0, "too few"), Estimate(1.0, 1.0, 1.0, "disturbed")
    assert ratio(one, other).indicative == product(one, other).indicative == "too few; disturbed"
    assert indicative(one, one) == "too few"
    assert indicative(Estimate(1.0, 1.0, 1.0)) is None


@given(estimates(), estimates())
def test_a_ratio_the_other_way_round_is_the_inverse(one: Estimate, other: Estimate) -> None:
    found, back = ratio(one, other), inverse(ratio(other, one))
    assert found.low <= found.value <= found.high
    assert (found.value, found.low) == pytest.approx((back.value, back.low), rel=1e-6)
    assert found.high == pytest.approx(back.high, rel=1e-6) or found.high > 1e200


@given(estimates(), estimates())
def test_of_two_at_most_one_is_below(one: Estimate, other: Estimate) -> None:
    assert not (is_below(one, other) and is_below(other, one))
    assert not is_below(one, one)
    if is_below(one, other):
        assert one.value < other.value
        assert is_below(Estimate(one.value, one.value, one.value), other)  # what is known better, too


@given(estimates(), estimates())
def test_intervals_apart_are_told_apart(one: Estimate, other: Estimate) -> None:
    if one.high < other.low * (1 - 1e-9):
        assert is_below(one, other)


def test_a_little_overlap_is_a_difference_for_all_that() -> None:
    one, other = Estimate(1.0, 0.97, 1.03), Estimate(1.05, 1.02, 1.08)
    assert one.high > other.low
    assert is_below(one, other)
    assert not is_below(one, Estimate(1.03, 1.0, 1.06))


def test_one_meters_joules_are_compared_without_what_is_common() -> None:
    parts = {"repeats": 0.03, "edges": 0.04, "gain": 0.12, "calibration": 0.5}
    energy = Energy("rapl", "package-0", None, "none", Estimate(5.0, 5.0, 5.0), None, parts, ())
    found = within_one_meter(Estimate(2.0, 1.0, 3.0, "why"), energy)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 1.9, 2.1))
    assert found.indicative == "why"


def test_the_ratio_of_two_estimates_covers() -> None:
    """Two that are normal, with intervals of 1.96 standard errors."""
    random = np.random.default_rng(1)
    ones, others = 1 + 0.01 * random.standard_normal(2000), 1 + 0.03 * random.standard_normal(2000)
    found = [
        ratio(Estimate(one, one - 0.0196, one + 0.0196), Estimate(other, other - 0.0588, other + 0.0588))
        for one, other in zip(ones.tolist(), others.tolist(), strict=True)
    ]
    assert 0.935 <= np.mean([one.low <= 1 <= one.high for one in found]) <= 0.965
