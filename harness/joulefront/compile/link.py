"""From objects to the shared library that the device loads."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from joulefront.compile.versions import needed
from joulefront.errors import CompileError, ConfigError

_NATIVE = ("c++", "g++", "clang++")
_PREFIX = "GLIBC_"
_GLIBC = "2.28"  # what the runtime on a device needs anyway
# No build id, no symbol table: the temporary names of the objects are not to be in the bytes.
_OPTIONS = ("-shared", "-fPIC", "-s", "-Wl,--build-id=none")


def linker(triple: str) -> tuple[str, ...]:
    """The command that links for a triple on this machine: its compiler, or the zig of the ``cross`` extra.

    Raises ConfigError when there is neither.
    """
    names = _NATIVE if _is_native(triple) else (f"{triple}-g++", f"{triple}-gcc")
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is not None:
        return (path,)
    zig = _zig(triple)
    if zig is None:
        raise ConfigError(_missing(triple))
    return zig


def spare(triple: str, linker: Sequence[str]) -> tuple[str, ...] | None:
    """What links for a triple where the library of a cross compiler ``linker`` would need a newer glibc than a device may
    have: zig, whose library is as old as one asks for. None where there is no zig, or no need of it."""
    return None if _is_native(triple) or _is_zig(linker) else _zig(triple)


def _zig(triple: str) -> tuple[str, ...] | None:
    architecture, *system, abi = triple.split("-")
    if "linux" not in system or not abi.startswith("gnu") or importlib.util.find_spec("ziglang") is None:
        return None
    # As a C compiler: the objects need no C++, whose library zig would first build, for a minute.
    return (sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-{abi}.{_GLIBC}")


def _is_zig(linker: Sequence[str]) -> bool:
    return "ziglang" in linker


def version(linker: Sequence[str]) -> str:
    """What the linker says that it is; the library's bytes depend on it."""
    is_zig = _is_zig(linker)
    said = _run([*linker[:3], "version"] if is_zig else [*linker, "--version"]).stdout.splitlines()
    if not said:
        return " ".join(linker)
    return f"zig {said[0]}" if is_zig else said[0]


def warm(triple: str) -> float:
    """Link next to nothing, since zig's first link for a triple builds what the others find in its cache.

    Returns how long it took, in s. Raises ConfigError when nothing links for the triple.
    """
    command = linker(triple)
    start_s = monotonic()
    with tempfile.TemporaryDirectory(prefix="joulefront-link-") as folder:
        source = Path(folder) / "empty.c"
        source.write_text("int joulefront_empty;\n", encoding="ascii")
        complaint = _shared(command, str(source.with_suffix(".so")), [str(source)])
    if complaint is not None:
        raise ConfigError(f"{version(command)} cannot link for {triple}: {complaint}")
    return monotonic() - start_s


def link(
    executable: Any, linker: Sequence[str], library: Path, triple: str, other: Sequence[str] | None = None
) -> None:
    """Write a compiled Relax executable as a shared library; a library that is there is replaced all at once.

    A library for another machine is to be loaded wherever the runtime is: one that needs a newer glibc, as a cross
    compiler's own may be, is linked by the ``other`` linker. Raises CompileError when a linker fails, or there is none
    other.
    """

    def shared(output: str, objects: list[str], **_options: Any) -> None:
        _link(linker, output, objects)
        needs = None if _is_native(triple) else _too_new(Path(output))
        if needs is None:
            return
        if other is None:
            raise CompileError(
                f"{' '.join(linker)} links with a glibc that is newer than devices may have: the library needs {needs}, "
                f"and theirs may be {_GLIBC}. zig links for older ones: pip install 'joulefront[cross]'"
            )
        _link(other, output, objects)

    library = library.absolute()
    with tempfile.TemporaryDirectory(prefix=".link-", dir=library.parent) as folder:
        output = Path(folder) / "model.so"
        executable.export_library(str(output), fcompile=shared, workspace_dir=folder)
        output.replace(library)


def _link(linker: Sequence[str], output: str, objects: Sequence[str]) -> None:
    complaint = _shared(linker, output, objects)
    if complaint is not None:
        raise CompileError(f"{' '.join(linker)} cannot link: {complaint}")


def _too_new(library: Path) -> str | None:
    """The newest glibc that a library needs, as "GLIBC_2.29 of libm.so.6", or None for one as old as the runtime's."""
    versions = [
        (_parts(name.removeprefix(_PREFIX)), f"{name} of {file}")
        for file, names in needed(library).items()
        for name in names
        if name.startswith(_PREFIX)
    ]
    newest, words = max(versions, default=((), None))
    return words if newest > _parts(_GLIBC) else None


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _shared(linker: Sequence[str], output: str, inputs: Sequence[str]) -> str | None:
    """Link a shared library. Returns what the linker complains of, or None."""
    done = _run([*linker, *_OPTIONS, "-o", output, *inputs, "-lm"])
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"exit {done.returncode}"


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})


def _is_native(triple: str) -> bool:
    architecture, *rest = triple.split("-")
    return architecture == platform.machine() and "linux" in rest and platform.system() == "Linux"


def _missing(triple: str) -> str:
    if _is_native(triple):
        return (
            f"no C++ compiler to link with ({', '.join(_NATIVE)}) is on the PATH: install one (Debian: apt install g++)"
        )
    package = f"g++-{triple.replace('_', '-')}"
    return (
        f"nothing here links for {triple}: install a cross compiler, {triple}-g++ (Debian: apt install {package}), "
        "or zig (pip install 'joulefront[cross]')"
    )
