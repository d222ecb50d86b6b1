"""The verbs about results: one short function each. None of them needs torch or tvm, but for what measures or exports."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from joulefront.terminal import as_json_option, devices_option, results_only, show

_study = click.argument("folder", type=click.Path(path_type=Path))
_file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@_study
@as_json_option
def front(folder: Path, as_json: bool) -> None:
    """Print the Pareto front of the study whose results are in FOLDER."""
    from joulefront.report import documents, tables
    from joulefront.results import read

    show(documents.front(read(folder)), as_json, tables.front)


@click.command()
@_study
@click.option("--out", type=_file, help="The page's file; FOLDER/report.html by default.")
@click.option("--figure", type=_file, help="Draw the front alone instead, for a paper: a .png, .svg or .pdf file.")
def report(folder: Path, out: Path | None, figure: Path | None) -> None:
    """Write a page about the study in FOLDER: its front, every trial, and how the numbers were made."""
    from joulefront.results import read

    results = read(folder)
    if figure is not None:
        from joulefront.report.figure import draw

        draw([results], figure)
        click.echo(f"{figure} is drawn")
        if out is None:
            return
    from joulefront.report.page import study_page, write

    page = out or folder / "report.html"
    write(page, study_page(results))
    click.echo(f"{page} is written; any browser opens it")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--remeasure", is_flag=True, help="First measure each study's front on the devices of the others.")
@click.option("--html", type=_file, help="Write a page as well.")
@click.option("--figure", type=_file, help="Draw the fronts as well, for a paper: a .png, .svg or .pdf file.")
@click.option("--from", "moved", type=click.Path(path_type=Path), help="Where the study files lie, if they were moved.")
@devices_option
@as_json_option
def compare(
    folders: tuple[Path, ...],
    remeasure: bool,
    html: Path | None,
    figure: Path | None,
    moved: Path | None,
    as_json: bool,
) -> None:
    """Compare the fronts of the studies in FOLDERS, two or more: which networks are good on which device."""
    from joulefront.comparison import compare as compared
    from joulefront.report import comparison_document
    from joulefront.report.comparison_table import table
    from joulefront.results import read

    if remeasure:
        from joulefront.remeasure import remeasure as measure_again
        from joulefront.report.progress import progress
        from joulefront.study import open_bench

        with results_only(), progress() as listener:
            measure_again(folders, listener, open_bench, moved=moved)
    studies = [read(folder) for folder in folders]
    document = comparison_document.document(compared(studies))
    if html is not None:
        from joulefront.report.page import comparison_page, write

        write(html, comparison_page(studies, document))
    if figure is not None:
        from joulefront.report.figure import draw

        draw(studies, figure)
    show(document, as_json, table)


@click.command()
@_study
@click.option(
    "--pick",
    required=True,
    help='knee, a trial\'s number, limits such as "latency_s<0.01", or weights such as "weighted:error=0.6,latency_s=0.4", '
    "each over the front's own range (they find no network in a concave part of a front).",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The folder to write, which must not exist."
)
@click.option("--from", "moved", type=click.Path(path_type=Path), help="Where the study file lies, if it was moved.")
@as_json_option
def export(folder: Path, pick: str, out: Path, moved: Path | None, as_json: bool) -> None:
    """Write a network of the settled front in FOLDER as files to deploy."""
    from joulefront.report.progress import progress
    from joulefront.report.shipped import shipped
    from joulefront.ship import ship

    with results_only(), progress() as listener:
        document = ship(folder, pick, out, listener, moved=moved)
    show(document, as_json, shipped)


@click.command()
@_study
@click.argument("number", type=click.IntRange(min=0), required=False)
@click.option("--csv", "form", flag_value="csv", help="All trials as CSV, to stdout.")
@click.option("--parquet", "form", flag_value="parquet", help="All trials as Parquet, to stdout.")
@as_json_option
def trials(folder: Path, number: int | None, form: str | None, as_json: bool) -> None:
    """Print all trials of the study in FOLDER, or the whole journey of trial NUMBER."""
    from joulefront.report import documents, journey
    from joulefront.report.trials import table
    from joulefront.results import read

    if form and (as_json or number is not None):
        raise click.UsageError(f"--{form} is of all trials, and goes with neither --json nor a number")
    results = read(folder)
    if number is not None:
        show(journey.document(results, number), as_json, journey.lines)
    elif form is None:
        show(documents.trials(results), as_json, table)
    else:
        from joulefront.report import rows

        if form == "parquet" and sys.stdout.isatty():
            raise click.UsageError("--parquet writes bytes: send them to a file, by > trials.parquet")
        click.echo(rows.as_csv(results) if form == "csv" else rows.as_parquet(results), nl=False)


@click.command()
@_study
def watch(folder: Path) -> None:
    """Watch the front of the study in FOLDER grow, until it is settled or Ctrl-C; the search itself goes on.

    On the machine that is measured, watching takes about a hundredth of a core: rather watch from another one.
    """
    from joulefront.report.live import watch as watch_study

    watch_study(folder)


VERBS = (front, report, compare, export, trials, watch)
