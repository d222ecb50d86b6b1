"""A device that is this machine, with a home of its own: provisioning needs no more than a shell and files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from joulefront.records import Executed


class Elsewhere:
    """Commands run here, in ``home``. ``greeting`` is what a login shell says before anything; ``executed`` what ran."""

    def __init__(self, home: Path, path: str | None = None, greeting: bytes = b"") -> None:
        self.home = home
        self.greeting = greeting
        self.executed: list[Sequence[str]] = []
        self._environment = {"HOME": str(home), "PATH": path or os.defpath}

    def execute(self, command: Sequence[str], *, given: bytes = b"", timeout_s: float = 60.0) -> Executed:
        self.executed.append(command)
        found = shutil.which(command[0]) or command[0]  # the shell is there, whatever ``path`` hides
        ran = subprocess.run(
            [found, *command[1:]],
            input=given,
            capture_output=True,
            check=False,
            env=self._environment,
            timeout=timeout_s,
        )
        return Executed(ran.returncode, self.greeting + ran.stdout, ran.stderr)

    def upload(self, source: Path, path: str) -> int:
        shutil.copyfile(source, path)
        return source.stat().st_size
