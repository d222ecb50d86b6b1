"""What a device is given of others: taken out of pinned wheels, and checked.

A wheel's content comes from this host's own installation where that is the very same thing, else from a folder of wheels
that the user names, else from the package index that pip is configured with.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import platform
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from joulefront.bench import pins
from joulefront.bench.archives import Archive, Files, archived
from joulefront.cache import Cache, disk, file_sha256, key_of
from joulefront.errors import ConfigError, TransportError

LIBRARY = "libtvm_runtime.so"
# Of tvm_ffi's wheel a device needs neither what other code is built against nor what builds it; of the tests only the
# library, which the others link to.
_LEFT_OUT = {"3rdparty", "cython", "include", "share", "src", "stub", "testing"}


@dataclass(frozen=True, slots=True)
class Wheels:
    """The pinned wheels for CPython 3.``minor`` on ``architecture`` (aarch64 or x86_64), and where they come from.

    ``folder`` holds them for hosts without a package index; ``say`` is told what is fetched. The methods raise ConfigError
    for a folder that lacks one or when there is no pip, TransportError when pip cannot fetch one, StoreError for a disk
    that refuses.
    """

    minor: int
    architecture: str
    folder: Path | None
    cache: Cache
    say: Callable[[str], None]

    def runtime(self) -> Archive:
        """All that the agent imports and loads: tvm_ffi, typing_extensions and TVM's runtime library."""
        ffi, typing_extensions = pins.tvm_ffi(self.minor, self.architecture), pins.typing_extensions()

        def files() -> Files:
            library = {LIBRARY: self._library().read_bytes()}
            extensions = self._content(typing_extensions, lambda name: name == "typing_extensions.py")
            return library | extensions | self._content(ffi, _is_needed)

        made_from = [ffi.sha256, typing_extensions.sha256, pins.RUNTIME_SHA256[self.architecture]]
        key = key_of(wheels=made_from, layout=file_sha256(Path(__file__)))
        return archived("runtime", key, self.cache, files)

    def _library(self) -> Path:
        """TVM's runtime library, kept by itself: its wheel is large, and serves for every Python."""
        wheel, sha256 = pins.tvm(self.architecture), pins.RUNTIME_SHA256[self.architecture]

        def make(folder: Path) -> dict[str, Any]:
            library = self._content(wheel, lambda name: name == pins.RUNTIME)[pins.RUNTIME]
            if hashlib.sha256(library).hexdigest() != sha256:
                raise TransportError(f"{pins.RUNTIME} of {wheel.requirement} is not the one that is pinned")
            with disk(str(folder)):
                (folder / LIBRARY).write_bytes(library)
            return {}

        return self.cache.entry("runtime-library", key_of(sha256=sha256), make).path(LIBRARY)

    def _content(self, wheel: pins.Wheel, is_wanted: Callable[[str], bool]) -> Files:
        """The wanted files of a wheel by their names in it."""
        content = _installed(wheel, is_wanted)
        if content is not None:
            return content
        if self.folder is not None:
            path = self.folder / wheel.file
            if not path.is_file():
                raise ConfigError(f"{self.folder} holds no {wheel.file}, which the device needs; {self._advice()}")
            if file_sha256(path) != wheel.sha256:
                raise ConfigError(f"{path} is not the file that is pinned: remove it, then {self._advice()}")
            return _unzipped(path, is_wanted)
        with tempfile.TemporaryDirectory(prefix="joulefront-wheels-") as folder:
            return _unzipped(self._download(wheel, Path(folder)), is_wanted)

    def _download(self, wheel: pins.Wheel, folder: Path) -> Path:
        self.say(f"fetching {wheel.distribution} {wheel.version} for CPython 3.{self.minor} on {self.architecture}")
        requirements = folder / "requirements.txt"
        with disk(str(folder)):
            requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="ascii")
        options = ["--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes"]
        pip = [sys.executable, *self._pip(folder), *options, "--requirement", str(requirements)]
        done = subprocess.run(pip, capture_output=True, text=True, errors="replace", check=False)
        path = folder / wheel.file
        if done.returncode == 0 and path.is_file() and file_sha256(path) == wheel.sha256:
            return path
        if "No module named pip" in done.stderr:
            raise ConfigError(f"pip is not installed beside {sys.executable}: {sys.executable} -m ensurepip")
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise TransportError(f"pip's package index has another {wheel.file} than the one that is pinned")
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["it says nothing"]
        raise TransportError(f"pip cannot fetch {wheel.file}: {said[-1]}; {self._advice()}")

    def _advice(self) -> str:
        wheels = (pins.tvm(self.architecture), pins.tvm_ffi(self.minor, self.architecture), pins.typing_extensions())
        command = ["python3", *self._pip(self.folder or Path("DIR")), *(wheel.requirement for wheel in wheels)]
        return f"fetch it where there is internet, by `{' '.join(command)}`, and name that folder by --wheels"

    def _pip(self, folder: Path) -> list[str]:
        machine = ["--platform", f"manylinux_2_28_{self.architecture}", "--implementation", "cp"]
        python = ["--python-version", f"3.{self.minor}"]
        return ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", *machine, *python, "--dest", str(folder)]


def _is_needed(name: str) -> bool:
    """Of tvm_ffi's wheel."""
    path = PurePosixPath(name)
    if path.parts[0] != "tvm_ffi":
        return path.name == "METADATA"  # for importlib.metadata.version
    return path.suffix in {".py", ".so"} and path.parts[1] not in _LEFT_OUT


def _installed(wheel: pins.Wheel, is_wanted: Callable[[str], bool]) -> Files | None:
    """The same files as this host has them installed; None unless they are this wheel's, whole and unchanged."""
    python, abi, machines = wheel.tags.split("-")
    here = {"py3", f"cp3{sys.version_info.minor}"} if sys.implementation.name == "cpython" else {"py3"}
    machine = machines.split(".")[-1]
    if python not in here or not (machine == "any" or machine.endswith(f"_{platform.machine()}")):
        return None
    try:
        distribution = importlib.metadata.distribution(wheel.distribution)
        # What a distribution, conda or this host itself has built from the same source has other tags.
        tag = f"Tag: {python}-{abi}-{machine}"
        if distribution.version != wheel.version or tag not in (distribution.read_text("WHEEL") or "").splitlines():
            return None
        files = [file for file in distribution.files or () if is_wanted(file.as_posix())]
        content = {file.as_posix(): Path(str(file.locate())).read_bytes() for file in files}
    except (importlib.metadata.PackageNotFoundError, OSError):
        return None
    recorded = {file.as_posix(): file.hash.value if file.hash else "" for file in files}
    return content if content and {name: _digest(data) for name, data in content.items()} == recorded else None


def _digest(data: bytes) -> str:
    """The sha256 as a RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _unzipped(wheel: Path, is_wanted: Callable[[str], bool]) -> Files:
    """Raises TransportError for a file that is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as members:
            content = {name: members.read(name) for name in members.namelist() if is_wanted(name)}
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise TransportError(f"{wheel} cannot be unpacked: {error}") from error
    if not content or any(name.startswith("/") or ".." in name.split("/") for name in content):
        raise TransportError(f"{wheel} holds other files than a wheel does")
    return content
