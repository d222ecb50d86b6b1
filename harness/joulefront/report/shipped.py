"""An exported network, for people: which it is, what it does, what was written, and what to do with it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from joulefront.report.estimated import in_words
from joulefront.report.pruned import pruning_words
from joulefront.report.units import percent


def shipped(document: Mapping[str, Any]) -> str:
    """What ``ship`` returns, as lines."""
    target, onnx, out = document["target"], document["onnx"], document["out"]
    unpruned = ", the unpruned network" if document["unpruned"] else ""
    energy_j = document["energy_j"]
    lines = [
        ("network", f"trial {document['trial']} of {document['study']}{unpruned}: {document['picked_because']}"),
        ("pruned to", ", ".join(pruning_words(document, named=True))),
        ("accuracy", _accuracy(document["scores"])),
        ("latency", f"{_milli(document['latency_s'], 'ms')} on {document['device']['name']}"),
        ("energy", _milli(energy_j, "mJ") if energy_j else f"none: {document['energy_reason']}"),
        *_metered(document["energy"]),
        ("runs on", f"{target['cpu']}, {target['triple']}, {_threads(target['threads'])}"),
        ("ONNX", _onnx(onnx)),
        *(("warning", warning) for warning in document["warnings"]),
        ("folder", f"{out}: {len(document['files']) + 1} files, {_size(document['files'])}"),
    ]
    return "\n".join(
        [
            *(f"{label:10}{text}" for label, text in lines),
            f"Copy the folder to the device, and there: python3 {shlex.quote(PurePath(out).name + '/run.py')}",
        ]
    )


def _accuracy(scores: Mapping[str, Any]) -> str:
    said = []
    for split, score in scores.items():
        if score is not None:
            low, high = score["interval"]
            said.append(
                f"{percent(score['metric'])} on the {split} split's {score['examples']:,} examples "
                f"(95 % interval {percent(1 - high)} to {percent(1 - low)})"
            )
    return ", ".join(said)


def _milli(estimate: Mapping[str, Any], unit: str) -> str:
    return f"{in_words(estimate, unit)}, {estimate['provenance']}"


def _metered(energy: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if energy is None:
        return []
    net = f"; net {_milli(energy['net_j'], 'mJ')}" if energy["net_j"] else ""
    return [("", f"gross, by {energy['meter']}: {energy['covers']}{net}")]


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def _onnx(about: Mapping[str, Any]) -> str:
    if about["file"] is None:
        return "none"  # a warning says why
    if about["verified_by"] is None:
        return f"opset {about['opset']}, not verified: {about['verified_reason']}"
    return f"opset {about['opset']}, gives torch's output in {about['verified_by']}"


def _size(files: Mapping[str, Any]) -> str:
    return f"{sum(file['size_b'] for file in files.values()) / 1e6:.1f} MB"
