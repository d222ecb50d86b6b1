"""Numbers and words in the kernel's files."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path


def number(file: Path) -> int:
    """The number in a file. Raises OSError or ValueError."""
    # By the system's calls alone: Path.read_text takes a slow board as long again, at each sample.
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return int(os.read(descriptor, 64))
    finally:
        os.close(descriptor)


def readable(file: Path) -> int | None:
    """The number in a file, None where there is none to be read."""
    try:
        return number(file)
    except (OSError, ValueError):
        return None


def text(file: Path) -> str:
    """What is printable of a file's text, without what surrounds it; "" where there is none."""
    try:
        told = file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return "".join(filter(str.isprintable, told)).strip()


def is_forbidden(file: Path) -> bool:
    """Whether a file is there, and not for this user to read."""
    try:
        os.close(os.open(file, os.O_RDONLY))
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def rule(subsystem: str, match: str, name: str, files: Collection[str]) -> str:
    """The commands that let every user read ``files`` of some devices for good: a rule of udev's, and its start.

    The devices are those of the subsystem whose ``match``, in udev's words, is ``name``.
    """
    # A name is the device's, and the commands are the user's: what is not a plain character may be any.
    safe = re.sub(r"[^\w.:@*-]", "?", name, flags=re.ASCII)
    chmod = " ".join(["/bin/chmod a+r", *(f"/sys%p/{file}" for file in files)])
    line = f'ACTION=="add", SUBSYSTEM=="{subsystem}", {match}=="{safe}", RUN+="{chmod}"'
    path = f"/etc/udev/rules.d/99-joulefront-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}.rules"
    trigger = f"sudo udevadm control --reload && sudo udevadm trigger --action=add --subsystem-match={subsystem}"
    return f"echo '{line}' | sudo tee {path} && {trigger}"
