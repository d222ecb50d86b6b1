"""NVIDIA's GPUs as NVML tells of them: the energy counter of each, or its power where there is no counter.

Never what "auto" stands for: networks run on the processor.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from joulefront_agent.sensors.counted import Counted, Scale
from joulefront_agent.sensors.meter import Looked, Meter, Unusable
from joulefront_agent.sensors.reading import Sensor
from joulefront_agent.sensors.sampled import Sampled

_SIGNS = ("dev/nvidiactl", "proc/driver/nvidia/version")
_STEP = 1e-3  # mJ and mW
# Since Ampere the power is an average over 1 s (NVML's documentation of nvmlDeviceGetPowerUsage); before, what it is now.
_AVERAGED_SINCE = 7
_AVERAGE_S = 1.0
_REST_S = 0.1


def look(root: Path, load: Callable[[str], ModuleType] = importlib.import_module) -> Looked:
    """What there is, where the file system at ``root`` shows NVIDIA's driver. ``load`` imports a module."""
    if not any((root / sign).exists() for sign in _SIGNS):
        return Looked(absent="there is no driver of NVIDIA's")
    try:
        nvml: Any = load("pynvml")
    except ImportError:
        fix = f"{sys.executable} -m pip install nvidia-ml-py (a Debian's own Python: sudo apt install python3-pynvml)"
        return Looked(unusable=[_unusable(None, f"the Python {sys.executable} has no module pynvml", fix)])
    try:
        nvml.nvmlInit()
        found = [_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        return Looked(unusable=[_unusable(None, f"NVML fails: {error}", "nvidia-smi has to work first, as this user")])
    meters = [item for item in found if isinstance(item, Meter)]
    return Looked(meters, [item for item in found if isinstance(item, Unusable)], "NVML sees no GPU")


def _gpu(nvml: Any, index: int) -> Meter | Unusable:
    """One GPU. Raises NVMLError where it does not even tell its name."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(handle)
    covers = (
        f"GPU {index}, {name.decode() if isinstance(name, bytes) else name}: its board alone, without the processor"
    )
    names = ("nvml", f"nvml:{index}")

    def told(what: str) -> float:
        try:
            return getattr(nvml, what)(handle) * _STEP  # type: ignore[no-any-return]
        except nvml.NVMLError as error:
            raise OSError(f"{what}: {error}") from error

    joules, watts = partial(told, "nvmlDeviceGetTotalEnergyConsumption"), partial(told, "nvmlDeviceGetPowerUsage")
    try:
        joules()
    except OSError:
        pass
    else:

        def counted(name: str, cores: Collection[int]) -> Sensor:
            return Counted(name, covers, joules, Scale(_STEP, None), cores)

        return Meter(names, covers, "counter", False, counted, joules, lambda _: _STEP)
    try:
        watts()
        averaged = nvml.nvmlDeviceGetArchitecture(handle) >= _AVERAGED_SINCE
    except (OSError, nvml.NVMLError) as error:
        return _unusable(
            index, f"it tells neither energy nor power: {error} (a Jetson's are those of its ina3221)", None
        )
    period_s = _AVERAGE_S if averaged else _REST_S

    def sampled(name: str, cores: Collection[int]) -> Sensor:
        return Sampled(name, covers, watts, period_s, cores, moves=True, step=lambda _: _STEP)

    return Meter(names, covers, "power", False, sampled, watts, lambda _: _STEP, period_s, _REST_S)


def _unusable(index: int | None, reason: str, fix: str | None) -> Unusable:
    return Unusable("nvml" if index is None else f"nvml:{index}", "GPU", "counter", reason, fix)
