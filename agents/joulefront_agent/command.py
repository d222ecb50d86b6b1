"""Commands of the device's own that tell what no file does: where they are, and what they say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ALSO_IN = ("/usr/bin", "/usr/local/bin", "/opt/vc/bin")
_LIMIT_S = 2.0


def find(root: Path, name: str) -> Path | None:
    """The command of that name in a folder of PATH or a usual one, under the file system at ``root``; None for none."""
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), *_ALSO_IN):
        path = root / folder.lstrip("/") / name
        if folder.startswith("/") and path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def said(path: Path, *arguments: str, limit_s: float = _LIMIT_S) -> str:
    """What a command writes to its stdout. Raises OSError, with what it says, where it fails or takes too long, in s."""
    try:
        done = subprocess.run(
            [str(path), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{path} does not answer within {limit_s:g} s") from None
    text = done.stdout.decode("ascii", "replace")
    if done.returncode != 0:
        last = (done.stderr.decode("ascii", "replace").strip() or text.strip() or "it says nothing").splitlines()[-1]
        raise OSError(f"{path} fails with status {done.returncode}: {last:.200}")
    return text
