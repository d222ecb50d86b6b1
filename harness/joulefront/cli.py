"""The command line: one short function a verb. Results go to stdout, progress and errors to stderr.

Exit codes: 0 done; 2 the user's file or argument is wrong; 3 the device or this host failed, and the same command goes
on from where it stopped; 130 interrupted. Each verb imports what it needs: ``--help`` is quick.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from joulefront import model_verbs, results_verbs, sensitivity_verb
from joulefront.device_verbs import devices
from joulefront.errors import JoulefrontError
from joulefront.report.visible import visible
from joulefront.terminal import as_json_option, devices_option, named, results_only, show

if TYPE_CHECKING:
    from joulefront.report.live import LiveListener
    from joulefront.report.progress import ProgressLines

_INTERRUPTED = 130
_results = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="The folder that holds a folder for each study.",
)
_device = click.option("--device", help="A device to search on instead of the study's own.")


class _Visible(logging.Formatter):
    """A warning may quote what a device wrote."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def main() -> None:
    """Run the command line; every mistake ends in one message and an exit code, never in a traceback."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Visible("%(message)s"))
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what fails there is raised, and said once
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        sys.exit(0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except JoulefrontError as error:
        click.echo(visible(f"joulefront: {error}"), err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("joulefront: interrupted; a search goes on from here by the same command", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        sys.stderr.close()
        sys.exit(0)


@click.group()
@click.version_option(package_name="joulefront", message="%(prog)s %(version)s")
def cli() -> None:
    """Prune neural networks by what they cost on your own device: accuracy, measured latency and measured energy."""


cli.add_command(devices)
for _verb in (*model_verbs.VERBS, *sensitivity_verb.VERBS, *results_verbs.VERBS):
    cli.add_command(_verb)


@cli.command()
@click.argument("task", callback=named)
@click.option("--device", default="local", show_default=True, help="The device to search on.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("study.toml"), show_default=True)
@devices_option
def init(task: str, device: str, out: Path) -> None:
    """Write a commented study file for TASK (file.py:object, module:object or a ready-made name)."""
    from joulefront.study_file import write

    with results_only():
        write(out, task=task, device=device)
    click.echo(f"{out} is written; next: joulefront validate {out}")


@cli.command()
@click.argument("study", type=click.Path(path_type=Path))
@_device
@devices_option
@as_json_option
def validate(study: Path, device: str | None, as_json: bool) -> None:
    """Check a study file: make and measure one network, and estimate what the whole study takes."""
    from joulefront.estimate import estimate
    from joulefront.report import tables
    from joulefront.report.progress import progress
    from joulefront.study import open_bench

    with results_only(), progress() as listener:
        document = estimate(study, listener, open_bench, device=device)
    show(document, as_json, tables.estimate)


@cli.command()
@click.argument("of", type=click.Choice(["study", "device", "profile"]), default="study")
def schema(of: str) -> None:
    """Print the JSON Schema of a study's, a device's or a profile's TOML file, for editors."""
    from joulefront.config import StudyConfig
    from joulefront_devices import Device, Profile

    schemas = {
        "study": StudyConfig.model_json_schema,
        "device": Device.model_json_schema,
        "profile": Profile.model_json_schema,
    }
    click.echo(json.dumps(schemas[of](), indent=2))


@cli.command()
@click.argument("study", type=click.Path(path_type=Path))
@_results
@_device
@click.option("--live", is_flag=True, help="Show the front while it grows, where there is a terminal.")
@devices_option
@as_json_option
def search(study: Path, results: Path, device: str | None, live: bool, as_json: bool) -> None:
    """Run the study in the file STUDY; the same command again goes on where it stopped."""
    _search(study, results, as_json, device, live=live)


@cli.command()
@click.option("--quick", is_flag=True, help="A few tiny networks in about a minute: shows that all of it works.")
@_results
@as_json_option
def demo(quick: bool, results: Path, as_json: bool) -> None:
    """Prune a CNN for MNIST on this very machine, in about five minutes."""
    from joulefront.study_file import demo_file

    _search(demo_file(quick=quick), results, as_json)


def _search(study: Path, results: Path, as_json: bool, device: str | None = None, *, live: bool = False) -> None:
    from joulefront.report import documents, tables
    from joulefront.report.progress import progress
    from joulefront.results import read
    from joulefront.study import open_bench, run

    with results_only(), _live(study, results, device) if live else progress() as listener:
        folder = run(study, results, listener, open_bench, device=device)
    show(documents.front(read(folder)), as_json, tables.front)
    if not as_json:
        click.echo(f"Everything is in {folder}; 'joulefront report {folder}' draws it.")


def _live(study: Path, results: Path, device: str | None) -> LiveListener | ProgressLines:
    from joulefront.config import StudyConfig, parse, study_text
    from joulefront.report.live import live_progress

    return live_progress(results / parse(study_text(study, device), StudyConfig, source=str(study)).name)
