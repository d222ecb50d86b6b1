"""A pruned model as a folder: its weights, what rebuilds it in torch, and a card that says how it came about."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from joulefront.bench import outputs
from joulefront.cache import require_room
from joulefront.compiled import checkable
from joulefront.errors import JoulefrontError
from joulefront.export import card, folder, onnx, weights
from joulefront.protocols import Task
from joulefront.prune.storage import serialised
from joulefront.prune_records import Pruned, Recovery, Removal
from joulefront.records import Array
from joulefront_agent import wire

FORMAT = 1
"""Goes up when a key's meaning changes."""

_SCRIPTS = {
    "rebuild.py": ("joulefront.export.scripts", "rebuild.py"),
    "pruned_layers.py": ("joulefront.prune", "resize.py"),
}
_ROOM_B = 2**20


def require_room_for(out: Path, model: nn.Module) -> None:
    """Raises ConfigError when ``out`` exists, and StoreError when there is no room for a pruned ``model``: before any work."""
    folder.require_new(out)
    size_b = sum(tensor.nbytes for tensor in model.state_dict().values())
    above = next(parent for parent in out.absolute().parents if parent.is_dir())
    require_room(above, 2 * size_b + _ROOM_B)


def write(
    out: Path, pruned: Pruned, task: Task, name: str, removals: Sequence[Removal], recovery: Recovery, *, as_onnx: bool
) -> dict[str, Any]:
    """Write the pruned model of the task ``name`` into the new folder ``out``; returns its card, and ``out``.

    With ``as_onnx`` as an ONNX file, too; where that cannot be made, the card and a warning say why. The card's keys are those
    of ``Pruned.document``, and ``task``, ``removals`` and ``recovery`` as they were asked for, ``inputs``, ``outputs``,
    ``check``, ``onnx``, ``versions``, ``created`` and ``files`` as on the card of an exported network.

    Raises ConfigError when ``out`` exists, StoreError when the disk refuses: then nothing is left of it.
    """
    given, made = checkable(pruned.model, task.example)
    inputs, expected = _named("input", given), _named("output", made)
    warnings = list(pruned.warnings)
    files = {
        "weights.safetensors": weights.with_widths(serialised(pruned.model.state_dict()), pruned.pruning.widths),
        "check.safetensors": safetensors.numpy.save({**inputs, **expected}),
        **{
            script: importlib.resources.files(package).joinpath(file).read_bytes()
            for script, (package, file) in _SCRIPTS.items()
        },
    }
    about: dict[str, Any] = {"file": None, "reason": "it was not asked for (--onnx)"}
    if as_onnx:
        data, about = _onnx(pruned.model, task, inputs, expected)
        if data is None:
            warnings.append(f"there is no ONNX file: {about['reason']}")
        else:
            files["model.onnx"] = data
    document = {
        "format": FORMAT,
        "task": name,
        **pruned.document(),
        "warnings": warnings,
        "removals": [_plain(asdict(removal)) for removal in removals],
        "recovery": recovery.model_dump(),
        "inputs": _described(inputs),
        "outputs": _described(expected),
        "check": {"file": "check.safetensors", "tolerance": outputs.TOLERANCE},
        "onnx": about,
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            **{package: importlib.metadata.version(package) for package in ("joulefront", "torch", "torch-pruning")},
        },
        "threads": torch.get_num_threads(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": card.listed(files),
    }
    files["card.json"] = json.dumps(document, indent=2, allow_nan=False).encode()
    folder.write(out, files)
    return {**document, "out": str(out)}


def _onnx(
    model: nn.Module, task: Task, inputs: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]
) -> tuple[bytes | None, dict[str, Any]]:
    """The model as ONNX, checked where onnxruntime is installed, and what the card says of it."""
    try:
        data, opset = onnx.as_onnx(model, task.example, inputs=list(inputs), outputs=list(expected))
        verified = onnx.ran(data, inputs)
        if verified is not None:
            wanted = [Array(part.shape, str(part.dtype), part.tobytes()) for part in expected.values()]
            returned = [wire.Tensor(part.shape, str(part.dtype), part.tobytes()) for part in verified[1]]
            outputs.check("model.onnx", wanted, returned)
    except JoulefrontError as error:
        return None, {"file": None, "reason": str(error)}
    by, reason = (verified[0], None) if verified else (None, "onnxruntime is not installed: not run")
    return data, {
        "file": "model.onnx",
        "reason": None,
        "opset": opset,
        "verified_by": by,
        "verified_reason": reason,
    }


def _named(prefix: str, parts: Sequence[Tensor]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}{index}": part.detach().contiguous().numpy() for index, part in enumerate(parts)}


def _described(arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()]


def _plain(removal: dict[str, Any]) -> dict[str, Any]:
    """A removal as JSON can have it."""
    plugins = {name: removal[name] and removal[name].model_dump() for name in ("criterion", "schedule")}
    return {**removal, **plugins, "exclude": list(removal["exclude"])}
