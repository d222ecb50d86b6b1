"""Devices are added, checked, changed and removed. What a device's file says afterwards is what ``joulefront_devices`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joulefront import plugins
from joulefront.bench.opening import TRANSPORTS
from joulefront.bench.session import Session
from joulefront.bench.ssh_config import Destination
from joulefront.bench.target import target_of
from joulefront.config import read_text
from joulefront.errors import BenchError, ConfigError, DeviceBusy
from joulefront.first_login import key_file, trusting, withdraw_key
from joulefront.problems import nearest
from joulefront.protocols import Listener
from joulefront.registered import show
from joulefront.report import documents
from joulefront.self_test import Verdict, self_test
from joulefront.tuning.database import Database
from joulefront_devices import load, profile, registry
from joulefront_devices.device import LOCAL, Device, parse, sensors_in
from joulefront_devices.profile import profile_of

_SOLDERED = ("hwmon:", "iio:")
_KEPT = ("description", "profile", "meter")


def draft(name: str, given: Mapping[str, Any]) -> str:
    """The file of a device that can be added, but for the way to it.

    Raises ConfigError for a name that is no device's or one's already, and for what is ``given`` wrongly.
    """
    _require_new(name)
    text = registry.changed("", {("name",): name, **{(key,): given[key] for key in _KEPT if key in given}})
    parse(text, source=f"device {name!r}")
    return text


def _require_new(name: str) -> None:
    file = registry.file_of(name)
    if name == LOCAL:
        raise ConfigError(f"device {LOCAL!r}: that is this machine, and always there: take another name")
    if file.exists():
        raise ConfigError(
            f"device {name!r} is registered already ({file}): change it with 'joulefront devices edit {name} …', or "
            f"remove it first: joulefront devices remove {name}"
        )


def add(name: str, destination: Destination, given: Mapping[str, Any], listener: Listener) -> dict[str, Any]:
    """Register a device that can be logged in to: provision it, read what it is, choose its profile, test it.

    ``given`` holds what the user said of ``profile``, ``meter``, ``description``, ``python`` and ``wheels``. A device
    that was reached is stored, also when its self-test fails. Returns the document of ``check``. Raises ConfigError for
    a profile that does not fit, and BenchError, with nothing stored, for a device that cannot be reached or used.
    """
    source = f"device {name!r}"
    way = {("transport", "kind"): "ssh", **_transport(destination, given)}
    text = registry.changed(draft(name, given), way)
    listener.stage(f"giving {destination.host} what the agent needs, and asking what it is")
    facts = _facts_of(parse(text, source=source))
    board = fitting_profile(given.get("profile"), facts)
    if board is not None:
        text = registry.changed(text, {("profile",): board})
    device = parse(text, source=source)
    verdict = self_test(device, listener)
    verdict.facts = verdict.facts or facts
    _require_new(name)  # whatever another process did meanwhile
    _write(name, text, _outcome(verdict))
    return document(name, verdict)


def check(name: str, listener: Listener) -> dict[str, Any]:
    """Test a device, store what it said and how it went, and return both as a document.

    Raises ConfigError for a device that is none, and DeviceBusy.
    """
    verdict = self_test(load(name), listener)
    if not name.endswith(".toml"):  # a file that is the user's own is left as it is
        rewrite(name, _outcome(verdict))
    return document(name, verdict)


def edit(name: str, given: Mapping[str, Any], destination: Destination | None, accept: str | None) -> dict[str, Any]:
    """Change what is ``given``, of a device's file and its transport's arguments, and return the device's document.

    With ``accept``, the host key of that fingerprint is trusted from now on. Raises ConfigError, and TransportError when
    a host key is to be accepted and the device is not there.
    """
    device = load(name)
    changes: dict[tuple[str, ...], Any] = {(key,): given[key] for key in _KEPT if key in given}
    ways = _transport(destination, given)
    if (ways or accept) and device.transport.kind != "ssh":
        raise ConfigError(f"device {name!r} is not reached over SSH: it has no host, key, python or wheels to change")
    if accept is not None:
        arguments = {**device.transport.arguments, **{key: value for (_, key), value in ways.items()}}
        ways["transport", "host_key"] = trusting(_destination(arguments), accept).host_key
    if "profile" in given and "architecture" in device.facts:
        fitting_profile(given["profile"], device.facts)
    if "meter" in given:
        _require_there(given["meter"], device)
    if not changes and not ways:
        raise ConfigError(
            f"device {name!r}: nothing to change was given; joulefront devices edit --help lists what can be"
        )
    if changes.keys() | ways.keys() != {("description",)}:
        changes["checked",] = None  # what was tested is not what it is now
    rewrite(name, {**changes, **ways})
    return show(name)


def _require_there(meter: str, device: Device) -> None:
    """Raises ConfigError for a chip or a rail that the device did not name among its own.

    Other meters come and go: a battery is none while it charges, and a GPU is one as soon as its library is installed.
    """
    found = sensors_in(device.facts)
    is_there = any(name == meter or name.startswith(f"{meter}/") for name in found)
    if found and meter.startswith(_SOLDERED) and not is_there:
        raise ConfigError(
            f"device {device.name!r} has no meter {meter!r}; {nearest(meter, found)} (it has {', '.join(found)})"
        )


def remove(name: str, *, keep_files: bool) -> dict[str, Any]:
    """Forget a device, with what tuning found there, and delete what was shipped to it. Returns {"device", "file", "files"}.

    Raises BenchError, with nothing forgotten, when it cannot be reached; with ``keep_files`` it is not even tried.
    """
    file = registry.file_of(name)
    if not file.exists():
        load(name)  # says why there is nothing to remove
        raise ConfigError(f"device {LOCAL!r}: that is this machine, and nothing is registered of it")
    on_device = "kept" if keep_files else _cleaned(name)
    registry.remove(file)
    registry.remove(key_file(name))
    Database.of(name).drop()
    return {"device": name, "file": str(file), "files": on_device}


def document(name: str, verdict: Verdict) -> dict[str, Any]:
    """What ``joulefront devices check --json`` prints."""
    measured = documents.measurement(name, verdict.measurement) if verdict.measurement else None
    return {
        "device": name,
        "status": verdict.status,
        "findings": [asdict(finding) for finding in verdict.findings],
        "latency_s": _figure(measured, "latency_s"),
        "energy_j": _figure(measured, "energy_j"),
        "provenance": {name: measured["provenance"][name] if measured else None for name in ("latency_s", "energy_j")},
        "notes": list(verdict.notes),
        "facts": _plain(verdict.facts),
    }


def fitting_profile(given: str | None, facts: Mapping[str, Any]) -> str | None:
    """The name of the profile for a device with those ``facts``: the ``given`` one if it fits, or else what they say.

    Raises ConfigError for one that is made for another processor.
    """
    architecture, model = str(facts["architecture"]), facts.get("model")
    found = profile_of(str(model) if model else None, architecture)
    if given is None:
        return found.name if found else None
    board = profile(given)
    right = f"; the profile that fits is {found.name!r}" if found and found.name != given else ""
    if board.architecture not in (None, architecture):
        raise ConfigError(f"--profile {given}: it is for {board.architecture}, and the device is {architecture}{right}")
    if board.target is not None:
        cpu = target_of(Device(name="any"), facts, 1).cpu
        if cpu not in ("generic", board.target.cpu):
            raise ConfigError(f"--profile {given}: it is for {board.target.cpu}, and the device has {cpu}{right}")
    return given


def _figure(measured: Mapping[str, Any] | None, name: str) -> dict[str, Any] | None:
    """The median and its interval of a measurement's document."""
    figure = measured[name] if measured else None
    return {key: figure[key] for key in ("median", "interval", "indicative")} if figure else None


def _transport(destination: Destination | None, given: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The arguments of the way there, as changes to a device's file. A new host brings its user and port along."""
    changes: dict[tuple[str, ...], Any] = {}
    if destination is not None:
        arguments = {"host": destination.host, "user": destination.user, "port": destination.port}
        changes = {("transport", key): value for key, value in arguments.items()}
        if destination.host_key is not None:
            changes["transport", "host_key"] = destination.host_key
        if destination.key is not None:
            changes["transport", "key"] = str(destination.key)
    return changes | {("transport", key): given[key] for key in ("key", "python", "wheels") if key in given}


def _destination(arguments: Mapping[str, Any]) -> Destination:
    paths = {key: Path(arguments[key]).expanduser() for key in ("key", "config") if arguments.get(key)}
    return Destination(
        arguments["host"], arguments.get("user"), arguments.get("port"), host_key=arguments.get("host_key"), **paths
    )


def _facts_of(device: Device) -> Mapping[str, Any]:
    """What the device's agent says about it. Raises ConfigError and BenchError."""
    where = f"device {device.name}: [transport]"
    transport = plugins.build(device.transport, TRANSPORTS, folder=Path.cwd(), where=where)
    with closing(transport), Session(transport, device.sensor) as session:
        return dict(session.facts)


def _cleaned(name: str) -> str:
    """Delete what was shipped to a device; returns what became of it."""
    from joulefront.bench import provision
    from joulefront.bench.connection import Connection

    otherwise = f"to forget it and leave that there: joulefront devices remove {name} --keep-files"
    try:
        arguments = load(name).transport.arguments
        if "host" not in arguments:
            return "none"
        with Connection.open(_destination(arguments)) as connection:
            provision.remove(connection, arguments.get("python"))
            withdraw_key(name, connection)
    except ConfigError as error:
        raise ConfigError(f"{error} ({otherwise})") from error
    except DeviceBusy as error:
        raise DeviceBusy(f"what was shipped to {name!r} is in use: {error} ({otherwise})") from error
    except BenchError as error:
        raise BenchError(f"what was shipped to {name!r} cannot be removed: {error} ({otherwise})") from error
    return "removed"


def _text_of(name: str) -> str:
    """A device's file as it is, or as it would be for this machine. Raises ConfigError for one that is gone."""
    file = registry.file_of(name)
    if not file.exists() and name != LOCAL:
        raise ConfigError(f"device {name!r} is gone: it was removed meanwhile ({file}), and nothing was stored of it")
    return read_text(file) if file.exists() else f'name = "{LOCAL}"\nprofile = "{LOCAL}"\n'


def rewrite(name: str, changes: registry.Changes) -> None:
    """Change a registered device's file, unless that would make it wrong; comments stay. Raises ConfigError."""
    _write(name, _text_of(name), changes)


def _write(name: str, text: str, changes: registry.Changes) -> None:
    file = registry.file_of(name)
    text = registry.changed(text, changes)
    parse(text, source=str(file))
    registry.write(file, text)


def _outcome(verdict: Verdict) -> dict[tuple[str, ...], Any]:
    """A self-test's outcome as changes to a device's file; the facts of one that could not be opened stay."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    facts: dict[tuple[str, ...], Any] = {("facts",): _plain(verdict.facts)} if verdict.facts else {}
    return {**facts, ("checked", "at"): now, ("checked", "status"): verdict.status}


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a TOML table can hold: no None."""
    return {key: value for key, value in facts.items() if value is not None}
