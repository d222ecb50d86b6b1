"""Which meters this host has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from joulefront.bench.meters import joulescope_driver
from joulefront.bench.meters.cpu_model import CpuModel
from joulefront.bench.meters.joulescope import COVERS, Joulescope
from joulefront.bench.meters.look import Seen
from joulefront.bench.meters.replay import Replay
from joulefront.errors import ConfigError, MeterError
from joulefront.records import Provenance

# Opening one sets its ranges: what it supplies might notice.
_NOT_OPENED = "it is opened only where a device's file names it"


@dataclass(frozen=True, slots=True)
class HostMeter:
    """A meter that there is, or a ``kind`` that cannot be used, with the ``reason`` and what would ``fix`` it.

    ``seen`` is what a look at it showed.
    """

    name: str
    kind: str
    covers: str
    provenance: Provenance
    reason: str | None = None
    fix: str | None = None
    seen: Seen = field(default_factory=Seen)


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
    return tuple(_plugged_in(path) for path in paths)


def _plugged_in(path: str) -> HostMeter:
    found = HostMeter(f"joulescope:{path}", "joulescope", COVERS, Joulescope.provenance)
    try:
        joulescope_driver.model_of(path)
    except MeterError as error:
        return replace(found, reason=str(error), fix="python -m pyjoulescope_driver program")
    return replace(found, seen=Seen(unseen=dict.fromkeys(("period_s", "resolution", "read_s"), _NOT_OPENED)))
