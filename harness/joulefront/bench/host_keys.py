"""Host keys: which are trusted for a name, and what is said of one that is not."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

import paramiko

from joulefront.errors import ConfigError, HostKeyError


def trusted(name: str, pinned: str | None, files: Sequence[Path]) -> list[paramiko.PKey]:
    """The keys that the host called ``name`` may show: the ``pinned`` one alone, or those in known_hosts ``files``.

    Raises ConfigError for a pinned key that is none.
    """
    if pinned is not None:
        return [_parsed(pinned)]
    known = _known(files).lookup(name) or {}
    return list(known.values())


def check(
    key: paramiko.PKey, name: str, keys: Sequence[paramiko.PKey], pinned: str | None, files: Sequence[Path]
) -> None:
    """Whether the ``key`` that ``name`` shows is one of the trusted ``keys``. Raises HostKeyError."""
    shown = f"{key.get_name()} {key.get_base64()}"
    if any(key.get_base64() == blob for blob in _revoked(files)):
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
    except (binascii.Error, ValueError, paramiko.SSHException, paramiko.UnknownKeyType) as error:
        raise ConfigError(
            f'[transport] host_key: expected a line such as "ssh-ed25519 AAAA…", not {line[:40]!r}: {error}'
        ) from error


def _known(files: Sequence[Path]) -> paramiko.HostKeys:
    keys = paramiko.HostKeys()
    for file in files:
        try:
            keys.load(str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: cannot be read: {error}") from error
    return keys


def _revoked(files: Sequence[Path]) -> list[str]:
    """The keys on lines marked @revoked, in base64."""
    lines = [line.split() for file in files for line in file.read_text(errors="replace").splitlines()]
    return [fields[3] for fields in lines if fields[:1] == ["@revoked"] and len(fields) > 3]
