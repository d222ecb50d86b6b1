"""The processor: its cores' names and clusters, its caches and its frequencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from joulefront_agent import cores

# The implementer and the part number, as in the register MIDR_EL1, of cores that boards have.
_NAMES = {
    "0x41:0xc07": "Cortex-A7",
    "0x41:0xc08": "Cortex-A8",
    "0x41:0xc09": "Cortex-A9",
    "0x41:0xc0f": "Cortex-A15",
    "0x41:0xd03": "Cortex-A53",
    "0x41:0xd04": "Cortex-A35",
    "0x41:0xd05": "Cortex-A55",
    "0x41:0xd07": "Cortex-A57",
    "0x41:0xd08": "Cortex-A72",
    "0x41:0xd09": "Cortex-A73",
    "0x41:0xd0a": "Cortex-A75",
    "0x41:0xd0b": "Cortex-A76",
    "0x41:0xd0c": "Neoverse N1",
    "0x41:0xd0d": "Cortex-A77",
    "0x41:0xd40": "Neoverse V1",
    "0x41:0xd41": "Cortex-A78",
    "0x41:0xd42": "Cortex-A78AE",
    "0x41:0xd44": "Cortex-X1",
    "0x41:0xd46": "Cortex-A510",
    "0x41:0xd47": "Cortex-A710",
    "0x41:0xd49": "Neoverse N2",
    "0x41:0xd4b": "Cortex-A78C",
    "0x41:0xd4f": "Neoverse V2",
    "0x41:0xd80": "Cortex-A520",
    "0x41:0xd81": "Cortex-A720",
    "0x4e:0x003": "NVIDIA Denver 2",
    "0x4e:0x004": "NVIDIA Carmel",
}


def facts(root: Path) -> dict[str, Any]:
    """What is known of the processor as plain values, None where the file system at ``root`` does not say.

    ``cpu`` is its name. ``features`` are separated by spaces, in the kernel's spelling. ``cpu_parts`` (as
    "implementer:part") and ``clusters`` (how many cores of a part, and their highest frequency) are told on ARM only,
    the fastest first. ``caches`` are those of the fastest core, and ``l2_b`` is its share of the second level in bytes,
    divided by the cores that share it. Frequencies are in Hz.
    """
    blocks = _blocks(root)
    online = [int(block["processor"]) for block in blocks if block.get("processor", "").isdigit()]
    order = cores.ordered(root, set(online))
    highest_hz = {core: _hertz(root, core) for core in order}
    parts = {
        int(block["processor"]): f"{block['CPU implementer']}:{block['CPU part']}"
        for block in blocks
        if {"processor", "CPU implementer", "CPU part"} <= block.keys()
    }
    first = blocks[0] if blocks else {}
    distinct = list(dict.fromkeys(parts[core] for core in order if core in parts))
    named = " + ".join(_NAMES.get(part, part) for part in distinct)
    return {
        "cpu": named or first.get("model name"),
        "features": first.get("flags") or first.get("Features") or "",
        "cpu_parts": ",".join(distinct) or None,
        "clusters": _clusters([(parts[core], highest_hz[core]) for core in order if core in parts]),
        "caches": _caches(root, order[0] if order else 0),
        "l2_b": _level2_b(root, order[0] if order else 0),
        "frequency_max_hz": max((hertz for hertz in highest_hz.values() if hertz), default=None),
        "governors_available": _governors(root),
    }


def _blocks(root: Path) -> list[dict[str, str]]:
    """/proc/cpuinfo: a table for each processor that is online, and on some machines one for all of them."""
    blocks: list[dict[str, str]] = [{}]
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip():
            blocks[-1].setdefault(key.strip(), value.strip())
        elif blocks[-1]:
            blocks.append({})
    return [block for block in blocks if block]


def _clusters(items: list[tuple[str, float | None]]) -> str | None:
    """Such as "4x0x41:0xd0b@2.4GHz": how many cores of each part and frequency."""
    counts = {item: items.count(item) for item in items}
    told = (f"{count}x{part}" + (f"@{hertz / 1e9:.3g}GHz" if hertz else "") for (part, hertz), count in counts.items())
    return ", ".join(told) or None


def _caches(root: Path, core: int) -> str | None:
    """Such as "L1d 64 KiB, L1i 64 KiB, L2 512 KiB, L3 2 MiB"."""
    letters = {"Data": "d", "Instruction": "i", "Unified": ""}
    told = []
    for index in sorted((root / f"sys/devices/system/cpu/cpu{core}/cache").glob("index*")):
        level, size = _text(index / "level"), _text(index / "size")
        if level and size.endswith("K") and size[:-1].isdigit():
            kib = int(size[:-1])
            amount = f"{kib // 1024} MiB" if kib % 1024 == 0 and kib else f"{kib} KiB"
            told.append(f"L{level}{letters.get(_text(index / 'type'), '')} {amount}")
    return ", ".join(told) or None


def _level2_b(root: Path, core: int) -> int | None:
    """What a core may count on if the others that share its second level of cache work too."""
    folder = root / f"sys/devices/system/cpu/cpu{core}"
    for index in sorted((folder / "cache").glob("index*")):
        size, sharing = _text(index / "size"), _count(_text(index / "shared_cpu_list"))
        if _text(index / "level") == "2" and _text(index / "type") in ("Data", "Unified"):
            if not (size.endswith("K") and size[:-1].isdigit() and sharing):
                return None
            threads = _count(_text(folder / "topology/thread_siblings_list")) or 1  # of one core, which are no cores
            return int(size[:-1]) * 1024 // max(1, sharing // threads) or None
    return None


def _count(cores: str) -> int:
    """How many there are in a list such as "0-3,8"; 0 for what is none."""
    count = 0
    for part in cores.split(","):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return 0
        count += int(last or first) - int(first) + 1
    return max(0, count)


def _hertz(root: Path, core: int) -> float | None:
    """A core's highest frequency."""
    text = _text(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq")
    return int(text) * 1e3 if text.isdigit() else None


def _governors(root: Path) -> str | None:
    """The frequency governors that may be chosen, joined by commas."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_available_governors")
    return ",".join(sorted({name for file in files for name in _text(file).split()})) or None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
