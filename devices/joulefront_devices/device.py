"""A device as data: how to reach it, what code it runs, whether it has a meter, and how it comes to rest."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field

from joulefront import config
from joulefront.config import Fraction, Plugin, Table
from joulefront.errors import ConfigError


class TargetTable(Table):
    """What code is generated for, where it is not to be read from the device. The names are records.Target's."""

    triple: str = Field(min_length=1, description="LLVM's -mtriple, such as aarch64-linux-gnu.")
    cpu: str = Field(min_length=1, description="LLVM's -mcpu, such as cortex-a72.")
    features: tuple[str, ...] = Field(default=(), strict=False, description='LLVM\'s -mattr, such as ["+neon"].')
    vector_floats: Literal[1, 2, 4, 8, 16, 32, 64] = Field(description="How many float32 one vector register holds.")
    vector_registers: int = Field(ge=1, description="How many such registers there are.")


class SettleTable(Table):
    """When the device is at rest, so that a measurement may begin."""

    busy: Fraction = Field(
        default=0.1, description="The share of its cores' time that other work may take, and of five cores' at most."
    )
    time_s: float = Field(default=3.0, ge=0, description="Wait at most so long for it, in s; then measure and warn.")


class Device(Table):
    """A device. ``transport`` names the way to it and its arguments; without ``target``, it is read from the device."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Names the device in results and locks.")
    description: str = ""
    transport: Plugin = Plugin(kind="local")
    target: TargetTable | None = None
    meter: Literal["auto", "none"] = Field(
        default="auto",
        description='"auto" reads the device\'s own energy sensor where there is one; "none" never does.',
    )
    pin_threads: bool = Field(
        default=True, description="Whether each of a network's threads is tied to a core, the fastest first."
    )
    settle: SettleTable = SettleTable()


def load(name_or_path: str, *, folder: Path = Path()) -> Device:
    """The ready profile of that name, or the file at that path, relative to ``folder``, when it ends in ``.toml``.

    Raises ConfigError when there is none, or when its file is wrong.
    """
    if not name_or_path.endswith(".toml"):
        known = profiles()
        if name_or_path not in known:
            hint = config.nearest(name_or_path, known)
            raise ConfigError(
                f"device {name_or_path!r}: no such profile; {hint} "
                f"(profiles: {', '.join(known)}; or the path of a device's own .toml file)"
            )
        text = (_folder() / f"{name_or_path}.toml").read_text(encoding="utf-8")
        return config.parse(text, Device, source=f"profile {name_or_path}")
    path = folder / Path(name_or_path).expanduser()
    device = config.read(path, Device)
    # A transport of the user's own lies beside the device's file, wherever the study that names it is.
    file, colon, found = device.transport.kind.rpartition(":")
    if colon and file.endswith(".py"):
        kind = f"{(path.parent / Path(file).expanduser()).resolve()}:{found}"
        return device.model_copy(update={"transport": Plugin(kind=kind, **device.transport.arguments)})
    return device


def profiles() -> tuple[str, ...]:
    """The names of the ready profiles."""
    return tuple(sorted(Path(file.name).stem for file in _folder().iterdir() if file.name.endswith(".toml")))


def _folder() -> resources.abc.Traversable:
    return resources.files("joulefront_devices") / "profiles"
