"""Profiles: what is known of a kind of board before one is looked at. One TOML file each, in ``profiles/``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pydantic import Field

from joulefront import config
from joulefront.config import Table
from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront_devices.tables import Meter, SettleTable, TargetTable


class Profile(Table):
    """A kind of board. What a device's own file does not set is as its profile says; what neither sets is read from it."""

    name: str = Field(min_length=1)
    description: str = ""
    boards: tuple[str, ...] = Field(
        default=(), strict=False, description="How the device tree's model string of such a board begins."
    )
    architecture: str | None = Field(default=None, description="As uname -m says, such as aarch64; any when not given.")
    target: TargetTable | None = None
    meter: Meter | None = None
    pin_threads: bool | None = None
    settle: SettleTable | None = None
    notes: tuple[str, ...] = Field(default=(), strict=False, description="What a user of such a board should know.")


def profiles() -> tuple[str, ...]:
    """The names of the profiles."""
    return tuple(sorted(Path(file.name).stem for file in _folder().iterdir() if file.name.endswith(".toml")))


def profile(name: str) -> Profile:
    """The profile of that name. Raises ConfigError when there is none."""
    if name not in profiles():
        raise ConfigError(
            f"profile {name!r}: there is none; {nearest(name, profiles())} (profiles: {', '.join(profiles())})"
        )
    text = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    return config.parse(text, Profile, source=f"profile {name}")


def profile_of(model: str | None, architecture: str) -> Profile | None:
    """The profile of the board with that model string, or else the generic one of its architecture; None without one.

    Where the beginnings of several fit, the longest counts.
    """
    known = [profile(name) for name in profiles()]
    fitting = [
        (len(board), one)
        for one in known
        for board in one.boards
        if model and model.startswith(board) and one.architecture in (None, architecture)
    ]
    if fitting:
        return max(fitting, key=lambda pair: pair[0])[1]
    return next((one for one in known if one.name == f"generic-{architecture}"), None)


def _folder() -> resources.abc.Traversable:
    return resources.files("joulefront_devices") / "profiles"
