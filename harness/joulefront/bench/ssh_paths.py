"""The files that SSH settings name: with tokens such as %h, variables such as ${HOME}, "~", and spaces in their names."""

from __future__ import annotations

import errno
import getpass
import os
import re
import socket
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from joulefront.errors import ConfigError

_MARK = re.compile(r"%(?P<token>.?)|\$\{(?P<variable>[^}]*)\}")


def tokens_of(host: str, hostname: str, port: int, user: str, alias: str | None) -> dict[str, str]:
    """What ssh_config(5) puts in the place of the tokens that a file's name may hold."""
    here = socket.gethostname()
    return {
        "%": "%",
        "d": str(Path.home()),
        "h": hostname,
        "i": str(os.getuid()),
        "k": alias or host,
        "L": here.split(".")[0],
        "l": here,
        "n": host,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }


def expanded(name: str, setting: str, tokens: Mapping[str, str]) -> Path:
    """The path that the ``setting`` means. Raises ConfigError for a token or a variable that there is not."""

    def replaced(mark: re.Match[str]) -> str:
        table, key = (tokens, mark["token"]) if mark["variable"] is None else (os.environ, mark["variable"])
        if key not in table:
            raise ConfigError(f"the SSH settings: {setting} {name}: {mark[0]} is not known here: write the path out")
        return table[key]

    return tilde(_MARK.sub(replaced, name))


def tilde(name: str) -> Path:
    """A path with "~" at its begin replaced."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 -- a "~" in the middle of a name stays


def is_file(path: Path) -> bool:
    """Whether it is a file. Raises ConfigError where that cannot be seen, since a file that is there counts."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return False
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def existing(names: Sequence[str], setting: str, tokens: Mapping[str, str]) -> list[Path]:
    """The files that are there, of lists as ``ssh -G`` prints them: between spaces, and unquoted if they hold some.

    What is not there holds no keys; a name of which only a part is there would be another file, so the longest counts.
    """
    files = []
    for line in names:
        words = line.replace('"', "").split(" ")
        while words:
            for count in range(len(words), 0, -1):
                name = " ".join(words[:count])
                if name not in ("", "none") and is_file(path := expanded(name, setting, tokens)):
                    files.append(path)
                    break
            del words[:count]
    return files
