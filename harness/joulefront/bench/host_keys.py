"""Host keys: which are trusted for a name, and what is said of one that is not."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.pkey import UnknownKeyType

from joulefront.errors import ConfigError, HostKeyError

_NO_KEY = (ValueError, IndexError, paramiko.SSHException, UnknownKeyType)
_KRL = b"SSHKRL\n"


@dataclass(frozen=True, slots=True)
class Trusted:
    """The keys that a host may show. ``unusable`` are the types of those that are known and cannot be compared here."""

    keys: tuple[paramiko.PKey, ...]
    unusable: tuple[str, ...] = ()


def trusted(name: str, pinned: str | None, files: Sequence[Path]) -> Trusted:
    """The keys that the host called ``name`` may show: the ``pinned`` one alone, or those in known_hosts ``files``.

    Raises ConfigError for a pinned key that is none.
    """
    if pinned is not None:
        return Trusted((_parsed(pinned),))
    keys, unusable = [], []
    for fields in _lines(files):
        if fields[0].startswith("@") or len(fields) < 2 or not _is_for(fields[0], name):
            continue
        try:
            keys.append(paramiko.PKey.from_type_string(fields[1], base64.b64decode(fields[2], validate=True)))
        except _NO_KEY:  # of a kind that paramiko does not know, or damaged
            unusable.append(fields[1])
    return Trusted(tuple(keys), tuple(unusable))


def require_not_revoked(key: paramiko.PKey, name: str, files: Sequence[Path], revoked: Sequence[Path]) -> None:
    """Raises HostKeyError for a key that known_hosts ``files`` or RevokedHostKeys, the files ``revoked``, call revoked.

    Whatever names a line of known_hosts has: OpenSSH looks at them, but who revokes a key has a reason. Raises ConfigError
    for a file that cannot be read, as OpenSSH refuses every key then.
    """
    in_known_hosts = (fields[3] for fields in _lines(files) if fields[0] == "@revoked" and len(fields) > 3)
    where = "known_hosts" if key.get_base64() in in_known_hosts else None
    for file in revoked:
        if _content(file).startswith(_KRL):
            raise ConfigError(
                f"RevokedHostKeys {file}: it is a binary list (KRL), which is not read here: list the keys as text"
            )
        if any(key.get_base64() in fields for fields in _lines([file])):
            where = f"RevokedHostKeys ({file})"
    if where is not None:
        raise HostKeyError(
            f"{name} shows a host key that {where} calls revoked ({key.fingerprint}): nobody was logged in",
            key=f"{key.get_name()} {key.get_base64()}",
            fingerprint=key.fingerprint,
            changed=True,
        )


def check(key: paramiko.PKey, name: str, known: Trusted, pinned: str | None) -> None:
    """Whether the ``key`` that ``name`` shows is one of those that are trusted. Raises HostKeyError."""
    shown, keys = f"{key.get_name()} {key.get_base64()}", known.keys
    if key in keys:
        return
    if known.unusable and not keys:
        raise HostKeyError(
            f"{name} shows {key.get_name()} {key.fingerprint}, and what known_hosts has of it cannot be compared with that: "
            f"{', '.join(known.unusable)} is damaged, or a type that is not supported here. Nobody was logged in. If this "
            f"is its key, take it with --accept-host-key {key.fingerprint}",
            key=shown,
            fingerprint=key.fingerprint,
            changed=True,
        )
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
        for line in _content(file).decode("utf-8", errors="replace").splitlines():
            if (fields := line.split()) and not fields[0].startswith("#"):
                yield fields


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def _is_for(patterns: str, name: str) -> bool:
    """Whether a line's names, as sshd(8) has them, say ``name``: hashed, or with wildcards and exceptions."""
    if patterns.startswith("|1|"):
        return _is_hash_of(patterns, name)
    found = False
    for pattern in patterns.split(","):
        literal = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(literal, name, re.IGNORECASE):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _is_hash_of(hashed: str, name: str) -> bool:
    """Whether ``|1|salt|hash`` is of this name; what is damaged is of none."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:])
    except (binascii.Error, ValueError):
        return False
    # OpenSSH writes a host's name in small letters and a HostKeyAlias as it is.
    return any(hmac.digest(salt, text.encode(), "sha1") == digest for text in (name, name.lower()))
