"""The Joulescopes that are plugged into this host, through the maker's driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from joulefront.errors import ConfigError, MeterError

INSTALL = "pip install 'joulefront[joulescope]'"
RULES = (
    "on Linux, its udev rule gives you the right to use it: put 99-joulescope.rules (github.com/jetperch/joulescope_driver) into "
    "/etc/udev/rules.d, join the group plugdev, and plug it in again"
)


class Driver(Protocol):
    """As much of ``pyjoulescope_driver.Driver`` as is used here; ``subscribe`` calls back on the driver's own thread."""

    def device_paths(self) -> Sequence[str]: ...
    def open(self, device_prefix: str) -> object: ...
    def close(self, device_prefix: str) -> object: ...
    def publish(self, topic: str, value: object) -> object: ...
    def subscribe(self, topic: str, flags: str, fn: Callable[[str, Any], None]) -> object: ...
    def unsubscribe(self, topic: str, fn: Callable[[str, Any], None]) -> object: ...
    def finalize(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Model:
    """What a kind of Joulescope measures, least and most, in V and A, None where that is not known here.

    ``steady_a`` is what its maker recommends at most for good, in A, None where that is no less than it measures.
    ``statistics`` is where it tells what the instrument itself has summed up, and ``setup`` what it is set to.
    """

    volts: tuple[float, float]
    amperes: tuple[float, float] | None
    statistics: str
    setup: tuple[tuple[str, object], ...]
    inputs: int
    steady_a: float | None = None


# The JS110's by its maker on forum.joulescope.com/t/175; the others' are what the maker's software calls their widest ranges.
# What the JS320's is for current, it does not tell. Where nothing is asked for, the current's range is off, and the current zero.
_SETUP = (("s/i/range/mode", "auto"), ("s/v/range/mode", "auto"), ("s/stats/scnt", 100_000), ("s/stats/ctrl", 1))
MODELS = {
    # Its s/stats would be summed up on this host, and leave out what USB lost without saying so.
    "js110": Model(
        (-1.16, 16.8),
        (-1.8, 10.4),
        "s/sstats/value",
        (("s/i/range/select", "auto"), ("s/v/range/select", "15 V"), ("s/sstats/ctrl", 1)),
        2,
        3.0,
    ),
    "js220": Model((-15.0, 15.0), (-10.0, 10.0), "s/stats/value", _SETUP, 4),
    "js320": Model((-15.0, 15.0), None, "s/stats/value", _SETUP, 4),
}


def driver() -> Driver:
    """The maker's driver, started. Raises ConfigError where it is not installed, and MeterError where it does not start."""
    try:
        from pyjoulescope_driver import Driver as Made
    except ImportError as error:
        raise ConfigError(
            f"the driver of Joulescopes is not installed beside this Python: {INSTALL} ({error})"
        ) from error
    try:
        made: Driver = Made()
    except (RuntimeError, TimeoutError, OSError) as error:
        raise MeterError(f"the driver of Joulescopes does not start: {error}") from error
    return made


def chosen(paths: Sequence[str], wanted: str | None) -> str:
    """The path of the one that is meant, of those that are plugged in. Raises MeterError."""
    seen = ", ".join(paths) or "none"
    if wanted is not None:
        if wanted not in paths:
            raise MeterError(f"Joulescope {wanted!r} is not there (seen: {seen}). Plug it in; {RULES}")
        return wanted
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise MeterError(
            f"several Joulescopes are there: {seen}. Name one in the device's file: [meter] device = {paths[0]!r}"
        )
    raise MeterError(f"no Joulescope is there. Plug it in; {RULES}")


def model_of(path: str) -> tuple[str, Model]:
    """The name and the kind of what is at a path such as u/js220/000123. Raises MeterError for another one."""
    name = path.split("/")[1] if path.count("/") == 2 else path
    if name not in MODELS:
        raise MeterError(
            f"{path} is no instrument that measures ({', '.join(MODELS)}), or one whose firmware waits to be updated: see "
            "python -m pyjoulescope_driver info"
        )
    return name, MODELS[name]
