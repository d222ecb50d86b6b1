"""From objects to the shared library that the device loads."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from joulefront.errors import CompileError, ConfigError

_NATIVE = ("c++", "g++", "clang++")


def linker(triple: str) -> str:
    """The path of the compiler that links for a triple on this machine. Raises ConfigError when there is none."""
    names = _NATIVE if _is_native(triple) else (f"{triple}-g++", f"{triple}-c++")
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is None:
        raise ConfigError(_missing(triple))
    return path


def version(linker: str) -> str:
    """What the linker says that it is; the library's bytes depend on it."""
    said = _run([linker, "--version"]).stdout
    return said.splitlines()[0] if said else linker


def link(executable: Any, linker: str, library: Path) -> None:
    """Write a compiled Relax executable as a shared library; a library that is there is replaced all at once.

    Raises CompileError when the linker fails.
    """

    def shared(output: str, objects: list[str], **_options: Any) -> None:
        # No build id, no symbol table: the temporary names of the objects are not to be in the bytes.
        command = [linker, "-shared", "-fPIC", "-s", "-Wl,--build-id=none", "-o", output, *objects]
        done = _run(command)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise CompileError(f"{linker} cannot link: {said[-1] if said else f'exit {done.returncode}'}")

    library = library.absolute()
    with tempfile.TemporaryDirectory(prefix=".link-", dir=library.parent) as folder:
        output = Path(folder) / "model.so"
        executable.export_library(str(output), fcompile=shared, workspace_dir=folder)
        output.replace(library)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
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
    return f"no cross compiler {triple}-g++ is on the PATH: install it (Debian: apt install {package})"
