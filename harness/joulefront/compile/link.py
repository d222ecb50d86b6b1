"""From objects to the shared library that the device loads."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from joulefront.errors import CompileError

_NATIVE = ("c++", "g++", "clang++")


def linker(triple: str) -> str | None:
    """The path of the compiler that links for a triple on this machine; None when there is none."""
    names = _NATIVE if _is_native(triple) else (f"{triple}-g++", f"{triple}-c++")
    return next((path for name in names if (path := shutil.which(name))), None)


def version(triple: str) -> str:
    """What the linker says that it is; the library's bytes depend on it."""
    path = linker(triple)
    if path is None:
        return "none"
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0] if said else path


def link(executable: Any, triple: str, library: Path) -> None:
    """Write a compiled Relax executable as a shared library; a library that is there is replaced all at once.

    Raises CompileError when there is no linker for the triple or it fails.
    """
    path = linker(triple)
    if path is None:
        raise CompileError(_missing(triple))

    def shared(output: str, objects: list[str], **_options: Any) -> None:
        # No build id, no symbol table: the temporary names of the objects are not to be in the bytes.
        command = [path, "-shared", "-fPIC", "-s", "-Wl,--build-id=none", "-o", output, *objects]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise CompileError(f"{path} cannot link for {triple}: {said[-1] if said else f'exit {done.returncode}'}")

    library = library.absolute()
    with tempfile.TemporaryDirectory(prefix=".link-", dir=library.parent) as folder:
        output = Path(folder) / "model.so"
        executable.export_library(str(output), fcompile=shared, workspace_dir=folder)
        output.replace(library)


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
