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

from joulefront.errors import CompileError, ConfigError

_NATIVE = ("c++", "g++", "clang++")
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
    architecture, *system, abi = triple.split("-")
    if "linux" in system and abi.startswith("gnu") and importlib.util.find_spec("ziglang") is not None:
        # As a C compiler: the objects need no C++, whose library zig would first build, for a minute.
        return (sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-{abi}.{_GLIBC}")
    raise ConfigError(_missing(triple))


def version(linker: Sequence[str]) -> str:
    """What the linker says that it is; the library's bytes depend on it."""
    is_zig = "ziglang" in linker
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


def link(executable: Any, linker: Sequence[str], library: Path) -> None:
    """Write a compiled Relax executable as a shared library; a library that is there is replaced all at once.

    Raises CompileError when the linker fails.
    """

    def shared(output: str, objects: list[str], **_options: Any) -> None:
        complaint = _shared(linker, output, objects)
        if complaint is not None:
            raise CompileError(f"{' '.join(linker)} cannot link: {complaint}")

    library = library.absolute()
    with tempfile.TemporaryDirectory(prefix=".link-", dir=library.parent) as folder:
        output = Path(folder) / "model.so"
        executable.export_library(str(output), fcompile=shared, workspace_dir=folder)
        output.replace(library)


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
