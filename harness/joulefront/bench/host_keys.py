"""Host keys: which are trusted for a name, and what is said of one that is not."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko
from paramiko.pkey import UnknownKeyType

from joulefront.errors import ConfigError, HostKeyError

_NO_KEY = (ValueError, paramiko.SSHException, UnknownKeyType)


def trusted(name: str, pinned: str | None, files: Sequence[Path]) -> list[paramiko.PKey]:
    """The keys that the host called ``name`` may show: the ``pinned`` one alone, or those in known_hosts ``files``.

    Raises ConfigError for a pinned key that is none.
    """
    if pinned is not None:
        return [_parsed(pinned)]
    keys = []
    for fields in _lines(files):
        if not fields[0].startswith("@") and len(fields) >= 3 and _is_for(fields[0], name):
            with contextlib.suppress(*_NO_KEY):  # of a kind that paramiko does not know
                keys.append(paramiko.PKey.from_type_string(fields[1], base64.b64decode(fields[2])))
    return keys


def check(
    key: paramiko.PKey, name: str, keys: Sequence[paramiko.PKey], pinned: str | None, files: Sequence[Path]
) -> None:
    """Whether the ``key`` that ``name`` shows is one of the trusted ``keys``. Raises HostKeyError."""
    shown = f"{key.get_name()} {key.get_base64()}"
    revoked = [fields[3] for fields in _lines(files) if fields[0] == "@revoked" and len(fields) > 3]
    if key.get_base64() in revoked:
        raise HostKeyError(
            f"{name} shows a host key that known_hosts calls revoked ({key.fingerprint}): nobody was logged in",
            key=shown,
            fingerprint=key.fingerprint,
            changed=True,
        )
    if key in keys:
        return
    if not keys:
        raise HostKeyError(
            f"the host key of {name} is not known: {key.get_name()} {key.fingerprint}. Compare it with what "
            "'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' says on the device itself",
            key=shown,
            fingerprint=key.fingerprint,
            changed=False,
        )
    remedy = (
        f"take the new one with --accept-host-key {key.fingerprint}"
        if pinned is not None
        else f"remove the old one: ssh-keygen -R '{name}'"
    )
    raise HostKeyError(
        f"{name} shows another host key than is known ({key.fingerprint}, not "
        f"{', '.join(one.fingerprint for one in keys)}): somebody else may be answering, and nobody was logged in. If the "
        f"device was installed anew, {remedy}",
        key=shown,
        fingerprint=key.fingerprint,
        changed=True,
    )


def _parsed(line: str) -> paramiko.PKey:
    kind, _, blob = line.strip().partition(" ")
    try:
        return paramiko.PKey.from_type_string(kind, base64.b64decode(blob, validate=True))
    except _NO_KEY as error:
        raise ConfigError(
            f'[transport] host_key: expected a line such as "ssh-ed25519 AAAA…", not {line[:40]!r}: {error}'
        ) from error


def _lines(files: Sequence[Path]) -> Iterator[list[str]]:
    """The fields of each line that is no comment: a marker such as @revoked if there is one, names, key type, key."""
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
        for line in text.splitlines():
            if (fields := line.split()) and not fields[0].startswith("#"):
                yield fields


def _is_for(patterns: str, name: str) -> bool:
    """Whether a line's names, as sshd(8) has them, say ``name``: hashed, or with wildcards and exceptions."""
    if patterns.startswith("|1|"):
        return paramiko.HostKeys.hash_host(name, patterns) == patterns
    found = False
    for pattern in patterns.split(","):
        literal = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(literal, name, re.IGNORECASE):
            if pattern.startswith("!"):
                return False
            found = True
    return found
