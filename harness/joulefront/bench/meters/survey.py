"""Which meters this host has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from joulefront.bench.meters import joulescope_driver
from joulefront.bench.meters.cpu_model import CpuModel
from joulefront.bench.meters.joulescope import COVERS, RATE_HZ, Joulescope
from joulefront.bench.meters.replay import Replay
from joulefront.errors import ConfigError, MeterError
from joulefront.records import Provenance


@dataclass(frozen=True, slots=True)
class HostMeter:
    """A meter that there is, or a ``kind`` that cannot be used, with the ``reason`` and what would ``fix`` it.

    ``period_s`` is the time between two of its updates, in s, None where that depends on what it is given, and
    ``resolution_j`` one step of its joules, None where it did not show.
    """

    name: str
    kind: str
    covers: str
    provenance: Provenance
    period_s: float | None = None
    resolution_j: float | None = None
    reason: str | None = None
    fix: str | None = None


def survey() -> tuple[HostMeter, ...]:
    """Every meter that is plugged in, and a row for each kind that has none; never raises."""
    return (
        *_joulescopes(),
        HostMeter(
            "replay",
            "replay",
            "what was recorded",
            Replay.provenance,
            reason="it plays a recording, and is given none",
            fix='in the device\'s file: [meter], kind = "replay", file = "PATH.jls" or "PATH.csv"',
        ),
        HostMeter(
            CpuModel.name,
            "cpu-model",
            "what its two powers cover",
            CpuModel.provenance,
            reason="it is a line between two powers, and is given none",
            fix="measure the device idle and with all cores busy, and write into its file: "
            '[meter], kind = "cpu-model", idle_w = …, busy_w = …',
        ),
    )


def _joulescopes() -> tuple[HostMeter, ...]:
    paths: list[str] = []
    reason, fix = "no Joulescope is there", f"plug it in; {joulescope_driver.RULES}"
    try:
        driver = joulescope_driver.driver()
        try:
            paths = [str(path) for path in driver.device_paths()]
        finally:
            driver.finalize()
    except ConfigError as error:
        reason, fix = str(error), joulescope_driver.INSTALL
    except (MeterError, RuntimeError, TimeoutError) as error:
        reason, fix = str(error), f"python -m pyjoulescope_driver scan says more; {joulescope_driver.RULES}"
    if not paths:
        return (HostMeter("joulescope", "joulescope", COVERS, Joulescope.provenance, reason=reason, fix=fix),)
    return tuple(_seen(path) for path in paths)


def _seen(path: str) -> HostMeter:
    seen = HostMeter(f"joulescope:{path}", "joulescope", COVERS, Joulescope.provenance, 1 / RATE_HZ)
    try:
        joulescope_driver.model_of(path)
    except MeterError as error:
        return replace(seen, period_s=None, reason=str(error), fix="python -m pyjoulescope_driver program")
    return seen
