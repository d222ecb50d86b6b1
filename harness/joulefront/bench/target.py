"""What code a device runs, from what its agent says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from joulefront.errors import ConfigError
from joulefront.records import Target
from joulefront_devices.device import Device

_V2 = frozenset({"cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"})
_V3 = _V2 | frozenset({"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


class Core(NamedTuple):
    """An ARM core: LLVM's name, its version of the architecture, and what code for it may use, in the kernel's spelling."""

    cpu: str
    version: tuple[int, int]
    needs: frozenset[str]


_HALF = frozenset({"asimdhp"})
_DOT = _HALF | {"asimddp"}
_SVE = _DOT | {"sve"}
_SVE2 = _SVE | {"sve2"}

CORES = {
    "0x41:0xd04": Core("cortex-a35", (8, 0), frozenset()),
    "0x41:0xd03": Core("cortex-a53", (8, 0), frozenset()),
    "0x41:0xd07": Core("cortex-a57", (8, 0), frozenset()),
    "0x41:0xd08": Core("cortex-a72", (8, 0), frozenset()),
    "0x41:0xd09": Core("cortex-a73", (8, 0), frozenset()),
    "0x41:0xd05": Core("cortex-a55", (8, 2), _DOT),
    "0x41:0xd0a": Core("cortex-a75", (8, 2), _DOT),
    "0x41:0xd0b": Core("cortex-a76", (8, 2), _DOT),
    "0x41:0xd0c": Core("neoverse-n1", (8, 2), _DOT),
    "0x41:0xd0d": Core("cortex-a77", (8, 2), _DOT),
    "0x41:0xd0e": Core("cortex-a76ae", (8, 2), _DOT),
    "0x41:0xd41": Core("cortex-a78", (8, 2), _DOT),
    "0x41:0xd42": Core("cortex-a78ae", (8, 2), _DOT),
    "0x41:0xd4b": Core("cortex-a78c", (8, 2), _DOT),
    "0x41:0xd44": Core("cortex-x1", (8, 2), _DOT),
    "0x41:0xd40": Core("neoverse-v1", (8, 4), _SVE),
    "0x41:0xd49": Core("neoverse-n2", (9, 0), _SVE2),
    "0x41:0xd4f": Core("neoverse-v2", (9, 0), _SVE2),
    "0x41:0xd46": Core("cortex-a510", (9, 0), _SVE2),
    "0x41:0xd47": Core("cortex-a710", (9, 0), _SVE2),
    "0x41:0xd48": Core("cortex-x2", (9, 0), _SVE2),
    "0x4e:0x004": Core("carmel", (8, 2), _HALF),
    "0x61:0x022": Core("apple-a14", (8, 4), _DOT),
    "0x61:0x023": Core("apple-a14", (8, 4), _DOT),
    "0x61:0x032": Core("apple-a15", (8, 6), _DOT),
    "0x61:0x033": Core("apple-a15", (8, 6), _DOT),
}
"""ARM's cores by "implementer:part" as /proc/cpuinfo has them, with LLVM's names for them."""

# What a second level of cache may have for one core, in bytes: what is told beyond that is a mistake of the firmware's.
_L2_B = range(64 << 10, (64 << 20) + 1)
_HINT = "give the device's file a [target] table with triple, cpu, vector_floats and vector_registers"


def target_of(device: Device, facts: Mapping[str, Any], threads: int) -> Target:
    """The device's own target table, or else what its processor is said to have, for ``threads`` threads.

    What the table leaves out of the cache is as the device tells, and as ``Target`` assumes where it does not.

    Raises ConfigError for a processor that is neither aarch64 nor an x86-64 that tells its features, and for more threads
    than the device has cores.
    """
    if threads > facts["cores"]:
        raise ConfigError(
            f"[compile] threads: {threads} are more than the {facts['cores']} cores of the device {device.name!r}"
        )
    target, l2_b = _code_of(device, facts, threads), facts.get("l2_b")
    if device.target is not None and device.target.l2_b is not None:
        l2_b = device.target.l2_b
    return replace(target, l2_b=l2_b) if isinstance(l2_b, int) and l2_b in _L2_B else target


def _code_of(device: Device, facts: Mapping[str, Any], threads: int) -> Target:
    if device.target is not None:
        table = device.target
        return Target(table.triple, table.cpu, table.features, table.vector_floats, table.vector_registers, threads)
    architecture, features = facts["architecture"], frozenset(str(facts["features"]).split())
    if architecture == "x86_64":
        if not features:
            raise ConfigError(
                f"device {device.name!r}: the features of its processor are not told, as without /proc/cpuinfo; {_HINT}"
            )
        return _x86(features, threads)
    if architecture == "aarch64":
        parts = str(facts.get("cpu_parts") or "")
        return Target("aarch64-linux-gnu", arm_cpu(parts, features), ("+neon",), 4, 32, threads)
    raise ConfigError(f"device {device.name!r}: no target is known for the architecture {architecture!r}; {_HINT}")


def _x86(features: frozenset[str], threads: int) -> Target:
    """The widest vectors that there are, by the levels of the psABI (x86-64, -v2, -v3, -v4)."""
    triple = "x86_64-linux-gnu"
    if features >= _V4:
        return Target(triple, "x86-64-v4", (), 16, 32, threads)
    if features >= _V3:
        return Target(triple, "x86-64-v3", (), 8, 16, threads)
    return Target(triple, "x86-64-v2" if features >= _V2 else "x86-64", (), 4, 16, threads)


def arm_cpu(parts: str, features: frozenset[str]) -> str:
    """LLVM's name of the processor whose distinct cores are ``parts`` ("0x41:0xd0b,0x41:0xd05", the fastest first).

    The code has to run on every core that it may be moved to: of several, the one with the oldest version of the
    architecture counts, and of those the slowest, whose instructions the others have too. It is "generic" when a core is
    not known, and when the kernel, or the machine that simulates the core, offers less than it should.
    """
    cores = [CORES.get(part) for part in parts.split(",")]
    known = [core for core in cores if core is not None]
    if len(known) < len(cores):
        return "generic"
    oldest = min(reversed(known), key=lambda core: core.version)
    return oldest.cpu if features >= oldest.needs else "generic"
