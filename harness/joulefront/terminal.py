"""What the verbs of the command line share: their options, where results go, and questions to the user."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from joulefront.report.visible import all_visible, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

# Of what is no terminal.
_WIDTH = 120

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def _use_folder(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:  # by way of the environment, which the workers and whatever else is started have too
        os.environ["JOULEFRONT_DEVICES"] = str(value.expanduser().absolute())


devices_option = click.option(
    "--devices",
    type=click.Path(path_type=Path, file_okay=False),
    callback=_use_folder,
    expose_value=False,
    help="The folder of the registered devices, instead of $JOULEFRONT_DEVICES or the user's own.",
)


def named(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """The callback of an argument that names a task, which must not be empty."""
    if not value.strip():
        raise click.BadParameter("expected file.py:object, module:object or a ready-made name", context, parameter)
    return value


@contextmanager
def results_only() -> Iterator[None]:
    """Meanwhile, whatever anybody prints goes to stderr: stdout is for results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def show(document: Any, as_json: bool, table: Callable[[Any], RenderableType]) -> None:
    """Print a result: the ``document`` itself as JSON, which escapes what a device may have written into it, or as the
    ``table`` that people read."""
    if as_json:
        click.echo(json.dumps(document, indent=2, allow_nan=False))
        return
    shown = table(all_visible(document))
    if isinstance(shown, str):  # lines that are not to be broken, since they hold commands to copy
        click.echo(shown)
        return
    from rich.console import Console

    # Where there is no terminal there is no width either: a table need not be squeezed into 80 columns.
    Console(markup=False, width=None if sys.stdout.isatty() else _WIDTH).print(shown, highlight=False)


class Questions(Protocol):
    """Somebody who can be asked."""

    def agree(self, question: str) -> bool:
        """Whether the user says yes."""
        ...

    def secret(self, question: str) -> str:
        """What the user types unseen."""
        ...

    def tell(self, what: str) -> None:
        """Say what was done."""
        ...


class Terminal:
    """The user at the terminal."""

    def agree(self, question: str) -> bool:
        """See Questions."""
        return click.confirm(visible(question), err=True)

    def secret(self, question: str) -> str:
        """See Questions."""
        return str(click.prompt(visible(question), hide_input=True, err=True))

    def tell(self, what: str) -> None:
        """See Questions."""
        click.echo(visible(what), err=True)


def questions() -> Questions | None:
    """The user, or None where nobody sits at a terminal."""
    return Terminal() if sys.stdin.isatty() and sys.stderr.isatty() else None


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that the user gave."""
    return {name: value for name, value in options.items() if value is not None}
