"""Tables that a device's file and a profile have in common."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from joulefront.config import Fraction, Table

METERS = ("auto", "none", "rapl", "hwmon", "iio", "pmic", "nvml", "supply")
METER_NAMES = (
    "auto, none, rapl, hwmon, hwmon:CHIP, hwmon:CHIP/CHANNEL, iio, iio:RAIL, pmic, nvml, nvml:INDEX or supply:NAME"
)
"""How a device's own sensors may be named, in words."""

_METER = r"auto|none|rapl|hwmon(:[^/]+(/.+)?)?|iio(:.+)?|pmic|nvml(:[0-9]+)?|supply:[^/]+"


def _known_meter(value: str) -> str:
    """Raises ValueError for what names no meter."""
    if re.fullmatch(_METER, value):
        return value
    near = difflib.get_close_matches(value.partition(":")[0], METERS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near and near[0] != value else ""
    raise ValueError(f"expected {METER_NAMES}{hint}")


Meter = Annotated[str, AfterValidator(_known_meter), Field(json_schema_extra={"pattern": f"^({_METER})$"})]
"""Which of a device's own sensors measures its energy: a kind of them, or one by its name."""


class TargetTable(Table):
    """What code is generated for, where it is not to be read from the device. The names are records.Target's."""

    triple: str = Field(min_length=1, description="LLVM's -mtriple, such as aarch64-linux-gnu.")
    cpu: str = Field(min_length=1, description="LLVM's -mcpu, such as cortex-a72.")
    features: tuple[str, ...] = Field(default=(), strict=False, description='LLVM\'s -mattr, such as ["+neon"].')
    vector_floats: Literal[1, 2, 4, 8, 16, 32, 64] = Field(description="How many float32 one vector register holds.")
    vector_registers: int = Field(ge=1, description="How many such registers there are.")
    l2_b: int | None = Field(
        default=None,
        ge=64 << 10,
        le=64 << 20,
        description="One core's share of the second level of cache, in bytes; as the device tells when not given.",
    )


class SettleTable(Table):
    """When the device is at rest, so that a measurement may begin."""

    busy: Fraction = Field(
        default=0.1, description="The share of its cores' time that other work may take, and of five cores' at most."
    )
    time_s: float = Field(default=3.0, ge=0, description="Wait at most so long for it, in s; then measure and warn.")
