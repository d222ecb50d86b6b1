"""Study files that the project writes or ships: the commented one of ``joulefront init``, and the demo's."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from joulefront.config import Plugin, StudyConfig, parse
from joulefront.errors import ConfigError
from joulefront_devices import load as load_device

_WIDTH = 100


def write(out: Path, *, task: str, device: str) -> None:
    """Write a study file for ``task`` and ``device`` to ``out``: every setting with its default and what it does.

    Raises ConfigError when ``out`` exists, since a user's file is never overwritten, or cannot be written; for a task that
    a search could not use; and for a device that is not known.
    """
    from joulefront.loaded import load_task

    if out.exists():
        raise ConfigError(f"{out} exists: give another file with --out, or remove it")
    text = _text(name_of(task), _relative_task(task, out.parent), _relative_device(device, out.parent))
    study = parse(text, StudyConfig, source=str(out))
    load_device(study.device, folder=out.parent)
    load_task(study.task, out.parent, needs_data=True)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}") from error


def demo_file(*, quick: bool) -> Path:
    """The demo's study file, which the package holds."""
    name = "demo-quick.toml" if quick else "demo.toml"
    return Path(str(importlib.resources.files("joulefront") / "studies" / name))


def _text(name: str, task: str, device: str) -> str:
    given = {"name": name, "device": device}
    lines = [
        "# A study of Joulefront: which pruned networks trade accuracy, latency and energy best on one device.",
        "",
    ]
    tables: list[tuple[str, str, BaseModel]] = []
    for key, field in StudyConfig.model_fields.items():
        value = Plugin(kind=task) if key == "task" else given.get(key, field.default)
        if isinstance(value, BaseModel):
            tables.append((key, field.description or (type(value).__doc__ or "").splitlines()[0], value))
        else:
            lines += _setting(key, value, field.description)
    for key, about, table in tables:
        lines += ["", *_comment(about), f"[{key}]"]
        for name, known in type(table).model_fields.items():
            described = known.description if type(table) is not Plugin else None
            lines += _setting(name, getattr(table, name), described)
    return "\n".join(lines) + "\n"


def _setting(key: str, value: Any, about: str | None) -> list[str]:
    line = f"# {key} =" if value is None else f"{key} = {_toml(value)}"
    return [*(_comment(about) if about else []), line]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _toml(value: Any) -> str:
    """A plain value as TOML writes it, which for these is as JSON does."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def name_of(task: str) -> str:
    """A name for a study or a folder from the task's: ``my_model`` of ``path/my_model.py:task``."""
    module = task.partition(":")[0]
    stem = Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem.replace("_", "-")).lstrip(".-") or "study"


def _relative_task(task: str, folder: Path) -> str:
    """``task`` as the study file in ``folder`` has to name it."""
    file, colon, attribute = task.rpartition(":")
    return f"{_relative(file, folder)}{colon}{attribute}" if file.endswith(".py") else task


def _relative_device(device: str, folder: Path) -> str:
    """``device`` as the study file in ``folder`` has to name it."""
    return _relative(device, folder) if device.endswith(".toml") else device


def _relative(file: str, folder: Path) -> str:
    return file if Path(file).expanduser().is_absolute() else os.path.relpath(file, folder)
