"""The reference measured again: which figures are not what they were."""

from dataclasses import replace

import pytest

from joulefront.canary import Canary
from joulefront.records import Energy, Estimate, Measurement
from written import SPACE, measured_trial


def measurement(energy_j: float, meter: str = "rapl") -> Measurement:
    """Joules to ± 1 %, by a meter whose scale is off by 20 % at most."""
    found = measured_trial(0, SPACE.full, "screen", energy=True).measurement
    assert found
    power_w = Estimate(5.0, 4.0, 6.0)
    energy = Energy(meter, "package-0", None, "none", power_w, None, {"repeats": 0.01, "gain": 0.2}, ())
    return replace(found, energy_j=Estimate(energy_j, 0.8 * energy_j, 1.2 * energy_j), energy=energy)


@pytest.mark.parametrize(("meter", "apart"), [("rapl", ("energy_j",)), ("hwmon", ())])
def test_the_scale_of_the_one_meter_is_no_part_of_a_drift(meter: str, apart: tuple[str, ...]) -> None:
    canary = Canary.of(4, "screen", 0, measurement(1.0), measurement(1.05, meter))
    assert canary.energy
    assert canary.energy.value == pytest.approx(1.05)
    assert canary.apart == apart


def test_without_joules_there_is_no_ratio_of_them() -> None:
    without = replace(measurement(1.0), energy_j=None, energy=None)
    assert Canary.of(4, "screen", 0, without, measurement(1.0)).energy is None
    older = replace(measurement(1.0), energy=None)  # whose version did not tell what they are made of
    assert Canary.of(4, "screen", 0, older, measurement(1.05)).apart == ()
