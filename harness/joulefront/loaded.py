"""What a user's file names, loaded and checked: a task, and the model that a study searched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from joulefront import plugins, tasks
from joulefront.cache import short
from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.protocols import Task
from joulefront.prune.space import export
from joulefront.results import Results
from joulefront.tasks.task import check


def load_task(plugin: Plugin, folder: Path, *, needs_data: bool) -> Task:
    """The task that ``plugin`` names, checked. Raises ConfigError."""
    return check(plugins.build(plugin, tasks.READY, folder=folder, where="[task]"), needs_data=needs_data)


def load_searched(study: Results, moved: Path | None = None) -> Task:
    """The task whose model a study searched, from where its file lay then or, now, in the folder ``moved``.

    Raises ConfigError when it cannot be had or holds another model.
    """
    folder = moved or study.origin
    if folder is None:
        raise ConfigError(f"{study.folder} does not tell where its study file lay: name that folder with --from")
    try:
        task = load_task(study.study.task, folder, needs_data=False)
    except ConfigError as error:
        raise ConfigError(
            f"{error}; if the files of {study.folder} were moved, name their folder with --from"
        ) from error
    if short(model_key(task.model, task.example)) != study.facts["task"]["model"]:
        raise ConfigError(
            f"[task] {study.study.task.kind} in {folder} is another model than {study.folder} searched: put back its code "
            "and weights, or name the folder that has them with --from"
        )
    return task


def model_key(model: nn.Module, example: tuple[Tensor, ...]) -> str:
    """A hash of what a model computes at the shapes of ``example``: its exported graph and every tensor in it.

    Raises PruneError when torch.export does not take the model.
    """
    program = export(model, example)
    digest = hashlib.sha256(str(program.graph).encode())
    tensors = {**program.state_dict, **program.constants}
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
