"""What each criterion is worth at equal multiply-accumulates and equal recovery, beside torch-pruning's own pruner. Prints JSON.

    python benchmarks/pruning.py [--folder DIR] [--seeds N] [--epochs E] [--models cnn_bn,resnet20] [--criteria a,b] [--report]

On Fashion-MNIST (Debian's dataset-fashion-mnist). A network of each model is cut to 50 and 30 % of its multiply-accumulates:
torch-pruning's as its README has it (BasePruner with GroupMagnitudeImportance, one share for every layer), by the ratio that
comes nearest below; ours to no more than that one has, by each criterion with the same share of every layer that it can judge
(and once by one global ranking). All are recovered alike: BatchNorm recalibrated, then fine-tuned from the same weights over
the same examples in the same order. A seed draws that order, what criteria see of the data, and the random criterion.
Accuracies are those of the 10,000 test images; what two networks differ by is taken in pairs, image by image, over all seeds.
Every run is kept in the folder as it is done, so the same command goes on where it was stopped; --report prints what is there.
"""

import argparse
import base64
import copy
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from this_machine import described, this_target
from torch import Tensor, nn

from joulefront import plugins, training
from joulefront.cache import write_durably
from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.protocols import Task
from joulefront.prune import READY
from joulefront.prune.candidate import Remembered, prune
from joulefront.prune.cost import Predictor, count
from joulefront.prune.evidence import Evidence, score
from joulefront.prune.groups import find_groups
from joulefront.prune.ratios import Stock, kept, kept_at_cost
from joulefront.space_records import Pruning
from joulefront.tasks.ready_made import fashion_mnist
from joulefront.training.paired import accuracy_change

SHARES = (0.5, 0.3)
"""Of the multiply-accumulates, what is left."""
THEIRS = "torch-pruning"
OURS_GLOBAL = "l2, global"
SUBSET = ("l1", "l2", OURS_GLOBAL, "group-l2", "bn-scale", "taylor", "hessian", "random")
"""Of ResNet-20, whose epoch takes seven times the CNN's."""
LEARNING_RATE, BATCH_SIZE, CALIBRATION_BATCHES = 0.02, 128, 16


def code_of(method: str) -> str:
    """A hash of the criterion's source: what was run with another one is run again."""
    if method == THEIRS:
        return f"torch-pruning {version('torch-pruning')}"
    plugin = Plugin(kind=method.partition(",")[0])
    return plugins.fingerprint(plugin, READY, folder=Path(), where="--criteria")[:16]


def ours(task: Task, criterion: str, aim: int, seed: int) -> nn.Module:
    """The task's model, cut by a criterion of ours to at most so many multiply-accumulates."""
    name, scope = (criterion.partition(",")[0], "global") if criterion == OURS_GLOBAL else (criterion, "uniform")
    arguments = {"seed": seed} if name == "random" else {}
    judge = Remembered(
        plugins.build(Plugin.model_validate({"kind": name, **arguments}), READY, folder=Path(), where="--criteria")
    )
    groups = find_groups(task.model, task.example)
    evidence = Evidence(task.model, task, task.example, groups, seed=seed)
    predicted = Predictor(task.model, task.example, groups)
    stocks = {}
    for group in groups.groups:
        try:
            scores = score(evidence.group(group.name), judge)
        except ConfigError:  # it cannot judge this group, such as one without a BatchNorm: that stays whole
            continue
        stocks[group.name] = Stock(group.channels, scores, least=max(1, group.channels // 16))
    widths = kept_at_cost(
        lambda gone: kept(stocks, gone, "global" if scope == "global" else "uniform"),
        lambda left: predicted(Pruning(left)).macs,
        aim,
        what="MACs",
    )
    return prune(task.model, task.example, Pruning(widths), judge, task=task, groups=groups, evidence=evidence)


def theirs(task: Task, share: float) -> nn.Module:
    """The task's model, cut by torch-pruning as its README has it, by the ratio that comes nearest below the share."""
    aim = share * count(task.model, task.example).macs
    low, high = 0.0, 1.0
    best: nn.Module | None = None
    for _ in range(12):
        middle = (low + high) / 2
        model = copy.deepcopy(task.model)
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        pruner = torch_pruning.pruner.BasePruner(
            model,
            task.example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=middle,
            ignored_layers=[last],
        )
        pruner.step()
        if count(model, task.example).macs <= aim:
            high, best = middle, model
        else:
            low = middle
    assert best is not None
    return best.eval()


def recovered(model: nn.Module, task: Task, epochs: float, seed: int) -> tuple[Tensor, Tensor]:
    """Whether each test image is recognised after BatchNorm's recalibration alone, and after fine-tuning: (n,) bool."""
    training.recalibrate(model, task, batches=CALIBRATION_BATCHES, batch_size=BATCH_SIZE, seed=seed)
    before = right(model, task)
    precision = training.resolve_precision("auto")
    training.fit(
        model, task, epochs=epochs, learning_rate=LEARNING_RATE, batch_size=BATCH_SIZE, seed=seed, precision=precision,
        device="cpu",
    )  # fmt: skip
    return before, right(model, task)


def right(model: nn.Module, task: Task) -> Tensor:
    """Whether each test image is recognised, (n,) bool."""
    found = training.predict(model, task, "test", device="cpu").right
    assert found is not None
    return found


def packed(flags: Tensor) -> str:
    """Flags (n,) as text, eight to a byte."""
    bits = torch.nn.functional.pad(flags.to(torch.uint8), (0, -len(flags) % 8)).reshape(-1, 8)
    return base64.b64encode(bytes((bits << torch.arange(7, -1, -1)).sum(1).to(torch.uint8).tolist())).decode()


def unpacked(text: str, size: int) -> Tensor:
    """What ``packed`` was given."""
    data = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return ((data[:, None] >> torch.arange(7, -1, -1)) & 1).flatten()[:size].bool()


def runs(models: list[str], criteria: list[str] | None, seeds: int) -> Iterator[tuple[str, str, float, int]]:
    """What there is to do: model, method, share and seed; a seed's all together, so that the first is complete soonest."""
    for model in models:
        every = criteria or ([*READY, OURS_GLOBAL] if model == "cnn_bn" else list(SUBSET))
        for seed in range(seeds):
            for share in SHARES:
                for method in (THEIRS, *every):
                    yield model, method, share, seed


def run(task: Task, method: str, share: float, seed: int, epochs: float) -> dict[str, Any]:
    """One network, cut, recovered and judged."""
    begin_s = time.perf_counter()
    other = theirs(task, share)
    model = other if method == THEIRS else ours(task, method, count(other, task.example).macs, seed)
    cut_s = time.perf_counter() - begin_s
    whole, left = count(task.model, task.example), count(model, task.example)
    before, after = recovered(model, task, epochs, seed)
    return {
        "macs": left.macs / whole.macs,
        "params": left.params / whole.params,
        "images": len(after),
        "recalibrated": packed(before),
        "recovered": packed(after),
        "cut_s": cut_s,
        "took_s": time.perf_counter() - begin_s,
    }


def summary(found: Mapping[str, Mapping[str, Any]], unpruned: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """A row for each model, share and method, with what it differs by from torch-pruning's over the same seeds."""
    rows: dict[tuple[str, float, str], dict[int, Mapping[str, Any]]] = {}
    for key, one in found.items():
        model, method, share, seed = key.split("/")
        if model not in unpruned:
            continue
        rows.setdefault((model, float(share), method), {})[int(seed)] = one
    lines = []
    for (model, share, method), seeds in sorted(rows.items()):
        other = rows.get((model, share, THEIRS), {})
        both = sorted(set(seeds) & set(other))
        after = {seed: unpacked(one["recovered"], one["images"]) for seed, one in seeds.items()}
        line: dict[str, Any] = {
            "model": model,
            "macs_left": share,
            "method": method,
            "seeds": sorted(seeds),
            "macs": statistics.mean(one["macs"] for one in seeds.values()),
            "recalibrated": statistics.mean(
                unpacked(one["recalibrated"], one["images"]).float().mean().item() for one in seeds.values()
            ),
            "accuracy": statistics.mean(flags.float().mean().item() for flags in after.values()),
            "accuracy_interval": over_seeds([flags.float().mean().item() for flags in after.values()]),
            "against_unpruned": paired([unpruned[model]] * len(after), list(after.values())),
        }
        if method != THEIRS and both:
            line["against_torch_pruning"] = paired(
                [unpacked(other[seed]["recovered"], other[seed]["images"]) for seed in both],
                [after[seed] for seed in both],
            )
        lines.append(line)
    return lines


def paired(before: list[Tensor], after: list[Tensor]) -> dict[str, Any]:
    """By how much accuracy changes, image by image, as a mean over the seeds; the interval is over images and seeds.

    An image counts once: what it changes by is averaged over the seeds first, and the interval is Student's over the images. It
    says how the difference would vary over other images, given these trainings; ``seeds`` has each training's difference.
    """
    change = torch.stack([b.double() - a.double() for a, b in zip(before, after, strict=True)])
    images = change.mean(0)
    half = 1.959964 * float(images.std()) / math.sqrt(len(images))
    mean = float(images.mean())
    each = [accuracy_change(a, b).value for a, b in zip(before, after, strict=True)]
    return {
        "points": 100 * mean,
        "interval": [100 * (mean - half), 100 * (mean + half)],
        "seeds": [100 * x for x in each],
    }


def over_seeds(values: list[float]) -> list[float] | None:
    """The 95 % interval of a mean over seeds (Student's t); None for one seed."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return [mean - half, mean + half]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("results/benchmark-pruning"))
    parser.add_argument("--models", default="cnn_bn,resnet20")
    parser.add_argument("--criteria")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--report", action="store_true", help="print what is there, and run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)  # what comes out depends on it
    file = options.folder / f"runs-{options.epochs:g}-epochs.json"
    options.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    tasks: dict[str, Task] = {}

    def task_of(model: str) -> Task:
        if model not in tasks:
            tasks[model] = fashion_mnist(model)  # type: ignore[arg-type]
        return tasks[model]

    models = options.models.split(",")
    for model, method, share, seed in runs(models, options.criteria and options.criteria.split(","), options.seeds):
        key = f"{model}/{method}/{share}/{seed}"
        code = code_of(method)
        if options.report or found.get(key, {}).get("code") == code:
            continue
        found[key] = {**run(task_of(model), method, share, seed, options.epochs), "code": code}
        write_durably(file, json.dumps(found).encode())
        print(f"{key}: {found[key]['took_s']:.1f} s", file=sys.stderr, flush=True)
    unpruned = {model: right(task_of(model).model, task_of(model)) for model in models}
    print(
        json.dumps(
            {
                "machine": described(this_target(1)),
                "recovery": {"epochs": options.epochs, "learning_rate": LEARNING_RATE, "batch_size": BATCH_SIZE,
                             "recalibrate_batches": CALIBRATION_BATCHES},
                "unpruned": {model: flags.float().mean().item() for model, flags in unpruned.items()},
                "rows": summary(found, unpruned),
            },
            indent=2,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
