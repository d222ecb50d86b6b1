"""What the makers of power monitors say of them: by how much they may be off, and how fine they are.

From Texas Instruments' data sheets: INA3221 (SBOS576), INA226 (SBOS547), INA219 (SBOS448, grade A), all of them at 25 C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_FILE_STEP = 1e-3  # hwmon tells V and A by mV and mA


@dataclass(frozen=True)
class Chip:
    """``gain`` is that of volts and amperes together, as a share. The resistor that the current is measured by comes on
    top, and is the board's. The steps are in V, of the voltage and across that resistor; where the chip multiplies by itself,
    one step of the power is ``product`` steps of the current, in W and A.
    """

    gain: float
    volts: float
    shunt: float
    product: float | None


CHIPS = {
    "ina3221": Chip(0.005, 8e-3, 40e-6, None),
    "ina226": Chip(0.002, 1.25e-3, 2.5e-6, 25),
    "ina219": Chip(0.010, 4e-3, 10e-6, 20),
}


def power_step(name: str, shunt_ohm: float | None) -> float | None:
    """One step in W of the power that a chip of this name tells itself; None where its data sheet is not known here."""
    chip = CHIPS.get(name)
    if chip is None or chip.product is None or not shunt_ohm:
        return None
    return chip.product * chip.shunt / shunt_ohm


def product_step(name: str, places: Sequence[tuple[float, float | None]]) -> Callable[[float], float]:
    """One step in W at so many W of volts times amperes: of a place by its V and its resistor in Ohm, or a sum of several.

    Steps of different places are rounded independently, so that they add up in quadrature.
    """
    chip = CHIPS.get(name)
    by_amperes_w = math.hypot(
        *(volts * max(_FILE_STEP, chip.shunt / ohm if chip and ohm else 0.0) for volts, ohm in places)
    )
    volts_step, least_v = max(_FILE_STEP, chip.volts if chip else 0.0), min(volts for volts, _ in places)

    def step_w(power_w: float) -> float:
        return max(by_amperes_w, abs(power_w) / least_v * volts_step)

    return step_w
