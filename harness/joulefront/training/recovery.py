"""What a network goes through when it was cut."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from joulefront.config import FineTuning
from joulefront.protocols import Task
from joulefront.training.batch_norm import recalibrate
from joulefront.training.device import resolve_device, resolve_precision
from joulefront.training.loop import fit
from joulefront.training.zeros import Masks


def recover(
    model: nn.Module,
    task: Task,
    config: FineTuning,
    *,
    epochs: float,
    seed: int,
    masks: Masks | None = None,
    on_step: Callable[[int, int], Masks | None] | None = None,
) -> None:
    """Give ``model``, cut of the task's own, its accuracy back in place: BatchNorm's statistics, then ``epochs`` of ``fit``.

    ``masks`` and ``on_step`` are as there; with ``on_step`` nothing was cut yet, and the statistics follow the fine-tuning.
    The teacher of a distillation is the task's own model. Raises as ``recalibrate``, ``fit`` and ``resolve_device``.
    """
    device = resolve_device(config.device)
    if on_step is None:
        batches = config.recalibrate_batches
        recalibrate(model, task, batches=batches, batch_size=config.batch_size, seed=seed, device=device)
    fit(
        model,
        task,
        epochs=epochs,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        seed=seed,
        precision=resolve_precision(config.precision, device),
        device=device,
        teacher=task.model if config.distillation else None,
        temperature=config.temperature,
        distillation=config.distillation,
        patience=config.patience,
        masks=masks,
        on_step=on_step,
    )
