"""Two meters of known truth on the same windows: the factor between them, what is no factor, and how sure that is."""

import math

import numpy as np
import pytest

from joulefront.cross_check import Load, judge
from joulefront.records import EnergyWindow

IDLE_W, BUSY_W = 2.0, 6.5


def window(
    watts: float, *, window_s: float = 10.0, step_w: float = 0.0, edges_s: float = 0.0, gain: float | None = 0.0
) -> EnergyWindow:
    return EnergyWindow(watts * window_s, window_s, 0, step_w * window_s, 0.01, gain, edges_s, 0.0)


def load(
    watts: float,
    *,
    factor: float = 1.1,
    offset_w: float = 0.0,
    noise: float = 1e-3,
    rounds: int = 5,
    seed: int = 0,
    step_w: float = 0.0,
    edges_s: float = 0.0,
) -> Load:
    """What both meters read: the other one sees ``factor`` times as much and ``offset_w`` more, each with its noise."""
    random = np.random.default_rng(seed)
    own, other = (1 + noise * random.standard_normal((2, rounds))).tolist()
    return Load(
        [window(watts * one, step_w=step_w) for one in own],
        [window((watts * factor + offset_w) * one, edges_s=edges_s) for one in other],
    )


def test_a_factor_is_found_and_is_within_its_interval() -> None:
    found = judge(load(IDLE_W), load(BUSY_W, seed=1))
    assert found.reason is None
    assert found.doubts == ()
    assert found.factor.low < 1.1 < found.factor.high
    assert found.factor.value == pytest.approx(1.1, rel=2e-3)
    assert (found.factor.high - found.factor.low) / 2 < 0.004


def test_the_interval_holds_the_factor_as_often_as_it_says() -> None:
    studies = 300
    held = sum(
        found.low <= 1.1 <= found.high
        for seed in range(studies)
        for found in [judge(load(IDLE_W, seed=2 * seed), load(BUSY_W, seed=2 * seed + 1)).factor]
    )
    assert 0.92 < held / studies <= 1.0


@pytest.mark.parametrize(("offset_w", "sign"), [(0.8, "+ 0.8 W"), (-0.5, "- 0.5 W")])
def test_an_offset_is_no_factor_and_is_told(offset_w: float, sign: str) -> None:
    found = judge(load(IDLE_W, offset_w=offset_w), load(BUSY_W, offset_w=offset_w, seed=1))
    assert found.reason is not None
    assert "by more than a factor" in found.reason
    assert "about 1.1 times its watts" in found.reason
    words = sign.split()
    assert f"{words[0]} {float(words[1]):.2g}"[:3] in found.reason


def test_loads_that_differ_by_less_than_one_percent_have_a_factor_that_holds_both() -> None:
    found = judge(load(IDLE_W, factor=1.106, noise=1e-4), load(BUSY_W, factor=1.1, noise=1e-4, seed=1))
    assert found.reason is None
    assert found.factor.low < 1.1
    assert found.factor.high > 1.106


def test_an_offset_that_noise_hides_is_not_held_against_the_meters() -> None:
    assert judge(load(IDLE_W, offset_w=0.1, noise=0.2), load(BUSY_W, offset_w=0.1, noise=0.2, seed=1)).reason is None


def test_what_no_repetition_shows_widens_the_interval() -> None:
    sharp = load(IDLE_W, noise=1e-5).ratio
    coarse = load(IDLE_W, noise=1e-5, step_w=0.04).ratio
    late = load(IDLE_W, noise=1e-5, edges_s=0.05).ratio
    assert math.log(sharp.high / sharp.value) < 1e-4
    assert math.log(coarse.high / coarse.value) == pytest.approx(0.02 / IDLE_W, rel=0.01)
    assert math.log(late.high / late.value) == pytest.approx(2 * 0.05 / 10, rel=0.01)


def test_what_the_other_meter_s_scale_may_be_off_by_is_in_the_factor_alone() -> None:
    idle, busy = (Load([window(watts)] * 5, [window(1.1 * watts, gain=0.01)] * 5) for watts in (IDLE_W, BUSY_W))
    found = judge(idle, busy).factor
    assert math.log(found.high / found.value) == pytest.approx(0.01 * 1.96 / math.sqrt(3), rel=0.01)
    assert idle.ratio.high == pytest.approx(1.1)


def test_a_scale_that_nobody_vouches_for_is_said() -> None:
    idle, busy = (Load([window(watts)] * 5, [window(watts, gain=None)] * 5) for watts in (IDLE_W, BUSY_W))
    assert any("how far the other meter's scale may be off" in doubt for doubt in judge(idle, busy).doubts)


def test_loads_that_are_alike_cannot_tell_an_offset_from_a_factor() -> None:
    found = judge(load(3.2), load(3.3, seed=1))
    assert found.reason is None
    assert "too close to one another" in found.doubts[0]


def test_a_meter_that_never_moves_hides_its_steps() -> None:
    still = Load([window(3.25)] * 5, [window(3.24)] * 5)
    said = judge(still, still).doubts
    assert any("the device's meter tells the same power" in doubt for doubt in said)
    assert any("the other meter tells the same power" in doubt for doubt in said)
