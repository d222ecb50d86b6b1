"""A benchmark's network, tuned on this machine by its agent, as ``joulefront tune local`` does."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from joulefront.bench.bench import Bench
from joulefront.compile.sources import kernels_version
from joulefront.config import MeasureConfig
from joulefront.records import Target
from joulefront.report.progress import ProgressLines
from joulefront.subject import TaskModel
from joulefront.tasks import Task
from joulefront.tune import Tuner
from joulefront.tuning.database import Database, Snapshot
from joulefront_devices.device import load


def tuned(
    name: str, model: nn.Module, shape: tuple[int, ...], target: Target, folder: Path, limit_s: float
) -> Snapshot:
    """What is known of this machine after at most about ``limit_s`` of trying this network's kernels. Raises JoulefrontError."""
    database = Database(folder / "local.kernels")
    given = TaskModel(name, Task(model, example=(torch.zeros(shape),)))
    with Bench(load("local"), MeasureConfig(), target.threads) as bench:
        if bench.target != target:
            raise SystemExit("--tune is for this machine as it is: leave out --cpu")
        Tuner(given, bench, database, ProgressLines(Console(stderr=True))).run(limit_s)
    return database.snapshot(target, kernels_version())
