"""The meters on this host: each measures a device from outside, or estimates what it takes, behind ``protocols.PowerMeter``."""

from __future__ import annotations

from pathlib import Path

from joulefront import plugins
from joulefront.bench.meters.survey import HostMeter, survey
from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.protocols import PowerMeter

__all__ = ["METERS", "HostMeter", "build", "survey"]

METERS = {
    "joulescope": "joulefront.bench.meters.joulescope:Joulescope",
    "replay": "joulefront.bench.meters.replay:Replay",
    "cpu-model": "joulefront.bench.meters.cpu_model:CpuModel",
}


def build(plugin: Plugin, *, folder: Path, where: str) -> PowerMeter:
    """The meter that a table names: ready-made, or ``module:Class`` or ``file.py:Class`` of the user's.

    Raises ConfigError for a table that is wrong, which names it as ``where``, and MeterError for a meter that is not there.
    """
    try:
        meter: PowerMeter = plugins.build(plugin, METERS, folder=folder, where=where)
    except ConfigError as error:
        # What the meter itself says of its arguments does not know where they were written.
        raise (error if str(error).startswith(where) else ConfigError(f"{where} {error}")) from error
    return meter
