"""Compiled networks against ONNX Runtime and eager torch, on this machine, in one run. Prints JSON, in SI units.

    python benchmarks/kernels.py > results.json                # every network, one thread and two
    python benchmarks/kernels.py --only ResNet-18 --threads 1
    python benchmarks/kernels.py --table results.json          # the same as Markdown

All who run a network are interleaved, batch 1, with medians of the rounds, and ratios of ours to the others round by round
(below 1: ours is quicker), all with 95 % intervals. Peaks of arithmetic and memory are measured in the same process.
Other sections: --widths, odd widths against the next multiple of a vector; --rank, how far ONNX Runtime agrees on which
pruned networks are quicker; --neon, what llvm-mca estimates of the code for ARM. Needs onnx, onnxruntime, timm and torchvision.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from build import Build, build
from contestants import Eager, OnnxRuntime, Ours, difference, interleaved, onnx_file
from intervals import median
from networks import NETWORKS, macs
from roofs import roofs
from table import markdown
from this_machine import NARROWER, described, this_target, use_threads
from torch import nn

from joulefront.errors import CompileError, JoulefrontError
from joulefront.records import Target

OURS, TUNED = "untuned", "tuned"
OTHERS = ("onnxruntime", "torch")


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="networks with this in their name; repeatable")
    parser.add_argument("--threads", default="1,2", help="one number or several (default: 1,2)")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default: 15)")
    parser.add_argument("--cpu", choices=NARROWER, help="take this processor for another one")
    parser.add_argument("--folder", type=Path, help="keep libraries and ONNX files here, and use them again")
    parser.add_argument("--tune", type=float, metavar="S", help="also tuned, each network for at most about S seconds")
    section = parser.add_mutually_exclusive_group()
    section.add_argument("--widths", action="store_true", help="odd widths against the next multiple of a vector")
    section.add_argument("--rank", type=int, metavar="N", help="N random pruned networks of a kind, ranked (say 40)")
    section.add_argument("--neon", metavar="CPU", help="estimates for an ARM core, by LLVM's name (say cortex-a72)")
    section.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="results of earlier runs as Markdown")
    options = parser.parse_args()
    if options.table:
        print(markdown([document(file) for file in options.table]))
        return
    logging.disable(logging.WARNING)
    names = chosen(options.only)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        counts = options.threads.split(",")
        if len(counts) > 1 and not options.neon:  # a runtime's threads are set up once a process
            print(json.dumps(together(counts), indent=1, allow_nan=False))
            return
        try:
            print(json.dumps(measured(options, names, folder), indent=1, allow_nan=False))
        except JoulefrontError as error:
            sys.exit(str(error))


def together(counts: Sequence[str]) -> dict[str, Any]:
    """This run by a process for each number of threads. Exits as they do."""
    whole: dict[str, Any] = {}
    for count in counts:
        command = [sys.executable, *sys.argv, "--threads", count]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        part = json.loads(done.stdout)
        whole = {**part, "runs": [*whole.get("runs", []), *part["runs"]]}
    return whole


def document(file: Path) -> dict[str, Any]:
    """What an earlier run printed. Exits where it is not there or not whole."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"--table {file}: not the JSON of an earlier run ({error})")
    return found


def chosen(only: Iterable[str] | None) -> list[str]:
    """The networks of that name, or whose names hold the word; all without any. Exits where there is none."""
    if only is None:
        return list(NETWORKS)
    found: set[str] = set()
    for word in (word.lower() for word in only):
        found |= {name for name in NETWORKS if name.lower() == word} or {n for n in NETWORKS if word in n.lower()}
    return [name for name in NETWORKS if name in found] or sys.exit(
        f"--only: there is no such network; there are {', '.join(NETWORKS)}"
    )


def measured(options: argparse.Namespace, names: list[str], folder: Path) -> dict[str, Any]:
    """The document of one run."""
    if options.neon:
        from neon import estimates

        return {"neon": estimates(options.neon, names)}
    threads = int(options.threads)
    target = this_target(threads, options.cpu)
    use_threads(threads)
    run: dict[str, Any] = {"threads": threads}
    if options.widths:
        from widths import compared

        run["widths"] = compared(target, folder, options.rounds)
    elif options.rank:
        from ranks import ranked

        run["ranks"] = ranked(names, target, folder, options.rounds, options.rank)
    else:
        say(f"peaks on {threads} thread(s)")
        run["roofs"] = roofs(target)
        build(first(), (1, 4, 8, 8), target, folder)  # what is imported and set up once is no network's cost
        run["networks"] = {
            name: or_failure(name, target, folder, options.rounds, run["roofs"], options.tune) for name in names
        }
        run["geometric_mean_ratio"] = geometric_means(run["networks"])
    return {"provenance": "measured", "rounds": options.rounds, "machine": described(target), "runs": [run]}


def first() -> nn.Module:
    """A network that takes next to nothing to compile but what the first one takes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)).eval()


def or_failure(name: str, *how: Any) -> dict[str, Any]:
    """One network; or why it has no numbers, so that the others' are not lost."""
    try:
        return {"failure": None, **network(name, *how)}
    except CompileError as error:
        say(f"{name}: {error}")
        return {"failure": str(error)}


def network(
    name: str, target: Target, folder: Path, rounds: int, limits: Mapping[str, float], tune_s: float | None
) -> dict[str, Any]:
    """One network: latencies in s, ratios, errors, shares of the peaks, and what compiling it cost."""
    say(f"{name}, {target.threads} thread(s): compiling")
    torch.manual_seed(0)
    model, shape = NETWORKS[name]()
    x = torch.randn(shape)
    built = {OURS: build(model, shape, target, folder)}
    if tune_s is not None:
        from tuned import tuned

        built[TUNED] = build(model, shape, target, folder, tuned(name, model, shape, target, folder, tune_s))
    contestants: dict[str, Any] = {kind: Ours(one.library, x) for kind, one in built.items()}
    contestants["onnxruntime"] = OnnxRuntime(onnx_file(model, x, folder), x, target.threads)
    contestants["torch"] = Eager(model, x)
    expected = contestants["torch"].output()
    say(f"{name}, {target.threads} thread(s): measuring")
    times = interleaved(contestants, rounds)
    return {
        "latency_s": {kind: median(values) for kind, values in times.items()},
        "ratio": {kind: ratios(times, kind) for kind in built},
        "error_relative_to_torch": {
            kind: difference(one.output(), expected) for kind, one in contestants.items() if kind != "torch"
        },
        **shares(model, x, statistics.median(times[OURS]), limits),
        "compile": {kind: compile_cost(one) for kind, one in built.items()},
    }


def ratios(times: Mapping[str, list[float]], kind: str) -> dict[str, Any]:
    """Our time over each of the others' in the same round."""
    return {
        other: median([ours / theirs for ours, theirs in zip(times[kind], times[other], strict=True)])
        for other in OTHERS
    }


def shares(model: nn.Module, x: torch.Tensor, latency_s: float, limits: Mapping[str, float]) -> dict[str, Any]:
    """What a network of that latency makes of the machine's peaks.

    Its operations are those of its layers as defined: a method that needs fewer, such as Winograd's, may exceed the peak.
    Of the memory's peak it is the parameters' bytes that count, each read once an inference: more than all of it where
    the caches keep them.
    """
    operations, size_b = 2 * macs(model, x), 4 * sum(parameter.numel() for parameter in model.parameters())
    return {
        "macs": operations // 2,
        "parameters_b": size_b,
        "flop_per_s": operations / latency_s,
        "share_of_peak_flop_per_s": operations / latency_s / limits["flop_per_s"],
        "share_of_peak_read_b_per_s": size_b / latency_s / limits["read_b_per_s"],
    }


def compile_cost(built: Build) -> dict[str, float]:
    """What it took to compile, from module to linked library, in CPU-s of this process and its children."""
    return {"cpu_s": built.cpu_s, "library_b": built.library.stat().st_size}


def geometric_means(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of the ratios of the networks that have any, by our kind and the other's; and how many those are."""
    ratios = [one["ratio"] for one in networks.values() if one["failure"] is None]
    return {
        kind: {
            "networks": len(of_kind),
            **{other: statistics.geometric_mean(one[other]["value"] for one in of_kind) for other in OTHERS},
        }
        for kind in sorted({kind for one in ratios for kind in one})
        if (of_kind := [one[kind] for one in ratios if kind in one])
    }


def say(message: str) -> None:
    """Tell whoever waits how far it is."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
