"""The real bench on a simulated device: its clocks and its sleep are the device's world's."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from physics import World
from physics_device import PhysicalDevice
from physics_sensors import HostMeter

from joulefront import plugins
from joulefront.bench import Bench
from joulefront.bench.session import Session
from joulefront.config import MeasureConfig, Plugin
from joulefront_devices import Device


@contextmanager
def opened(
    device: PhysicalDevice, measure: MeasureConfig | None = None, *, meter: HostMeter | None = None, **table: Any
) -> Iterator[Bench]:
    """A bench on the device, with a ``meter`` on the host where one is given. ``table`` is more of the device's file."""
    build = plugins.build
    if meter is not None:
        table["meter"] = Plugin(kind="simulated:HostMeter")

    def built(plugin: Plugin, *args: Any, **given: Any) -> Any:
        if plugin.kind == "simulated:PhysicalDevice":
            return device
        return meter if plugin.kind == "simulated:HostMeter" else build(plugin, *args, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "build", built)
        in_virtual_time(patch, device.world)
        transport = Plugin(kind="simulated:PhysicalDevice")
        with Bench(Device(name="physical", transport=transport, **table), measure or MeasureConfig(), 1) as bench:
            yield bench


@contextmanager
def session(device: PhysicalDevice) -> Iterator[Session]:
    """A session with the device's agent, without a bench."""
    with pytest.MonkeyPatch.context() as patch:
        in_virtual_time(patch, device.world)
        with Session(device, "auto") as opened:
            yield opened


def in_virtual_time(patch: pytest.MonkeyPatch, world: World) -> None:
    """Whatever the bench's modules know as a clock or a sleep is the world's from now on."""
    clocks = (
        (time.monotonic, world.now),
        (time.sleep, world.spend),
        (time.clock_gettime, lambda clock: world.now_s),
    )

    def instead(value: Any) -> Any:
        return next((ours for theirs, ours in clocks if value is theirs), value)

    for name, module in list(sys.modules.items()):
        for key, value in list(vars(module).items()) if name.startswith("joulefront.bench") else ():
            if instead(value) is not value:
                patch.setattr(module, key, instead(value))
            defaults = getattr(value, "__defaults__", None)  # a clock that a function was given is bound for good
            if defaults and any(instead(one) is not one for one in defaults):
                patch.setattr(value, "__defaults__", tuple(map(instead, defaults)))
