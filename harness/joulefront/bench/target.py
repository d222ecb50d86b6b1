"""What code a device runs, from what its agent says about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulefront.errors import ConfigError
from joulefront.records import Target
from joulefront_devices.device import Device

_V2 = frozenset({"cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"})
_V3 = _V2 | frozenset({"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

_HINT = "give the device's file a [target] table with triple, cpu, vector_floats and vector_registers"


def target_of(device: Device, facts: Mapping[str, Any], threads: int) -> Target:
    """The device's own target table, or else the widest vectors that its processor has, for ``threads`` threads.

    The x86-64 levels are those of the psABI (x86-64, -v2, -v3, -v4), in the kernel's spelling. Raises ConfigError for a
    processor that is neither aarch64 nor an x86-64 that tells its features, and for more threads than the device has
    cores.
    """
    if threads > facts["cores"]:
        raise ConfigError(
            f"[compile] threads: {threads} are more than the {facts['cores']} cores of the device {device.name!r}"
        )
    if device.target is not None:
        table = device.target
        return Target(table.triple, table.cpu, table.features, table.vector_floats, table.vector_registers, threads)
    architecture, features = facts["architecture"], set(facts["features"].split())
    if architecture == "x86_64":
        if not features:
            raise ConfigError(
                f"device {device.name!r}: the features of its processor are not told, as without /proc/cpuinfo; {_HINT}"
            )
        triple = "x86_64-linux-gnu"
        if features >= _V4:
            return Target(triple, "x86-64-v4", (), 16, 32, threads)
        if features >= _V3:
            return Target(triple, "x86-64-v3", (), 8, 16, threads)
        return Target(triple, "x86-64-v2" if features >= _V2 else "x86-64", (), 4, 16, threads)
    if architecture == "aarch64":
        return Target("aarch64-linux-gnu", "generic", ("+neon",), 4, 32, threads)
    raise ConfigError(f"device {device.name!r}: no target is known for the architecture {architecture!r}; {_HINT}")
