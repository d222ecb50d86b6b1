"""The card of an exported network: what it is, what it was measured to do, and how each number was made.

    study, trial, unpruned, genome, picked_because            which network, and why this one
    widths, dropped, sparsity, criterion                      what is pruned: channels by layer, blocks, shares of zeros by layer
    task                                                      the model and its data, as the study names them
    scores           by split: metric (1 is perfect); error = 1 - metric, with its 95 % interval; examples; the loss; of a
                     classifier macro: 1 less the average of precision, recall and F1 over its classes, with intervals
    latency_s        of one inference, in s: median, 95 % interval, each repeat's median, grade, provenance
    latency_p99_s    its 99th percentile; null with a latency_p99_reason
    energy_j         of one inference, in J, gross; null with an energy_reason
    energy           what the joules are made of: meter, covers, factor (its calibration), net_j (beyond idling) or a net_reason,
                     power_w, idle_w, inferences_per_j, energy_delay_js, parts (half the interval, as shares), windows (their
                     count); null where that is not known. An interval that is only indicative has the reason as "indicative"
    memory_b         the most that loading and running it adds to a process, in bytes; null with a memory_reason
    params, macs, size_b, packed_b                            of model.so, size in bytes, and as zlib packs it
    kernels          of model.so: their count, how many were tuned, and the functions of TVM's own loops beside them;
                     null with a kernels_reason
    inputs, outputs  name, shape and dtype, as check.safetensors and model.onnx call them; check: how far from torch's
    device, target, conditions, warnings                      where and how it was measured, and what makes one doubt it
    set_aside        the reasons of repeats that were no measurement and were made again
    onnx             the file, or the reason why there is none; what has verified it, or why nothing has
    runtime, versions, joulefront, created                    what is shipped; what made the network; what wrote this
    files            sha256, size_b and a word about each file but this one

Its keys are stable: some may be added, none is renamed. SI units; what is missing is null, with a reason beside it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from joulefront import derived
from joulefront.kernel_records import Composition
from joulefront.records import Array, Estimate, Job, Measurement, Score, Trial
from joulefront.results import Results

FORMAT = 1
"""Goes up when a key's meaning changes."""

ABOUT = {
    "model.so": "the compiled network, the very bytes that the study timed",
    "libtvm_runtime.so": "TVM's runtime, which model.so needs",
    "libtvm_ffi.so": "the interface to it",
    "LICENSES.txt": "their licences",
    "network.py": "loads and runs model.so from Python, with the standard library alone",
    "run.py": "a program around it: checks, times, and runs the network on files",
    "check.safetensors": "an input and what torch makes of it",
    "weights.safetensors": "the pruned network's weights; the metadata has its widths, and under sparse the shapes of tensors "
    "stored without their zeros: NAME#mask has a bit an element, the lowest of a byte first, NAME#values those that are not zero",
    "rebuild.py": "the pruned network in torch, from your own model and these weights",
    "pruned_layers.py": "what that needs to know of layers",
    "model.onnx": "the same network for other runtimes",
    "README.md": "how to use all this",
}
"""What each file is; card.json lists all but itself."""


def network(results: Results, trial: Trial, job: Job) -> dict[str, Any]:
    """What the study knows about the network: the first part of a card. ``job`` holds the input to check it on."""
    candidate, artifact, measurement = trial.candidate, trial.artifact, trial.measurement
    if candidate is None or artifact is None or measurement is None:
        raise ValueError(f"trial {trial.number} has no outcome")
    target, energy_j = artifact.target, measurement.energy_j
    tail, memory_b = measurement.latency_p99_s, measurement.memory_b
    return {
        "format": FORMAT,
        "study": results.name,
        "trial": trial.number,
        "unpruned": trial.genome == results.space.full,
        "genome": list(trial.genome),
        "widths": dict(candidate.pruning.widths),
        "dropped": list(candidate.pruning.dropped),
        "sparsity": dict(candidate.pruning.sparsity),
        "criterion": candidate.pruning.criterion or None,
        "task": {"kind": results.study.task.kind, "arguments": dict(results.study.task.arguments)},
        "scores": {"validation": _score(candidate.score), "test": _score(trial.test) if trial.test else None},
        "test_reason": None if trial.test else "the test split was not looked at",
        "latency_s": {
            **_estimate(measurement.latency_s),
            "repeats": len(results.repeat_medians_s.get(trial.number, ())),
            "repeat_medians": list(results.repeat_medians_s.get(trial.number, ())),
            "grade": measurement.grade,
            "provenance": measurement.provenance,
        },
        "latency_p99_s": {**_estimate(tail), "provenance": measurement.provenance} if tail else None,
        "latency_p99_reason": measurement.latency_p99_reason,
        "energy_j": {**_estimate(energy_j), "provenance": measurement.energy_provenance} if energy_j else None,
        "energy_reason": measurement.energy_reason,
        "energy": _energy(measurement),
        "memory_b": {**_estimate(memory_b), "provenance": measurement.provenance} if memory_b else None,
        "memory_reason": measurement.memory_reason,
        "params": candidate.params,
        "macs": candidate.macs,
        "size_b": artifact.size_b,
        "packed_b": artifact.packed_b,
        **_kernels(artifact.composition),
        "inputs": _tensors("input", job.inputs),
        "outputs": _tensors("output", job.expected),
        "device": {"name": results.study.device, "facts": dict(results.facts["device"])},
        "target": {
            "architecture": architecture(trial),
            "triple": target.triple,
            "cpu": target.cpu,
            "features": list(target.features),
            "threads": target.threads,
        },
        "conditions": {when: dict(values) for when, values in measurement.conditions.items()},
        "set_aside": list(measurement.set_aside),
        "versions": dict(results.facts["versions"]),
    }


def architecture(trial: Trial) -> str:
    """What the network was compiled for, as the kernel calls it: aarch64, x86_64."""
    assert trial.artifact is not None
    return trial.artifact.target.triple.partition("-")[0]


def listed(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """The files of a folder, each with its sha256, its size in bytes, and what it is."""
    return {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size_b": len(data), "about": ABOUT[name]}
        for name, data in files.items()
    }


def _score(score: Score) -> dict[str, Any]:
    """``interval`` is the error's."""
    interval = [score.error.low, score.error.high]
    return {
        "metric": score.metric,
        "error": score.error.value,
        "interval": interval,
        "examples": score.examples,
        "loss": score.loss,
        "macro": {name: {"value": one.value, "interval": [one.low, one.high]} for name, one in score.macro.items()},
    }


def _kernels(made: Composition) -> dict[str, Any]:
    if not made.kernels and not made.fallbacks:
        return {"kernels": None, "kernels_reason": "its compiler did not tell"}
    tuned = sum(use.tuned for use in made.kernels)
    return {
        "kernels": {"count": len(made.kernels), "tuned": tuned, "fallbacks": len(made.fallbacks)},
        "kernels_reason": None,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = [end if math.isfinite(end) else None for end in (estimate.low, estimate.high)]
    return {"median": estimate.value, "interval": interval, "indicative": estimate.indicative}


def _energy(measured: Measurement) -> dict[str, Any] | None:
    made = measured.energy
    if made is None or measured.energy_j is None:
        return None
    figures = derived.found(measured)
    return {
        "meter": made.meter,
        "covers": made.covers,
        "factor": made.factor,
        **{
            name: {**_estimate(figure), "provenance": derived.provenance(measured, name)} if figure else None
            for name, figure in figures.items()
        },
        "net_reason": made.net_reason,
        "idle_w": {**_estimate(made.idle_w), "provenance": measured.energy_provenance} if made.idle_w else None,
        "parts": dict(made.parts),
        "windows": len(made.windows),
    }


def _tensors(prefix: str, arrays: Sequence[Array]) -> list[dict[str, Any]]:
    """As check.safetensors and model.onnx call them too."""
    return [
        {"name": f"{prefix}{index}", "shape": list(array.shape), "dtype": array.dtype}
        for index, array in enumerate(arrays)
    ]
