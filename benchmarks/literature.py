"""The literature's MNIST CNN, pruned by weights, by structure and by both, measured on this machine. Prints JSON.

    python benchmarks/literature.py [--folder DIR] [--evaluations N] [--data mnist,fashion] [--report]

What it stands beside, a CNN of two convolutions and two dense layers with the accuracy, size, time and energy of a test run:
99.2 %, 11.3 MB, 3.5 s, 560 J unpruned; weights by an absolute threshold 98.5 %, 7.8 MB, 2.7 s, 410 J; structure 97.8 %,
6.5 MB, 2.4 s, 340 J; both 98.0 %, 6.9 MB, 2.5 s, 360 J. Absolute
figures are another machine's, so shares of the unpruned network are compared.

On Fashion-MNIST's 10,000 test images, and on MNIST-5k by five folds whose test splits are all of its 5,000 images. For each, a
study (NSGA-II over the widths, error, latency and library size) searches on this machine; of its front, that network is taken
that is quickest and smallest (by the product of the two shares) among those that lose at most --slack points on the validation
split: no test image has a say. Beside it: the same CNN with --zeros of its weights gone by magnitude (the absolute threshold
of each layer that leaves so many), and the study's network with as many of its own gone. All four are fine-tuned alike and
measured in one session, in turns. It goes on where it was interrupted.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import literature_tasks
import torch
from pruning import packed, paired, unpacked
from this_machine import described, this_target
from torch import Tensor, nn

from joulefront import kept, training
from joulefront.bench.bench import Bench
from joulefront.cache import Cache, key_of, write_durably
from joulefront.compiled import compiled_model, load_compiler
from joulefront.config import CompileConfig, MeasureConfig
from joulefront.loaded import model_key
from joulefront.protocols import Task
from joulefront.prune.candidate import Remembered, prune
from joulefront.prune.criteria.magnitudes import L1
from joulefront.prune.evidence import Evidence
from joulefront.prune.groups import find_groups
from joulefront.prune.masks import masks_of
from joulefront.prune.storage import serialised
from joulefront.prune.weights import load
from joulefront.records import Trial
from joulefront.report.progress import progress
from joulefront.results import Results, read
from joulefront.space_records import Pruning
from joulefront.study import open_bench, run
from joulefront.tuning.database import NOTHING
from joulefront_devices.device import Device

LITERATURE = {
    "weights": {"points": -0.7, "size": 7.8 / 11.3, "time": 2.7 / 3.5, "energy": 410 / 560},
    "structure": {"points": -1.4, "size": 6.5 / 11.3, "time": 2.4 / 3.5, "energy": 340 / 560},
    "hybrid": {"points": -1.2, "size": 6.9 / 11.3, "time": 2.5 / 3.5, "energy": 360 / 560},
}
EPOCHS = {"mnist": 6.0, "fashion": 6.0}
"""Of fine-tuning, of everything that is compared."""
ROUNDS = 3
"""Measurements of each network at full grade, in turns."""


def study_text(data: str, fold: int, evaluations: int) -> str:
    """The study of one data set."""
    tasks = Path(__file__).with_name("literature_tasks.py")
    kind = f"{tasks}:mnist_fold" if data == "mnist" else f"{tasks}:fashion_mnist"
    argument = f"fold = {fold}\n" if data == "mnist" else ""
    return (
        f'name = "{data}-{fold}"\nobjectives = ["error", "latency_s", "size_b"]\n'
        f"[task]\nkind = {json.dumps(kind)}\n{argument}"
        f"[recover]\nscreen_epochs = {min(1.0, EPOCHS[data])}\nfull_epochs = {EPOCHS[data]}\n"
        f"[measure]\ntime_s = 2.0\nfull_time_s = 4.0\n"
        f"[search]\nevaluations = {evaluations}\n"
    )


def chosen(study: Results, slack: float) -> Trial:
    """The network of the front that is quickest and smallest for at most so many points lost on the validation split."""
    whole = study.unpruned
    assert whole is not None
    limit = whole.objectives["error"] + slack / 100
    able = [trial for trial in study.front if trial.objectives["error"] <= limit + 1e-9]
    return min(
        able,
        key=lambda trial: math.prod(
            trial.objectives[name] / whole.objectives[name] for name in ("latency_s", "size_b")
        ),
    )


def with_zeros(task: Task, model: nn.Module, share: float, epochs: float) -> nn.Module:
    """The model with that share of each layer's weights gone, the smallest, and fine-tuned."""
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    groups = find_groups(model, task.example)
    small = prune(
        model, task.example, Pruning({}, (), dict.fromkeys(layers, share)), Remembered(L1()), task=task, groups=groups,
        evidence=Evidence(model, task, task.example, groups),
    )  # fmt: skip
    training.fit(
        small, task, epochs=epochs, learning_rate=0.02, batch_size=64, seed=0, masks=masks_of(small),
        precision=training.resolve_precision("auto"), device="cpu",
    )  # fmt: skip
    return small


def one(folder: Path, data: str, fold: int, options: argparse.Namespace) -> dict[str, Any]:
    """All four networks of one data set."""
    file = folder / f"{data}-{fold}.toml"
    file.write_text(study_text(data, fold, options.evaluations))
    with progress() as listener:
        study = read(run(file, folder / "studies", listener, open_bench))
    task = literature_tasks.mnist_fold(fold) if data == "mnist" else literature_tasks.fashion_mnist()
    trial = chosen(study, options.slack)
    assert trial.candidate is not None
    found = find_groups(task.model, task.example)
    small = load(task.model, task.example, trial.candidate.pruning, kept.weights(study.folder, trial), groups=found)
    networks = {
        "unpruned": task.model,
        "weights": with_zeros(task, task.model, options.zeros, EPOCHS[data]),
        "structure": small,
        "hybrid": with_zeros(task, small, options.zeros, EPOCHS[data]),
    }
    measured = measured_in_turns(task, networks)
    return {
        "pruning": asdict(trial.candidate.pruning),
        "networks": {
            name: {**measured[name], "right": packed(right(model, task)), "images": len(right(model, task)),
                   "weights_b": len(serialised(model.state_dict())),
                   "zeros": share_of_zeros(model)}
            for name, model in networks.items()
        },
    }  # fmt: skip


def measured_in_turns(task: Task, networks: Mapping[str, nn.Module]) -> dict[str, dict[str, Any]]:
    """What each network takes on this machine: medians of rounds in which all have their turn, with their sizes."""
    jobs = {}
    with Bench(Device(name="local"), MeasureConfig(full_time_s=4.0), 1) as bench:
        compiler = load_compiler(CompileConfig(), Path(), bench.target, NOTHING)
        for name, model in networks.items():
            jobs[name] = compiled_model(
                lambda model=model: model, task.example, compiler, bench.target, Cache(),
                key=key_of(model=model_key(model, task.example)), label=name,
            )  # fmt: skip
        rounds: dict[str, list[Any]] = {name: [] for name in jobs}
        for _ in range(ROUNDS):
            for name, made in jobs.items():
                rounds[name].append(bench.measure(made.job, "full"))
    return {
        name: {
            "latency_s": [found.latency_s.value for found in rounds[name]],
            "energy_j": [found.energy_j.value for found in rounds[name] if found.energy_j],
            "energy_reason": rounds[name][0].energy_reason,
            "size_b": made.artifact.size_b,
            "packed_b": made.artifact.packed_b,
        }
        for name, made in jobs.items()
    }


def right(model: nn.Module, task: Task) -> Tensor:
    """Whether each test image is recognised, (n,) bool."""
    found = training.predict(model, task, "test", device="cpu").right
    assert found is not None
    return found


def share_of_zeros(model: nn.Module) -> float:
    """Of the weights of layers."""
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def summary(runs: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Each kind of pruning relative to the unpruned network, over all runs of one data set."""
    flags = {
        name: torch.cat([unpacked(one["networks"][name]["right"], one["networks"][name]["images"]) for one in runs])
        for name in ("unpruned", *LITERATURE)
    }
    whole = float(flags["unpruned"].float().mean())
    rows: dict[str, Any] = {"unpruned": {"accuracy": whole, "images": len(flags["unpruned"])}}
    for name in LITERATURE:
        pairs = [(one["networks"][name], one["networks"]["unpruned"]) for one in runs]
        times, joules = (
            [ours / unpruned for a, b in pairs for ours, unpruned in zip(a[figure], b[figure], strict=True)]
            for figure in ("latency_s", "energy_j")
        )
        rows[name] = {
            "accuracy": float(flags[name].float().mean()),
            "change": paired([flags["unpruned"]], [flags[name]]),
            "time": {"median": statistics.median(times), "lowest": min(times), "highest": max(times)},
            **{
                size: statistics.mean(a[size] / b[size] for a, b in pairs)
                for size in ("size_b", "packed_b", "weights_b")
            },
            "zeros": statistics.mean(ours["zeros"] for ours, _ in pairs),
            "energy": statistics.median(joules) if joules else None,
            "energy_reason": pairs[0][0]["energy_reason"],
            "literature": LITERATURE[name],
        }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("results/benchmark-literature"))
    parser.add_argument("--evaluations", type=int, default=24)
    parser.add_argument("--data", default="mnist,fashion")
    parser.add_argument("--slack", type=float, default=0.3, help="points that may be lost on the validation split")
    parser.add_argument("--zeros", type=float, default=0.8)
    parser.add_argument("--report", action="store_true", help="print what is there, and run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)  # what comes out depends on it
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "runs.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for data in options.data.split(","):
        for fold in range(literature_tasks.FOLDS if data == "mnist" else 1):
            key = f"{data}/{fold}"
            if key not in found and not options.report:
                found[key] = one(options.folder, data, fold, options)
                write_durably(file, json.dumps(found).encode())
                print(f"{key} is done", file=sys.stderr, flush=True)
    rows = {
        data: summary([found[key] for key in sorted(found) if key.startswith(f"{data}/")])
        for data in options.data.split(",")
        if any(key.startswith(f"{data}/") for key in found)
    }
    print(json.dumps({"machine": described(this_target(1)), "epochs": EPOCHS, "zeros": options.zeros,
                      "slack_points": options.slack, "evaluations": options.evaluations, "data": rows}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
