"""A hash of this room's own source: what it writes depends on it."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path


def digest(folder: str) -> str:
    """A sha256 of every source file in a folder of this room."""
    hashed, root = hashlib.sha256(), Path(__file__).parent / folder
    for source in sorted(root.rglob("*.py")):
        hashed.update(f"{source.relative_to(root)}\0".encode() + source.read_bytes())
    return hashed.hexdigest()


def kernels_version() -> str:
    """What the code of kernels depends on besides the target: their source, and TVM's version."""
    return f"kernels={digest('kernels')[:16]},apache-tvm={version('apache-tvm')}"
