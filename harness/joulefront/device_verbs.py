"""The verbs about devices: one short function each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from joulefront.errors import BenchError
from joulefront.terminal import as_json_option, devices_option, given, questions, results_only, show

_METERS = (
    "auto, none, rapl, hwmon[:CHIP[/CHANNEL]], iio[:RAIL], pmic, nvml[:INDEX] or supply:NAME; joulefront devices meters "
    "shows what there is."
)

Verb = TypeVar("Verb", bound=Callable[..., Any])

_file = click.Path(exists=True, dir_okay=False, resolve_path=True)
_folder = click.Path(exists=True, file_okay=False, resolve_path=True)


def _way_options(verb: Verb) -> Verb:
    """The options that ``add`` and ``edit`` share."""
    for option in (
        click.option("--description", help="A word on the device, for yourself."),
        click.option(
            "--wheels", type=_folder, help="A folder with the device's wheels, for hosts without a package index."
        ),
        click.option("--python", metavar="PATH", help="The device's Python, where it is not python3."),
        click.option("--accept-host-key", "accept", metavar="SHA256:…", help="The fingerprint of its host key."),
        click.option("--key", type=_file, help="The private key's file to log in with."),
        click.option("--meter", metavar="KIND", help=_METERS),
        click.option("--profile", help="The kind of board, where it is not to be told from what it says."),
    ):
        verb = option(verb)
    return verb


@click.group()
def devices() -> None:
    """Register the boards to search on, check them, and change what is known of them."""


@devices.command()
@click.argument("name")
@click.argument("destination", metavar="[USER@]HOST[:PORT]")
@_way_options
@devices_option
@as_json_option
def add(name: str, destination: str, accept: str | None, as_json: bool, key: str | None, **options: Any) -> None:
    """Register a board as NAME: log in over SSH, ship what it needs, read what it is, and test it."""
    from joulefront.bench.ssh_config import Destination
    from joulefront.first_login import first_login
    from joulefront.register import add as register
    from joulefront.register import draft
    from joulefront.report import devices as tables
    from joulefront.report.progress import progress

    with results_only():
        draft(name, given(options))  # before anybody is asked anything
        where = replace(Destination.parse(destination), key=Path(key) if key else None)
        command = ["joulefront", *sys.argv[1:]]
        where = first_login(name, where, accept=accept, questions=questions(), command=command)
        with progress() as listener:
            document = register(name, where, given(options), listener)
    show(document, as_json, tables.checked)
    _fail_if_failing(document)


@devices.command(name="list")
@devices_option
@as_json_option
def list_(as_json: bool) -> None:
    """List the registered devices, and this machine."""
    from joulefront.registered import listing
    from joulefront.report import devices as tables

    show(listing(), as_json, tables.listing)


@devices.command(name="show")
@click.argument("name")
@devices_option
@as_json_option
def show_(name: str, as_json: bool) -> None:
    """Show all that is known of the device NAME."""
    from joulefront.registered import show as known
    from joulefront.report import devices as tables

    show(known(name), as_json, tables.device)


@devices.command()
@click.argument("name")
@devices_option
@as_json_option
def check(name: str, as_json: bool) -> None:
    """Test the device NAME: ship, run, compare outputs, time, read the meter; say what is missing, and its fix."""
    from joulefront.register import check as test
    from joulefront.report import devices as tables
    from joulefront.report.progress import progress

    with results_only(), progress() as listener:
        document = test(name, listener)
    show(document, as_json, tables.checked)
    _fail_if_failing(document)


@devices.command()
@click.argument("name")
@devices_option
@as_json_option
def meters(name: str, as_json: bool) -> None:
    """Show what could measure the energy of the device NAME: what it covers, how fast it is, and how to make it usable."""
    from joulefront.meter_survey import survey
    from joulefront.report import meters as tables
    from joulefront.report.progress import progress

    with results_only(), progress() as listener:
        document = survey(name, listener)
    show(document, as_json, tables.found)


@devices.command()
@click.argument("name")
@click.option("--against", metavar="METER", help="Another sensor of the device, by its name.")
@click.option("--window", "window_s", default=10.0, show_default=True, type=click.FloatRange(min=1), help="In s.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(4, 100), help="Windows of each load.")
@click.option("--forget", is_flag=True, help="Take the factor out of the device's file.")
@devices_option
@as_json_option
def calibrate(name: str, against: str | None, window_s: float, rounds: int, forget: bool, as_json: bool) -> None:
    """Compare the meter of the device NAME with another one, idle and busy, and keep the factor between their joules."""
    from joulefront.calibrate import calibrate as compare
    from joulefront.calibrate import forget as drop
    from joulefront.report import meters as tables
    from joulefront.report.progress import progress

    if forget == (against is not None):
        raise click.UsageError("expected either --against METER or --forget")
    if forget:
        show(drop(name), as_json, tables.forgotten)
        return
    assert against is not None
    with results_only(), progress() as listener:
        document = compare(name, against, listener, window_s=window_s, rounds=rounds)
    show(document, as_json, tables.calibrated)
    if not document["stored"]:
        sys.exit(BenchError.exit_code)


@devices.command()
@click.argument("name")
@click.option("--host", "destination", metavar="[USER@]HOST[:PORT]", help="Where it is now.")
@_way_options
@devices_option
@as_json_option
def edit(name: str, destination: str | None, accept: str | None, as_json: bool, **options: Any) -> None:
    """Change what is known of the device NAME; comments in its file stay."""
    from joulefront.bench.ssh_config import Destination
    from joulefront.register import edit as change
    from joulefront.report import devices as tables

    where = Destination.parse(destination) if destination else None
    with results_only():
        document = change(name, given(options), where, accept)
    show(document, as_json, tables.device)
    if document["status"] == "unchecked":
        click.echo(f"next: joulefront devices check {name}", err=True)


@devices.command()
@click.argument("name")
@click.option("--keep-files", is_flag=True, help="Leave on the device what was shipped there; it need not be reached.")
@devices_option
@as_json_option
def remove(name: str, keep_files: bool, as_json: bool) -> None:
    """Forget the device NAME, and delete what was shipped to it."""
    from joulefront.register import remove as forget
    from joulefront.report import devices as tables

    with results_only():
        document = forget(name, keep_files=keep_files)
    show(document, as_json, tables.removed)


def _fail_if_failing(document: dict[str, Any]) -> None:
    """The exit code of a device that cannot be used as it is."""
    if document["status"] == "failing":
        sys.exit(BenchError.exit_code)
