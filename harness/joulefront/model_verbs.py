"""The verbs about one model, without a search: one short function each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from joulefront.terminal import as_json_option, devices_option, named, results_only, show

_shapes = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=N,N,…",
    help="The shape of an ONNX file's input, where the file leaves it open: x=1,3,48,192. May be repeated.",
)
_share = click.FloatRange(min=0, max=1, min_open=True, max_open=True)


@click.command()
@click.argument("model", callback=named)
@click.option("--device", default="local", show_default=True, help="The device to measure on.")
@_shapes
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of one inference.")
@devices_option
@as_json_option
def measure(model: str, device: str, shapes: tuple[str, ...], threads: int, as_json: bool) -> None:
    """Compile MODEL, an ONNX file or the model of a task, for a device and time it there, without a search.

    A task is file.py:object, module:object or a ready-made name. Of an ONNX file the batch is 1 where it is open.
    """
    from joulefront.measure import measure as measure_model
    from joulefront.report import documents, tables
    from joulefront.report.progress import progress

    with results_only(), progress() as listener:
        artifact, measured = measure_model(model, device, threads, listener, shapes)
    show(documents.model(device, artifact, measured), as_json, tables.measurement)


@click.command()
@click.argument("device")
@click.argument("model", callback=named)
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=180.0, show_default=True, help="Try variants for so long."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of one inference.")
@_shapes
@devices_option
@as_json_option
def tune(device: str, model: str, seconds: float, threads: int, shapes: tuple[str, ...], as_json: bool) -> None:
    """Find on DEVICE how the kernels of MODEL run quickest there; searches and measurements use it from then on."""
    from joulefront.report import documents, tables
    from joulefront.report.progress import progress
    from joulefront.tune import tune as tune_model

    with results_only(), progress() as listener:
        tuned = tune_model(model, device, threads, seconds, listener, shapes)
    show(documents.tuned(device, tuned), as_json, tables.tuned)


@click.command()
@click.argument("model", callback=named)
@click.option(
    "-g",
    "--granularity",
    type=click.Choice(["channel", "head", "weight", "block"]),
    multiple=True,
    default=("channel",),
    show_default=True,
    help="What goes: channels, filters, neurons and hidden units with all that is coupled to them; attention heads; single "
    "weights, which become zero; whole residual blocks. Repeated, one after the other, each beginning with what the one "
    "before left.",
)
@click.option(
    "--ratio",
    type=float,
    multiple=True,
    help="The share that goes, above 0 and below 1. Of several granularities, one for all or one for each; so are --of, "
    "--scope, --criterion and --schedule. A criterion with a threshold needs none.",
)
@click.option(
    "--of",
    type=click.Choice(["units", "macs", "params"]),
    multiple=True,
    default=("units",),
    show_default=True,
    help="Of what: of the channels, heads, weights or blocks; of the multiply-accumulates; of the parameters.",
)
@click.option(
    "--scope",
    type=click.Choice(["uniform", "global"]),
    multiple=True,
    default=("uniform",),
    show_default=True,
    help="The same share of each group or layer, or whatever ranks lowest among all of them.",
)
@click.option(
    "--group", multiple=True, metavar="NAME=SHARE", help="A share of its own for a group or layer, or all below a name."
)
@click.option(
    "--criterion",
    multiple=True,
    help='What judges: a name, package.module:object, file.py:object, or a table with arguments: \'{kind = "relative-threshold", '
    "cutoff = 0.1}'. By default l2, and contribution for blocks.",
)
@click.option(
    "--schedule",
    multiple=True,
    help="When: one-shot (the default), iterative, gradual, adaptive, or your own; a name or a table, as --criterion.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Of an iterative schedule; alone it asks for one.")
@click.option(
    "--floor-accuracy",
    type=float,
    help="Stop before the validation accuracy falls below this, of 1; for the schedules iterative and adaptive.",
)
@click.option("--exclude", multiple=True, metavar="NAME", help="Leave this layer, or all below this name, alone.")
@click.option(
    "--multiple",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Widths are multiples of this. No device is asked here: 8 or 16 suits the vectors of most.",
)
@click.option(
    "--floor", type=_share, help="The smallest share of a group's channels or heads that stays; by default 0.1."
)
@click.option(
    "--epochs",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="Of fine-tuning, after each step; BatchNorm's statistics are taken anew before.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=0.02,
    show_default=True,
    help="The peak of fine-tuning's (SGD).",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--distil",
    type=click.FloatRange(min=0, max=1),
    default=0.0,
    show_default=True,
    help="The share of fine-tuning's loss that is the distance to the unpruned model's outputs.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    help="Of distillation: higher tells more of the unlikely classes.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    help="End fine-tuning after so many epochs without a lower loss on a tenth of the train split, held out for it.",
)
@click.option(
    "--compute",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where fine-tuning computes; auto is a GPU of this machine where torch has one.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of whatever is drawn.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The new folder to write; pruned/ and MODEL's name by default."
)
@click.option("--onnx", is_flag=True, help="Write the pruned model as an ONNX file as well.")
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the widths that are left as well: a .png, .svg or .pdf file.",
)
@as_json_option
def prune(
    model: str, seed: int, out: Path | None, onnx: bool, figure: Path | None, as_json: bool, **options: Any
) -> None:
    """Prune MODEL, recover it, and write it into a folder; no device is needed.

    MODEL is a task: file.py:object, module:object or a ready-made name. docs/pruning.md explains what there is to choose.
    """
    from joulefront.config import Plugin
    from joulefront.loaded import load_task
    from joulefront.prune_model import prune as prune_model
    from joulefront.prune_options import recovery, removals
    from joulefront.pruned_folder import require_room_for, write
    from joulefront.report.progress import progress
    from joulefront.report.prune_table import table
    from joulefront.study_file import name_of

    if figure is not None:
        from joulefront.report import canvas

        canvas.check(figure)  # rather now than when all is done
    folder = out or Path("pruned") / name_of(model)
    asked, how = removals(options), recovery(options)
    with results_only(), progress() as listener:
        listener.stage(f"reading {model}")
        task = load_task(Plugin(kind=model), Path.cwd(), needs_data=False)
        require_room_for(folder, task.model)
        if figure is not None:
            from joulefront.prune.groups import find_groups
            from joulefront.report import widths_figure

            full = {group.name: group.channels for group in find_groups(task.model, task.example).groups}
            widths_figure.check(full, figure)
        listener.stage(f"pruning {model}")
        pruned = prune_model(task, *asked, recovery=how, seed=seed, listener=listener, folder=Path.cwd())
        listener.stage(f"writing {folder}")
        document = write(folder, pruned, task, model, asked, how, as_onnx=onnx)
    if figure is not None:
        left = document["pruned"]["macs"] / document["unpruned"]["macs"]
        widths_figure.draw(
            full, pruned.pruning, f"{model}: {left * 100:.0f} % of the multiply-accumulates left", figure
        )
    show(document, as_json, table)


VERBS = (measure, tune, prune)
