"""The way to this very machine: the agent as a subprocess, files linked or copied into a private folder."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from joulefront.bench.channel import ProcessChannel
from joulefront.errors import TransportError

_KEPT = 3  # the network at work, the reference, and one more


class LocalTransport:
    """Runs the agent on this machine, with this Python and the runtime of the installed ``tvm``.

    The folder keeps only the files that were shipped last, and goes with the session; one whose session was killed goes
    with the next. ``root`` is where /sys and /proc are found: another folder than / in a container that has the host's
    mounted there.
    Raises TransportError when there is no room for a folder of its own, or no runtime.
    """

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._runtime = _runtime()
        self._shipped: list[Path] = []
        try:
            _sweep()
            self._folder = Path(tempfile.mkdtemp(prefix=f"joulefront-{os.getpid()}-"))  # readable by this user alone
        except OSError as error:
            raise TransportError(f"no folder can be made under {tempfile.gettempdir()}: {error}") from error

    def start(self) -> ProcessChannel:
        """Start an agent. Raises TransportError."""
        command = [sys.executable, "-m", "joulefront_agent", "--runtime", str(self._runtime), "--root", self._root]
        # The agent's own folder, so that it is found from a checkout too; the rest of the path is the interpreter's.
        path = os.pathsep.join(filter(None, [str(_package("joulefront_agent").parent), os.environ.get("PYTHONPATH")]))
        return ProcessChannel(command, {**os.environ, "PYTHONPATH": path}, self._folder)

    def put(self, source: Path, sha256: str) -> str:
        """Link or copy a file into the private folder; returns its path there. Raises TransportError."""
        final = self._folder / f"{sha256}{source.suffix}"
        if final in self._shipped:
            self._shipped.remove(final)
        else:
            self._copy(source, final)
        self._shipped.append(final)
        while len(self._shipped) > _KEPT:
            with contextlib.suppress(OSError):
                self._shipped.pop(0).unlink()
        return str(final)

    def _copy(self, source: Path, final: Path) -> None:
        with contextlib.suppress(OSError):  # such as another file system, which the folder in memory often is
            os.link(source.resolve(), final)
            return
        partial = final.with_name(f"{final.name}.partial")
        try:
            shutil.copyfile(source, partial)
            partial.replace(final)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise TransportError(f"{source} cannot be copied to {final}: {error}") from error

    def close(self) -> None:
        """Remove the private folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _sweep() -> None:
    """Remove this user's folders whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob("joulefront-*-*"):
        named = re.fullmatch(r"joulefront-(\d{1,9})-\w+", folder.name)
        with contextlib.suppress(OSError):
            if named and folder.lstat().st_uid == os.getuid() and _is_gone(int(named[1])):
                shutil.rmtree(folder, ignore_errors=True)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and another user's
        return False
    return False


def _runtime() -> Path:
    # Found without importing tvm, which takes seconds and is not needed here.
    library = _package("tvm") / "lib" / "libtvm_runtime.so"
    if not library.is_file():
        raise TransportError(f"{library}: no such file; is apache-tvm installed as constraints.txt says?")
    return library


def _package(name: str) -> Path:
    """The folder of an installed package, without importing it. Raises TransportError."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise TransportError(f"the package {name} is not installed beside {sys.executable}")
    return Path(spec.origin).parent
