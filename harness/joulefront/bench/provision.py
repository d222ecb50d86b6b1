"""Gives a device what the agent needs, once: found whole, nothing is moved."""

from __future__ import annotations

import importlib.util
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulefront.bench import pins
from joulefront.bench.archives import Archive, agent
from joulefront.bench.suitable import misshapen, reason_against, reason_no_room
from joulefront.bench.wheels import LIBRARY, Wheels
from joulefront.cache import Cache
from joulefront.errors import ConnectionLost, DeviceBusy, TransportError
from joulefront.protocols import Remote

_MARK = "joulefront:"  # no shell's greeting looks like it
_VERSION = f'import sys; print("{_MARK}%d.%d:%s" % (sys.version_info[0], sys.version_info[1], sys.executable))'
_ANSWER = re.compile(rf"{_MARK}(\d{{1,3}})\.(\d{{1,3}}):(/.+)")
_FIND = f"for python; do \"$python\" -c '{_VERSION}' </dev/null 2>/dev/null; done; true"
_NAMES = ("python3", *(f"python3.{minor}" for minor in range(pins.NEWEST, pins.OLDEST - 1, -1)))
_INSTALL = f"install CPython 3.{pins.OLDEST} or later there (Debian: apt install python3), or name one by --python"
_UNPACK_S = 300.0  # a slow SD card
_SPARE_B = 16_000_000  # for the networks of a session


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A device that has all the agent needs.

    ``python`` is its interpreter, ``folder`` the private work folder, ``packages`` what PYTHONPATH is to hold and
    ``runtime`` TVM's runtime library, all of them absolute paths there. ``moved_b`` is how many bytes were shipped now.
    """

    python: str
    folder: str
    packages: tuple[str, ...]
    runtime: str
    moved_b: int


def provision(
    remote: Remote,
    *,
    python: str | None,
    wheels: Path | None,
    cache: Cache,
    say: Callable[[str], None],
    session: str | None = None,
) -> Provisioned:
    """Find or ship what the agent needs, into a folder of the remote user alone.

    ``python`` is the interpreter to use where it is not the one that is found; ``wheels`` a folder on this host with the
    pinned wheels. ``session`` is the name by which the agent will hold the device; who gives none does not care who holds
    it. Raises TransportError when the device is lost or cannot be used as it is, with the reason and what to do;
    DeviceBusy when another session holds it; and what Wheels raises.
    """
    python = _find(remote, python)
    facts = _ask(remote, python, "probe", *([session] if session else []))
    strange = misshapen(facts)
    if strange is not None:
        raise TransportError(f"{python} on the device does not say what it is: {strange}; is it a Python?")
    if session is not None:
        _require_free(facts["held"])
    reason = reason_against(facts)
    if reason is not None:
        raise TransportError(f"the device cannot run the agent: {reason}")
    runtime = Wheels(facts["python"][1], facts["machine"], wheels, cache, say).runtime()
    archives = [runtime, agent(cache)]
    moved_b = _ship(remote, python, facts, archives, session or secrets.token_hex(8), say)
    folder = facts["work"]
    return Provisioned(
        python=python,
        folder=folder,
        packages=tuple(f"{folder}/{archive.name}" for archive in archives),
        runtime=f"{folder}/{runtime.name}/{LIBRARY}",
        moved_b=moved_b,
    )


def remove(remote: Remote, python: str | None) -> None:
    """Delete the work folder, with all that was ever shipped. Raises TransportError, and DeviceBusy when a session holds it."""
    _require_free(_ask(remote, _find(remote, python), "remove").get("held"))


def _require_free(held: object) -> None:
    """Raises DeviceBusy for what the device says of another session."""
    if held is not None:
        raise DeviceBusy(f"{held}: wait for it, or end it")


def _find(remote: Remote, python: str | None) -> str:
    """The absolute path of the interpreter to use: the one given, else the first of the usual names that fits; the first
    at all when none does, for its reasons. Raises TransportError when there is none."""
    done = remote.execute(["sh", "-c", _FIND, "sh", *([python] if python else _NAMES)])
    found = []
    for line in done.stdout.decode(errors="replace").splitlines():
        said = _ANSWER.fullmatch(line)
        if said is not None:
            found.append((int(said[1]), int(said[2]), said[3]))
    if not found:
        what = f"{python} is no Python there, or does not run" if python else "python3 is not to be found there"
        raise TransportError(f"the device has no Python to use: {what}; {_INSTALL}")
    fitting = [path for major, minor, path in found if major == 3 and pins.OLDEST <= minor <= pins.NEWEST]
    major, minor, path = found[0]
    if (major, minor) < (3, 6):  # it does not even understand the probe
        raise TransportError(f"{path} on the device is Python {major}.{minor}; {_INSTALL}")
    return fitting[0] if fitting else path


def _ship(
    remote: Remote,
    python: str,
    facts: Mapping[str, Any],
    archives: list[Archive],
    upload: str,
    say: Callable[[str], None],
) -> int:
    """Ship what is not there whole, by files that are named after ``upload``. Returns how many bytes were moved."""
    is_whole = _ask(remote, python, "check", *(archive.name for archive in archives))
    missing = [archive for archive in archives if is_whole.get(archive.name) is not True]
    if not missing:
        return 0
    size_b = sum(archive.size_b + archive.unpacked_b for archive in missing) + _SPARE_B
    reason = reason_no_room(facts, size_b, sum(archive.files for archive in missing))
    if reason is not None:
        raise TransportError(f"the device cannot run the agent: {reason}")
    say(f"shipping {sum(archive.size_b for archive in missing) / 1e6:.1f} MB to {facts['work']}")
    return sum(_ship_one(remote, python, archive, facts["work"], upload) for archive in missing)


def _ship_one(remote: Remote, python: str, archive: Archive, work: str, upload: str) -> int:
    # No two sessions write to one file; what one gave up, another may go on with.
    file, folder, moved_b = f"{archive.name}.{upload}.tar.gz", f"{work}/{archive.name}", 0
    path = f"{work}/{file}"
    _ask(remote, python, "claim", archive.name, file)
    for _ in range(2):  # an upload goes on from what is there, which may be damaged: the second one starts anew
        moved_b += _upload(remote, python, archive, path)
        if _ask(remote, python, "unpack", path, archive.sha256, folder, timeout_s=_UNPACK_S).get("unpacked") is True:
            return moved_b
    raise TransportError(f"{path} arrived damaged on the device, twice: check its disk")


def _upload(remote: Remote, python: str, archive: Archive, path: str) -> int:
    """Upload an archive; one that fails on a full disk says so. Returns how many bytes were moved."""
    try:
        return remote.upload(archive.path, path)
    except ConnectionLost:
        raise
    except TransportError as error:
        room = free_b(remote, python)
        if room is None or room >= archive.size_b:
            raise
        raise TransportError(f"{error}; no room: {room / 1e6:.1f} MB free") from error


def free_b(remote: Remote, python: str) -> int | None:
    """How many bytes there are free for the device's work folder; None where that cannot be told."""
    try:
        facts = _ask(remote, python, "probe")
    except TransportError:
        return None
    return None if misshapen(facts) is not None else int(facts["free_b"])


def _ask(remote: Remote, python: str, verb: str, *given: str, timeout_s: float = 60.0) -> dict[str, Any]:
    """Have install.py do one thing there. Raises TransportError with what it says."""
    spec = importlib.util.find_spec("joulefront_agent")
    assert spec is not None
    assert spec.origin is not None
    script = Path(spec.origin).with_name("install.py").read_bytes()
    done = remote.execute([python, "-I", "-", verb, *given], given=script, timeout_s=timeout_s)
    said = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]  # what a shell says comes before
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        last = (done.stderr.decode(errors="replace").strip() or said or "it says nothing").rpartition("\n")[2]
        raise TransportError(f"{python} on the device failed to {verb}, with status {done.status}: {last}") from None
    if not isinstance(answer, dict):
        raise TransportError(f"{python} on the device answers something else than it was asked for: {said[:80]}")
    if "error" in answer:
        raise TransportError(f"the device cannot be set up: {answer['error']}")
    return answer
