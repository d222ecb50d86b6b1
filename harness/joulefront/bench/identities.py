"""The keys to offer at a login: the files that the settings name, by themselves or by the agent, then the agent's others."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    load_ssh_public_identity,
)
from paramiko.pkey import UnknownKeyType

from joulefront.bench.ssh_agent import SshAgent
from joulefront.bench.ssh_config import Destination, Login
from joulefront.errors import ConfigError

_NO_KEY = (OSError, EOFError, ValueError, TypeError, paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm)
_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"


def identities(login: Login, destination: Destination, notes: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """The keys to offer, each with what to call it; ``notes`` gets those that cannot be.

    A key with a certificate comes with it first, and then without. Raises ConfigError for a key that was named and
    cannot be used.
    """
    with contextlib.ExitStack() as stack:
        held: dict[bytes, paramiko.AgentKey] = {}
        if login.agent is not None:
            try:
                held = stack.enter_context(contextlib.closing(SshAgent(login.agent))).keys()
            except (OSError, EOFError, ValueError, TypeError, paramiko.SSHException) as error:
                notes.append(f"the agent at {login.agent} does not answer: {said(error)}")
        for path in login.identities:
            by_agent = held.pop(_public_half(path) or b"", None)
            try:
                key: paramiko.PKey = _private(path)
            except _NO_KEY as error:
                if by_agent is None:
                    notes.append(f"{path}: {_unusable(path, error, given=path == destination.key)}")
                    continue
                key = by_agent
            yield from _with_certificates(f"{path}{', by the agent' if key is by_agent else ''}", key, login, path)
        for blob, key in held.items():
            if not login.only:
                label = f"the agent's SHA256:{_fingerprint(blob)}"
                yield from _with_certificates(label, key, login, None)


def _private(path: Path) -> paramiko.PKey:
    """A private key's file as a key. Raises whatever reading and parsing raise."""
    if _public_line(path) is not None:
        raise ValueError("its private half is in no agent that may be asked")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PermissionError(f"others may read it: chmod 600 {path}")
    return paramiko.PKey.from_path(path)


def _unusable(path: Path, error: BaseException, *, given: bool) -> str:
    locked = isinstance(error, TypeError | paramiko.PasswordRequiredException)
    why = "it has a passphrase: ssh-add it to your agent" if locked else said(error)
    if given and not locked:
        raise ConfigError(f"the key {path} cannot be used: {why}") from error
    return why


def _with_certificates(
    label: str, key: paramiko.PKey, login: Login, path: Path | None
) -> Iterator[tuple[str, paramiko.PKey]]:
    beside = (path.with_name(f"{path.name.removesuffix('.pub')}-cert.pub"),) if path else ()
    for file in (*login.certificates, *beside):
        if _certified(file) == key.asbytes():
            key.load_certificate(str(file))
            yield f"{label} with {file}", key
    key.public_blob = None
    yield label, key


def _certified(file: Path) -> bytes | None:
    """The public key that a certificate's file is about."""
    with contextlib.suppress(*_NO_KEY):
        certificate = load_ssh_public_identity(file.read_bytes())
        if isinstance(certificate, SSHCertificate):
            line = certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            return base64.b64decode(line.split()[1])
    return None


def _public_half(path: Path) -> bytes | None:
    """The public key of a key's file: it may be one, have one beside it, or say it before what a passphrase hides."""
    for file in (path, path.with_name(f"{path.name}.pub")):
        if (blob := _public_line(file)) is not None:
            return blob
    with contextlib.suppress(*_NO_KEY):
        text = path.read_text(encoding="ascii").strip()
        if text.startswith(_BEGIN):
            inside = paramiko.Message(base64.b64decode("".join(text.splitlines()[1:-1])))
            inside.get_bytes(len(b"openssh-key-v1\0"))
            for _ in ("cipher", "key derivation", "its options"):
                inside.get_binary()
            inside.get_int()
            return inside.get_binary()
    return None


def _public_line(file: Path) -> bytes | None:
    """What a line such as "ssh-ed25519 AAAA… comment" holds."""
    with contextlib.suppress(OSError, ValueError, binascii.Error):
        kind, blob = file.read_text(encoding="utf-8").split()[:2]
        content = base64.b64decode(blob, validate=True)
        if content[4:].startswith(kind.encode()):
            return content
    return None


def _fingerprint(blob: bytes) -> str:
    return base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def said(error: BaseException) -> str:
    """An error's message in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
