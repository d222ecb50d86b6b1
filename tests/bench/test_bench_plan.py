"""How long windows are, and what is said where that is too short for a slow meter."""

from dataclasses import replace

import pytest
from test_bench import JOB
from test_bench_windows import Machine

from joulefront.bench.plan import Plan
from joulefront.config import MeasureConfig
from joulefront.records import EnergyWindow


def windows(*periods, length_s=60.0):
    return [EnergyWindow(1.0, length_s, 10, 0.0, length_s / held if held else 0.0, None, 0.0, 0.0) for held in periods]


@pytest.mark.parametrize(("grade", "wanted"), [("full", 100), ("screening", 10)])
def test_a_tenth_less_than_the_updates_that_are_wanted_is_said_once_with_their_number(grade, wanted):
    plan = Plan.of(grade, MeasureConfig())
    for few in ([], windows(0), windows(wanted), windows(0.91 * wanted, 2 * wanted)):
        assert plan.few_updates(few) is None
    said = plan.few_updates(windows(wanted, 0.8 * wanted))
    assert f"holds {0.8 * wanted:.0f} updates of the meter, not {wanted}" in said
    assert "[measure] energy_s" in said


@pytest.mark.parametrize(
    ("grade", "period_s", "held"),
    [("full", 0.6, None), ("full", 1.0, 60), ("screening", 1.5, None), ("screening", 3.0, 5)],
)
def test_a_meter_too_slow_for_the_longest_window_is_a_warning(open_bench, tmp_path, grade, period_s, held):
    with open_bench(Machine(period_s=period_s)) as bench:
        found = bench.measure(replace(JOB, library=tmp_path / "x.so"), grade)
    said = [warning for warning in found.warnings if "updates of the meter" in warning]
    assert [f"holds {held} updates" in warning for warning in said] == [True] * (held is not None)
