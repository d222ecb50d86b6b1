"""Whether a device can run the agent, from what its Python says about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulefront.bench import pins

_PACKAGES = {"libstdc++.so.6": "libstdc++6", "libgcc_s.so.1": "libgcc-s1"}
_WHEELS = f"CPython 3.{pins.OLDEST} to 3.{pins.NEWEST}"


_OPTIONAL = type(None)
# What install.py's probe says, by name.
_SHAPE: Mapping[str, tuple[type, ...]] = {
    "executable": (str,),
    "implementation": (str,),
    "free_threaded": (bool,),
    "bits": (int,),
    "machine": (str,),
    "libc": (str, _OPTIONAL),
    "modules": (dict,),
    "libraries": (dict,),
    "work": (str,),
    "free_b": (int,),
    "free_inodes": (int, _OPTIONAL),
    "noexec": (bool,),
    "held": (str, _OPTIONAL),
}


def misshapen(facts: Mapping[str, Any]) -> str | None:
    """What of install.py's probe is missing or of another kind than it should be, or None."""
    wrong = next((name for name, kinds in _SHAPE.items() if not isinstance(facts.get(name, ...), kinds)), None)
    if wrong is not None:
        return f"{wrong} is {facts.get(wrong, 'missing')!r:.40}"
    python = facts.get("python")
    if not isinstance(python, list) or len(python) != 2 or not all(type(part) is int for part in python):
        return f"python is {python!r:.40}"
    if not facts["work"].startswith("/"):
        return f"work is {facts['work']!r:.40}"
    unknown = {*facts["modules"]} - {"ctypes", "zlib"} | {*facts["libraries"]} - {*_PACKAGES}
    return f"it tells of {sorted(unknown)[0]!r:.40}" if unknown else None


def reason_against(facts: Mapping[str, Any]) -> str | None:
    """Why the agent cannot run there and what to do about it, or None. ``facts`` are install.py's probe.

    The hardest to change comes first: nobody is to build a Python for a system that is then refused.
    """
    python = ".".join(map(str, facts["python"]))
    machine, libc = facts["machine"], facts["libc"] or "unknown"
    if facts["bits"] == 32:
        kernel = "on a 64-bit kernel" if machine in pins.RUNTIME_SHA256 else f"on {machine}"
        return f"its system is a 32-bit one {kernel}, for which there is no runtime: install the 64-bit system image"
    if machine not in pins.RUNTIME_SHA256:
        return f"its architecture is {machine}, and there is a runtime for {' and '.join(pins.RUNTIME_SHA256)} only"
    oldest = ".".join(map(str, pins.GLIBC))
    if not libc.startswith("glibc "):
        return f"its C library is {libc}, and the runtime needs glibc {oldest} or later: install a system with glibc"
    if _version(libc.removeprefix("glibc ")) < pins.GLIBC:
        return f"its C library is {libc}, and the runtime needs {oldest} or later: install a newer system"
    if facts["implementation"] != "cpython" or facts["free_threaded"]:
        build = "a free-threaded build" if facts["free_threaded"] else facts["implementation"]
        return f"{facts['executable']} is {build}, and the runtime needs {_WHEELS}, not free-threaded; {_OTHER_PYTHON}"
    if not pins.OLDEST <= facts["python"][1] <= pins.NEWEST or facts["python"][0] != 3:
        return f"{facts['executable']} is Python {python}, and the runtime needs {_WHEELS}; {_OTHER_PYTHON}"
    missing = [name for name, is_there in facts["modules"].items() if not is_there]
    if missing:
        return (
            f"{facts['executable']} was built without the module {missing[0]}: install the system's own python3 "
            f"(Debian: apt install python3); {_OTHER_PYTHON}"
        )
    absent = [name for name, is_there in facts["libraries"].items() if not is_there]
    if absent:
        return f"it has no {absent[0]}: install it (Debian: apt install {_PACKAGES[absent[0]]})"
    if facts["noexec"]:
        return (
            f"{facts['work']} is on a file system mounted noexec, from which no library can be loaded: mount it exec, or "
            "set XDG_CACHE_HOME there to a folder on another one"
        )
    return None


_OTHER_PYTHON = "name one that it has by --python, or install one (Debian: apt install python3)"


def reason_no_room(facts: Mapping[str, Any], size_b: int, files: int) -> str | None:
    """Why ``size_b`` bytes in ``files`` files have no room in the device's work folder, or None."""
    if facts["free_b"] < size_b:
        return (
            f"{facts['work']} is on a disk with {facts['free_b'] / 1e6:.1f} MB free, and {size_b / 1e6:.1f} MB are needed: "
            "make room, or set XDG_CACHE_HOME there to a folder on another disk"
        )
    if facts["free_inodes"] is not None and facts["free_inodes"] < files:
        return (
            f"{facts['work']} is on a disk with {facts['free_inodes']} free inodes, and {files} files are needed: remove "
            "files that are not needed"
        )
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
