"""A device as data: how to reach it, what code it runs, what measures its energy, and how it comes to rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from joulefront import config
from joulefront.config import Plugin, Table
from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront_devices import registry
from joulefront_devices.profile import Profile, profile, profiles
from joulefront_devices.tables import Meter, SettleTable, TargetTable

__all__ = ["CheckedTable", "Device", "SettleTable", "TargetTable", "load", "parse", "sensors_in"]

LOCAL = "local"
Status = Literal["ready", "incomplete", "failing"]


class CheckedTable(Table):
    """How the last self-test ended."""

    at: str = Field(description="When, in ISO 8601.")
    status: Status


class CalibrationTable(Table):
    """What the meter's joules are multiplied by, since it was compared with another one."""

    factor: float = Field(gt=0, description="The other meter's joules over this one's.")
    low: float = Field(gt=0, description="The lower end of the factor's 95 % interval.")
    high: float = Field(gt=0, description="The upper end.")
    meter: str = Field(description="Which meter's joules: no other one's are multiplied.")
    against: str = Field(description="Which meter it was compared with.")
    at: str = Field(description="When, in ISO 8601.")
    provenance: Literal["measured", "simulated"] = Field(
        default="measured", description="Whether it was a simulated device whose meters were compared."
    )


HostMeter = Annotated[Plugin, Tag("table")]
AnyMeter = Annotated[
    Annotated[Meter, Tag("name")] | HostMeter,
    # Of the two only the one that is there is judged, so that a mistake in it is one message.
    Discriminator(lambda value: "table" if isinstance(value, Plugin | dict) else "name"),
]


class Device(Table):
    """A device. ``transport`` names the way to it and its arguments; without ``target``, it is read from the device."""

    name: str = Field(pattern=registry.NAME, description="Names the device in results and locks.")
    description: str = ""
    profile: str | None = Field(default=None, description="What kind of board it is: sets what this file does not.")
    transport: Plugin = Plugin(kind="local")
    target: TargetTable | None = None
    meter: AnyMeter = Field(
        default="auto",
        description='"auto" reads the device\'s own energy sensor where there is one; "none" never does; '
        '"rapl", "hwmon", "hwmon:CHIP" and "hwmon:CHIP/CHANNEL" name one. A table names a meter on the host: '
        'kind = "joulescope", "replay" or "cpu-model", or "module:Class" and "file.py:Class" for one of your own.',
    )
    calibration: CalibrationTable | None = None
    mark: str = Field(
        default="",
        pattern=r"^(/sys/class/(leds/[^/]+/brightness|gpio/gpio[0-9]{1,5}/value))?$",
        description="The file of a pin of the device that is to be high while a window of energy lasts.",
    )
    governor: Literal["performance", "keep"] = Field(
        default="performance",
        description='Which frequency governor its cores have while it is measured, where the agent may set it; "keep" sets none.',
    )
    pin_threads: bool = Field(
        default=True, description="Whether each of a network's threads is tied to a core, the fastest first."
    )
    settle: SettleTable = SettleTable()
    facts: dict[str, bool | int | float | str] = Field(
        default={}, description="What the device said about itself when it was last checked."
    )
    checked: CheckedTable | None = None

    @property
    def sensor(self) -> str:
        """Which of its own sensors the agent is to read: "none" where a meter on the host measures."""
        return "none" if isinstance(self.meter, Plugin) else self.meter


def sensors_in(facts: Mapping[str, Any]) -> list[str]:
    """The names of the meters that a device's ``facts`` list."""
    return [name.strip() for name in str(facts.get("sensors") or "").split(",") if name.strip()]


def load(name_or_path: str, *, folder: Path = Path()) -> Device:
    """The registered device of that name, ``local`` for this machine, or the file at a path that ends in ``.toml``.

    Paths are relative to ``folder``. Raises ConfigError when there is no such device, or when its file is wrong.
    """
    if name_or_path.endswith(".toml"):
        return _read(folder / Path(name_or_path).expanduser())
    known = registry.names()
    if name_or_path in known:
        file = registry.file_of(name_or_path)
        device = _read(file)
        if device.name != name_or_path:
            raise ConfigError(f"{file}: name: expected {name_or_path!r}, as the file is called, not {device.name!r}")
        return device
    if name_or_path == LOCAL:
        return parse(f'name = "{LOCAL}"\nprofile = "{LOCAL}"', source="the device local")
    if name_or_path in profiles():
        raise ConfigError(
            f"device {name_or_path!r}: that is a profile, and no device is registered by that name; "
            f"register yours: joulefront devices add NAME user@host --profile {name_or_path}"
        )
    raise ConfigError(
        f"device {name_or_path!r}: not registered in {registry.folder()}; {nearest(name_or_path, {*known, LOCAL})} "
        "(joulefront devices list shows them all; or give the path of a device's own .toml file)"
    )


def parse(text: str, *, source: str) -> Device:
    """A device's file, with what its profile says of what it leaves out. Raises ConfigError, which names ``source``."""
    device = config.parse(text, Device, source=source)
    if device.profile is None:
        return device
    try:
        return _completed(device, profile(device.profile))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _read(path: Path) -> Device:
    device = parse(config.read_text(path), source=str(path))
    meter = device.meter if isinstance(device.meter, str) else _beside(path, device.meter)
    return device.model_copy(update={"transport": _beside(path, device.transport), "meter": meter})


def _beside(path: Path, plugin: Plugin) -> Plugin:
    """A transport or a meter of the user's own lies beside the device's file, wherever the study that names it is."""
    file, colon, found = plugin.kind.rpartition(":")
    if not (colon and file.endswith(".py")):
        return plugin
    kind = f"{(path.parent / Path(file).expanduser()).resolve()}:{found}"
    return Plugin(kind=kind, **plugin.arguments)


def _completed(device: Device, board: Profile) -> Device:
    """The device with its profile's values where its own file sets none; of ``settle``, key by key."""
    given: dict[str, Any] = {
        key: value
        for key in ("description", "target", "meter", "pin_threads")
        if key not in device.model_fields_set and (value := getattr(board, key)) is not None
    }
    if board.settle:
        own = device.settle.model_dump(exclude_unset=True)
        given["settle"] = SettleTable(**{**board.settle.model_dump(exclude_unset=True), **own})
    return device.model_copy(update=given)
