"""Files with a recorded power."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulefront.bench.meters.joulescope_driver import INSTALL
from joulefront.bench.meters.trace import Trace
from joulefront.errors import ConfigError

_COLUMNS = ("time_s", "power_w")
# A step of so many usual ones has lost samples.
_MOST_STEPS = 5.0
_CHUNK = 1 << 20
_RATE_HZ = 10_000


def recording(file: Path) -> Trace:
    """The power that a file holds, its times in s since its first sample.

    A ``.jls`` file, as the Joulescope UI and ``pyjoulescope_driver record`` write them, with the power or with current and
    voltage; or a ``.csv`` file with the columns time_s and power_w. Raises ConfigError, which names the file and the line.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    match file.suffix.lower():
        case ".jls":
            return _jls(file)
        case ".csv":
            return _csv(file)
    raise ConfigError(f"{file}: expected a .jls file, or a .csv file with the columns {', '.join(_COLUMNS)}")


def _csv(file: Path) -> Trace:
    rows: list[tuple[float, float]] = []
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        reader = csv.DictReader(lines)
        if not set(_COLUMNS) <= set(reader.fieldnames or ()):
            raise ConfigError(f"{file}: its first line is to name the columns {' and '.join(_COLUMNS)}")
        for row in reader:
            try:
                time_s, power_w = (float(row[name]) for name in _COLUMNS)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{file}, line {reader.line_num}: expected two numbers: {error}") from error
            if rows and not time_s > rows[-1][0]:
                raise ConfigError(f"{file}, line {reader.line_num}: time_s does not rise")
            rows.append((time_s, power_w))
    if len(rows) < 2:
        raise ConfigError(f"{file}: expected two samples or more, not {len(rows)}")
    table = np.array(rows)
    times_s = table[:, 0] - table[0, 0]
    return Trace(str(file), times_s, table[:, 1], _MOST_STEPS * float(np.median(np.diff(times_s))))


def _jls(file: Path) -> Trace:
    try:
        from pyjls import Reader
    except ImportError as error:
        raise ConfigError(f"{file}: JLS files need pyjls, which is not installed: {INSTALL} ({error})") from error
    try:
        with Reader(str(file)) as reader:
            return _samples(file, reader)
    except (RuntimeError, OSError, ValueError) as error:
        raise ConfigError(f"{file}: not a JLS file that can be read: {error}") from error


def _samples(file: Path, reader: Any) -> Trace:
    by_name = {signal.name: signal for signal in reader.signals.values()}
    found = [by_name[name] for name in ("power", "current", "voltage") if name in by_name]
    factors = found[:1] if "power" in by_name else found
    if not ("power" in by_name or len(factors) == 2):
        raise ConfigError(
            f"{file}: expected a signal called power, or both current and voltage; it has {sorted(by_name)}"
        )
    if len({(one.sample_rate, one.sample_id_offset) for one in factors}) > 1:
        raise ConfigError(f"{file}: its current and voltage do not begin together, or differ in their rates")
    rate_hz, length = factors[0].sample_rate, min(one.length for one in factors)
    # The means of so many samples: what a window needs is when it begins and ends, and all of the energy in between.
    every = max(1, rate_hz // _RATE_HZ)
    parts: list[NDArray[np.float64]] = []
    for begin in range(0, length - every + 1, every * _CHUNK):
        count = min(every * _CHUNK, (length - begin) // every * every)
        product = np.prod([reader.fsr(one.signal_id, begin, count).astype(np.float64) for one in factors], axis=0)
        parts.append(product.reshape(-1, every).mean(axis=1))
    watts = np.concatenate(parts) if parts else np.empty(0)
    if len(watts) < 2:
        raise ConfigError(f"{file}: expected two samples of power or more, not {len(watts)}")
    period_s = every / rate_hz
    return Trace(str(file), np.arange(len(watts)) * period_s, watts, 1.5 * period_s)
