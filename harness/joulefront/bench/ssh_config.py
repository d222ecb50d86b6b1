"""Where a destination leads: what the user's OpenSSH settings make of ``user@host``."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import paramiko

from joulefront.bench import ssh_paths
from joulefront.errors import ConfigError, TransportError

_RESOLVE_S = 20.0
_MOST_HOPS = 8
_DESTINATION = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@\s]+)@)?(?:\[(?P<bracketed>[^\]\s]+)\]|(?P<host>[^\s:@]+|[^\s@]*:[^\s@]*:[^\s@]*))(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom to log in as, and where: a host's name, its address or an alias in the user's ssh_config.

    What is None is as OpenSSH has it. ``key`` is a private key's file; ``host_key`` ("ssh-ed25519 AAAA…") is the only one
    that is accepted, instead of those in known_hosts; ``config`` is another ssh_config file than the user's.
    """

    host: str
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    host_key: str | None = None
    config: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``[user@]host[:port]`` or ``ssh://…``; an IPv6 address with a port stands in brackets.

        Raises ConfigError.
        """
        found = _DESTINATION.fullmatch(text.strip())
        host = found and (found["bracketed"] or found["host"])
        if not found or not host or host.startswith("-") or (found["user"] or "").startswith("-"):
            raise ConfigError(f"{text!r}: expected [user@]host[:port], such as pi@192.168.1.20")
        port = int(found["port"]) if found["port"] else None
        if port is not None and not 0 < port < 65536:
            raise ConfigError(f"{text!r}: expected a port from 1 to 65535, not {port}")
        return cls(host, found["user"], port)


@dataclass(frozen=True, slots=True)
class Login:
    """A destination with everything that it takes to log in there.

    ``known_as`` is its name in ``known_hosts`` files; ``revoked`` are files of host keys that no host may show.
    ``identities`` are private keys' files, or those of public keys whose private halves the agent may hold; with
    ``only``, the agent is asked for no other keys. ``agent`` is the socket of the SSH agent that may be asked, ``via`` is
    the way there, one host after another.
    """

    hostname: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[Path, ...]
    revoked: tuple[Path, ...]
    identities: tuple[Path, ...]
    certificates: tuple[Path, ...]
    only: bool
    agent: Path | None
    via: tuple[str, ...]


def resolve(destination: Destination) -> Login:
    """What OpenSSH would do for this destination; where it is not installed, what paramiko reads of ssh_config.

    Raises ConfigError for settings that OpenSSH refuses, or that are not supported here (ProxyCommand).
    """
    settings = _by_openssh(destination) if shutil.which("ssh") else _by_paramiko(destination)
    where = f"the SSH settings for {destination.host}"
    if (command := _one(settings, "proxycommand")) is not None:
        raise ConfigError(f"{where} have a ProxyCommand ({command}), which is not supported: ProxyJump is")
    if destination.host_key is None and (command := _one(settings, "knownhostscommand")) is not None:
        raise ConfigError(
            f"{where} have a KnownHostsCommand ({command}), which is not supported: known_hosts files are"
        )
    hostname, port = _one(settings, "hostname") or destination.host, int(_one(settings, "port") or 22)
    user, alias, jump = _one(settings, "user") or getpass.getuser(), _one(settings, "hostkeyalias"), _via(settings)
    tokens = ssh_paths.tokens_of(destination.host, hostname, port, user, alias)

    def paths(setting: str) -> list[Path]:
        names = [name for name in settings.get(setting.lower(), ()) if name != "none"]
        return [ssh_paths.expanded(name, setting, tokens) for name in names]

    return Login(
        hostname=hostname,
        port=port,
        user=user,
        known_as=alias or (hostname if port == 22 else f"[{hostname}]:{port}"),
        known_hosts=(
            *ssh_paths.existing(settings.get("userknownhostsfile", ()), "UserKnownHostsFile", tokens),
            *ssh_paths.existing(settings.get("globalknownhostsfile", ()), "GlobalKnownHostsFile", tokens),
        ),
        revoked=tuple(paths("RevokedHostKeys")),
        identities=(destination.key,)
        if destination.key
        else tuple(path for path in paths("IdentityFile") if _has_a_half(path)),
        certificates=tuple(paths("CertificateFile")),
        only=(_one(settings, "identitiesonly") or "").lower() in ("yes", "true"),
        agent=_agent(settings, tokens),
        via=jump,
    )


def route(destination: Destination) -> list[Destination]:
    """The hosts to go through, and the destination last: its ProxyJump, the first of those hosts' own, and so on.

    Raises ConfigError.
    """
    way = [destination]
    while via := resolve(way[0]).via:
        way[:0] = [replace(Destination.parse(hop), config=destination.config) for hop in via]
        if len(way) > _MOST_HOPS:
            raise ConfigError(
                f"the SSH settings for {destination.host}: ProxyJump leads through {len(way)} hosts and on"
            )
    return way


def _by_openssh(destination: Destination) -> dict[str, list[str]]:
    command = ["ssh", "-G"]
    if destination.config:
        command += ["-F", str(destination.config)]
    if destination.user:
        command += ["-l", destination.user]
    if destination.port:
        command += ["-p", str(destination.port)]
    try:
        done = subprocess.run(
            [*command, "--", destination.host], capture_output=True, text=True, timeout=_RESOLVE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransportError(f"ssh -G {destination.host} does not say how to reach it: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ConfigError(f"ssh -G {destination.host} fails: {said[0] if said else f'exit {done.returncode}'}")
    settings: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        settings.setdefault(name, []).append(value)
    return settings


def _by_paramiko(destination: Destination) -> dict[str, list[str]]:
    file = destination.config or ssh_paths.tilde("~/.ssh/config")
    try:
        found = paramiko.SSHConfig.from_path(str(file)) if file.is_file() else paramiko.SSHConfig()
        table = dict(found.lookup(destination.host))
    except (OSError, paramiko.SSHException, paramiko.ConfigParseError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    settings = {name: value if isinstance(value, list) else [value] for name, value in table.items()}
    if destination.user:
        settings["user"] = [destination.user]
    if destination.port:
        settings["port"] = [str(destination.port)]
    settings.setdefault("identityfile", [f"~/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa")])
    settings.setdefault("userknownhostsfile", ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"])
    settings.setdefault("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts"])
    return settings


def _via(settings: dict[str, list[str]]) -> tuple[str, ...]:
    jump = _one(settings, "proxyjump")
    return tuple(jump.split(",")) if jump else ()


def _has_a_half(key: Path) -> bool:
    """Whether a key's private half is there, or the public one, for which the agent may be asked."""
    try:
        return ssh_paths.is_file(key) or ssh_paths.is_file(key.with_name(f"{key.name}.pub"))
    except ConfigError:
        return True  # and cannot be read, which is said when no other key is let in


def _agent(settings: dict[str, list[str]], tokens: dict[str, str]) -> Path | None:
    """The socket that IdentityAgent names, or the environment."""
    name = (settings.get("identityagent") or ["SSH_AUTH_SOCK"])[0]
    if name == "none":
        return None
    if name == "SSH_AUTH_SOCK" or re.fullmatch(r"\$\w+", name):
        socket = os.environ.get(name.removeprefix("$"))
        return Path(socket) if socket else None
    return ssh_paths.expanded(name, "IdentityAgent", tokens)


def _one(settings: dict[str, list[str]], name: str) -> str | None:
    """A setting's value; "none", or the lack of it, is None."""
    value = settings[name][0] if settings.get(name) else None
    return None if value == "none" else value
