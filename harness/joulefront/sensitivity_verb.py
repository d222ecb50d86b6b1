"""The verb that tells what each part of a model is worth and costs."""

from __future__ import annotations

from pathlib import Path

import click

from joulefront.terminal import as_json_option, devices_option, named, results_only, show


@click.command()
@click.argument("model", callback=named)
@click.option("--device", help="Measure the latency of each network on this device; without it none is shown.")
@click.option(
    "--widths", type=click.IntRange(min=1), default=4, show_default=True, help="So many widths of each group."
)
@click.option(
    "--criterion",
    default="l2",
    show_default=True,
    help="What judges which channels go: a name, package.module:object, file.py:object, or a table with arguments: "
    '\'{kind = "standard-score", of = "outputs"}\'.',
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    help="Judge by so many of the validation split's examples; by default all.",
)
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw it as well: a .png, .svg or .pdf file.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of one inference.")
@devices_option
@as_json_option
def sensitivity(
    model: str,
    device: str | None,
    widths: int,
    criterion: str,
    examples: int | None,
    figure: Path | None,
    threads: int,
    as_json: bool,
) -> None:
    """Cut each part of MODEL alone, and tell what it is worth and, with a device, what it costs there.

    MODEL is a task: file.py:object, module:object or a ready-made name. Its parts are groups of coupled channels, heads and
    hidden units, each at several widths, and its residual blocks, each taken out. Nothing is fine-tuned, or written but the
    figure.
    """
    from joulefront.prune_options import plugin
    from joulefront.report import sensitivity_document, sensitivity_table
    from joulefront.report.progress import progress
    from joulefront.sensitivity import Wanted
    from joulefront.sensitivity import sensitivity as look

    if figure is not None:
        from joulefront.report import canvas

        canvas.check(figure)  # rather now than in some minutes
    with results_only(), progress() as listener:
        wanted = Wanted(model, plugin(criterion, "--criterion"), widths, examples)
        found = look(wanted, device, threads, listener)
    document = sensitivity_document.document(found)
    if figure is not None:
        from joulefront.report.sensitivity_figure import draw

        draw(document, figure)
    show(document, as_json, sensitivity_table.table)


VERBS = (sensitivity,)
