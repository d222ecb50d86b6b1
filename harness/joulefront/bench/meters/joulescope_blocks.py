"""What a Joulescope's driver publishes, as numbers: streamed samples, statistics, and the edges of an input.

The shapes are those of pyjoulescope_driver 2.2 (Python 3.11) and 2.5 (3.12 and later), which agree in all that is read
here. What they call an energy's ``int_value`` is not: 2.2 gets it wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulefront.errors import MeterError

EPOCH_S = 1_514_764_800
"""When the driver's times begin: 2018, in s since 1970."""

_TIME64 = 2.0**30


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Which of an instrument's ticks belongs to which time, as the driver knew when it published a block.

    ``offset_time`` is in units of 2 ** -30 s since 2018; ``rate`` in ticks per s.
    """

    offset_time: int
    offset_counter: int
    rate: float

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> TimeMap:
        """From the driver's ``time_map``. Raises MeterError for one that it has not made yet."""
        made = cls(int(table["offset_time"]), int(table["offset_counter"]), float(table["counter_rate"]))
        if not made.offset_time or made.rate <= 0:
            raise MeterError("the driver does not know the instrument's time yet; measure again")
        return made

    def wall_s(self, tick: float) -> float:
        """The wall clock at a tick, in s since 1970."""
        return EPOCH_S + self.offset_time / _TIME64 + (tick - self.offset_counter) / self.rate

    def tick(self, wall_s: float) -> float:
        """The tick at a time of the wall clock, in s since 1970."""
        return self.offset_counter + (wall_s - EPOCH_S - self.offset_time / _TIME64) * self.rate


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of a stream, as ``data``; sample k lasts for ``step`` ticks from tick ``first + k * step``."""

    first: int
    step: int
    data: NDArray[Any]
    time_map: TimeMap

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Block:
        """From what comes under a topic ``!data``."""
        return cls(
            int(value["sample_id"]),
            int(value["decimate_factor"]),
            np.asarray(value["data"]),
            TimeMap.of(value["time_map"]),
        )

    @property
    def end(self) -> int:
        """The tick behind the last sample."""
        return self.first + self.step * len(self.data)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the instrument made of all its samples from tick ``first`` to ``end``, and the energy in J since ``since``."""

    first: int
    end: int
    since: int
    energy_j: float
    current_a: tuple[float, float]
    voltage_v: tuple[float, float]
    mean_a: float
    time_map: TimeMap

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Statistics:
        """From what comes under ``s/stats/value`` or ``s/sstats/value``; current and voltage are the least and the most."""
        time, signals = value["time"], value["signals"]
        first, end = time["samples"]["value"]
        current_a, voltage_v = (
            (float(signals[name]["min"]["value"]), float(signals[name]["max"]["value"]))
            for name in ("current", "voltage")
        )
        return cls(
            int(first),
            int(end),
            int(time["accum_samples"]["value"][0]),
            float(value["accumulators"]["energy"]["value"]),
            current_a,
            voltage_v,
            float(signals["current"]["avg"]["value"]),
            TimeMap.of(time["time_map"]),
        )


@dataclass(frozen=True, slots=True)
class Bits:
    """As a Block, of an input: eight samples a byte, the first its lowest bit, and the last byte filled up."""

    first: int
    step: int
    data: NDArray[np.uint8]
    time_map: TimeMap

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Bits:
        """From what comes under a topic ``!data`` of an input."""
        block = Block.of(value)
        return cls(block.first, block.step, block.data.astype(np.uint8), block.time_map)

    @property
    def end(self) -> int:
        """The tick behind the last sample; up to seven samples too late, since nobody says how full the last byte is."""
        return self.first + self.step * 8 * len(self.data)


def edges(blocks: Sequence[Bits]) -> list[tuple[Bits, int, bool]]:
    """When an input changed: in which block, at which tick, and whether it rose.

    How full a block's last byte is shows where the next block begins. Raises MeterError where more than that is missing.
    """
    found: list[tuple[Bits, int, bool]] = []
    level = None
    for number, block in enumerate(blocks):
        bits = np.unpackbits(block.data, bitorder="little")
        if number + 1 < len(blocks):
            count = (blocks[number + 1].first - block.first) // block.step
            if not 0 <= len(bits) - count < 8:
                raise MeterError(f"the instrument's input lost {count - len(bits)} samples")
            bits = bits[:count]
        if not len(bits):
            continue
        changes = np.flatnonzero(np.diff(bits, prepend=bits[0] if level is None else level))
        found += [(block, block.first + block.step * int(at), bool(bits[at])) for at in changes]
        level = bits[-1]
    return found
