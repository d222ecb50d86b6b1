"""The frequency governor of the cores: "performance" while a session measures, and afterwards what it was.

What it was is written down, in a file that the agent holds locked, before anything is changed: an agent that is killed
leaves the file, and the next one undoes it. After a boot there is nothing to undo.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any

PERFORMANCE = "performance"
_BY_HAND = "userspace"
_FOLDER = Path("sys/devices/system/cpu/cpufreq")
_FILE = "governor"
_POLICY = re.compile(r"policy[0-9]{1,5}")
_NAME = re.compile(r"[a-z_]{1,32}")
_MOST_B = 1 << 20
_LOCK_S = 1.0  # one that was killed just now may not have let go of it yet
_LOOK_S = 0.02

_log = logging.getLogger("joulefront_agent")


@contextlib.contextmanager
def hold(root: Path, folder: Path, wanted: str) -> Iterator[dict[str, Any]]:
    """Have all cores under ``root`` run by "performance", if that is ``wanted``, and undo that in the end.

    ``folder`` is the agent's own. Yields facts: what ``governor`` they have now, ``governor_former`` what they had where
    it was set, and ``governor_reason`` why it is not what was wanted, or None. Only what is still as it was set is undone:
    who sets another one meanwhile is meant to be heeded, and so is who set the clock by hand before.
    """
    state: int | None = None
    former: dict[str, str] = {}
    reason = None
    found = _governors(root)
    try:
        if wanted == PERFORMANCE and not found:
            reason = "the kernel offers no frequency governor there"
        elif wanted == PERFORMANCE and set(found.values()) != {PERFORMANCE}:
            try:
                state = _locked(folder, os.O_RDWR | os.O_CREAT)
                former, reason = _set(root, state)
            except BlockingIOError:
                reason = "another session has set it"
            except OSError as error:
                reason = f"what it is cannot be noted down in {folder}: {error.strerror}"
        yield {
            "governor": _names(_governors(root)),
            "governor_former": _names(former),
            "governor_reason": reason,
        }
    finally:
        if state is not None:
            _undo(root, state)
            os.close(state)


def restore(root: Path, folder: Path) -> None:
    """Undo what an agent that was killed could not, unless another one is at it."""
    with contextlib.suppress(OSError):
        state = _locked(folder, os.O_RDWR)
        try:
            _undo(root, state)
        finally:
            os.close(state)


def _locked(folder: Path, flags: int) -> int:
    """The state's file, which is this process's as long as it is open. Raises OSError: BlockingIOError for another's."""
    if flags & os.O_CREAT:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = os.open(folder / _FILE, flags | os.O_NOFOLLOW, 0o600)
    deadline_s = monotonic() + _LOCK_S
    while (refusal := _refusal(state)) and monotonic() <= deadline_s:
        sleep(_LOOK_S)
    if refusal:
        os.close(state)
        raise refusal
    return state


def _refusal(state: int) -> OSError | None:
    """Why the file cannot be locked, None when it is."""
    try:
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error
    return None


def _set(root: Path, state: int) -> tuple[dict[str, str], str | None]:
    """Set what is another one. Returns what was set was before, by its policy, and why some were not. Raises OSError."""
    _undo(root, state)
    found = _governors(root)
    former = {policy: name for policy, name in found.items() if name not in (PERFORMANCE, _BY_HAND)}
    os.pwrite(state, json.dumps({"boot": _boot(root), "former": former}).encode(), 0)
    os.fsync(state)
    refused = {policy: reason for policy in former if (reason := _failure(root, policy))}
    former = {policy: name for policy, name in former.items() if policy not in refused}
    reasons = list(refused.values())
    if _BY_HAND in found.values():
        reasons.append(f"it is {_BY_HAND!r}: a clock that was set by hand is left as it is")
    return former, next(iter(reasons), None)


def _failure(root: Path, policy: str) -> str | None:
    """Why a policy cannot be set to performance, None once it is."""
    try:
        _write(root, policy, PERFORMANCE)
    except OSError as error:
        return f"{_path(root, policy)} cannot be set: {error.strerror}"
    return None


def _undo(root: Path, state: int) -> None:
    """Set what the file says, if it is of this boot, and empty the file."""
    now = _governors(root)
    for policy, name in _noted(os.pread(state, _MOST_B, 0), _boot(root)).items():
        if now.get(policy) != PERFORMANCE:
            continue
        try:
            _write(root, policy, name)
        except OSError as error:
            _log.error("%s cannot be set back to %s: %s", _path(root, policy), name, error.strerror)
    os.ftruncate(state, 0)


def _noted(text: bytes, boot: str | None) -> dict[str, str]:
    """What the file says each policy was; nothing where it is of another boot, or was never finished."""
    try:
        table = json.loads(text)
        former = dict(table["former"]) if boot and table["boot"] == boot else {}
    except (ValueError, KeyError, TypeError):
        return {}
    return {
        policy: name
        for policy, name in former.items()
        if _POLICY.fullmatch(policy) and isinstance(name, str) and _NAME.fullmatch(name)
    }


def _governors(root: Path) -> dict[str, str]:
    """Each policy's governor; a policy whose cores are all offline has none."""
    found = {}
    for folder in sorted((root / _FOLDER).glob("policy[0-9]*")):
        with contextlib.suppress(OSError):
            found[folder.name] = _text(_path(root, folder.name))
    return found


def _names(governors: Mapping[str, str]) -> str | None:
    return ",".join(sorted(set(governors.values()))) or None


def _write(root: Path, policy: str, governor: str) -> None:
    """Raises OSError, also where the kernel takes it and does as it likes."""
    path = _path(root, policy)
    file = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(file, f"{governor}\n".encode("ascii"))
    finally:
        os.close(file)
    if (found := _text(path)) != governor:
        raise OSError(0, f"it stays {found!r:.40}")


def _path(root: Path, policy: str) -> Path:
    return root / _FOLDER / policy / "scaling_governor"


def _boot(root: Path) -> str | None:
    try:
        return _text(root / "proc/sys/kernel/random/boot_id") or None
    except OSError:
        return None


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()
