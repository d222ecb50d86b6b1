"""What code for an ARM core makes of it, estimated by llvm-mca from the innermost loops of the kernels' assembly.

Nothing runs. The model of the core is LLVM's; all loads hit the nearest cache. How many rounds a loop runs is not
known: of each kernel the loop with the most vector multiply-adds counts, which is that of whole tiles.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from networks import NETWORKS
from torch import nn
from tvm import relax

from joulefront.compile.export import imported
from joulefront.compile.kernels import KERNELS, Choice, Machine
from joulefront.compile.lower import lower
from joulefront.compile.simplify import simplify
from joulefront.compile.target import tvm_target
from joulefront.records import Target

TRIPLE = "aarch64-linux-gnu"
_LANES = 4
_FUNCTION = re.compile(r"^(\w+)_compute_:")
_LABEL = re.compile(r"^(\.?\w+):")
_BRANCH = re.compile(r"^(?:b|b\.\w+|cbn?z|tbn?z)\s+.*?(\.L\w+)$")
_MULTIPLY_ADD = re.compile(r"^fml[as]\s+v")
_LOAD = re.compile(r"^ld")
_PEAK = [f"fmla v{register}.4s, v30.4s, v31.4s" for register in range(24)]


def estimates(cpu: str, names: Sequence[str]) -> dict[str, Any]:
    """Each network's kernels: instructions of a round of the hottest loop, its cycles, and what share of the model's own
    peak, a loop of multiply-adds between registers, that is. Exits where llvm-mca is not installed or knows no such core.
    """
    mca = shutil.which("llvm-mca")
    if mca is None:
        raise SystemExit("llvm-mca is needed for --neon and is not on the path: apt-get install llvm")
    target = Target(TRIPLE, cpu, ("+neon",), _LANES, 32)
    peak = len(_PEAK) / _cycles(mca, cpu, _PEAK)
    return {
        "provenance": "estimated",
        "by": _output([mca, "--version"]).strip().splitlines()[0].strip(),
        "cpu": cpu,
        "peak_flop_per_cycle": 2 * _LANES * peak,
        "networks": {name: _of_network(name, target, mca, peak) for name in names},
    }


def _of_network(name: str, target: Target, mca: str, peak: float) -> dict[str, Any]:
    print(f"{name}, {target.cpu}: compiling", file=sys.stderr, flush=True)
    torch.manual_seed(0)
    kernels = dict(_functions(_assembly(*NETWORKS[name](), target)))
    hottest = {kernel: loop for kernel, lines in kernels.items() if (loop := _hottest(lines))}
    cycles = {kernel: _cycles(mca, target.cpu, loop) for kernel, loop in hottest.items()}
    found = {
        kernel: {
            "instructions": len(loop),
            "multiply_adds": _count(_MULTIPLY_ADD, loop),
            "loads": _count(_LOAD, loop),
            "cycles": cycles[kernel],
            "share_of_peak": _count(_MULTIPLY_ADD, loop) / cycles[kernel] / peak,
        }
        for kernel, loop in hottest.items()
    }
    shares = [kernel["share_of_peak"] for kernel in found.values()]
    return {
        "share_of_peak_median": statistics.median(shares) if shares else None,
        "kernels": found,
        "without_multiply_adds_in_a_loop": sorted(kernels.keys() - found.keys()),
    }


def _assembly(model: nn.Module, shape: tuple[int, ...], target: Target) -> str:
    """The network's code as text."""
    with tvm_target(target) as described:
        module = lower(simplify(imported(model, (torch.zeros(shape),))), Choice(KERNELS, Machine.of(target)))
        executable = relax.build(module, described)
    return "\n".join(str(part.inspect_source("s")) for part in executable.mod.imports if part.kind == "llvm")


def _functions(assembly: str) -> Iterator[tuple[str, list[str]]]:
    """Each kernel's name, with its labels and instructions."""
    name: str | None = None
    lines: list[str] = []
    for line in (line.partition("//")[0].strip() for line in assembly.splitlines()):
        if found := _FUNCTION.match(line):
            name, lines = found[1], []
        elif name and line.startswith(".size"):
            yield name, lines
            name = None
        elif line and (not line.startswith(".") or _LABEL.match(line)):
            lines.append(line)


def _hottest(lines: Sequence[str]) -> list[str]:
    """The instructions of the innermost loop with the most multiply-adds; none where no loop has any."""
    labels = {found[1]: at for at, line in enumerate(lines) if (found := _LABEL.match(line))}
    ends = ((labels.get(found[1]), at) for at, line in enumerate(lines) if (found := _BRANCH.match(line)))
    loops = [(start, end) for start, end in ends if start is not None and start < end]
    innermost = [
        (start, end)
        for start, end in loops
        if not any(start <= other and last <= end and (other, last) != (start, end) for other, last in loops)
    ]
    bodies = [[line for line in lines[start : end + 1] if not _LABEL.match(line)] for start, end in innermost]
    best = max(bodies, key=lambda body: _count(_MULTIPLY_ADD, body), default=[])
    return best if _count(_MULTIPLY_ADD, best) else []


def _count(pattern: re.Pattern[str], lines: Sequence[str]) -> int:
    return sum(1 for line in lines if pattern.match(line))


def _cycles(mca: str, cpu: str, loop: Sequence[str]) -> float:
    """The cycles of one round of a loop, over many rounds."""
    said = _output([mca, f"-mtriple={TRIPLE}", f"-mcpu={cpu}", "-iterations=200", "--json"], "\n".join(loop) + "\n")
    document = json.loads(said[said.index("{") :])  # a warning may come before
    summary = document["CodeRegions"][0]["SummaryView"]
    return float(summary["TotalCycles"] / summary["Iterations"])


def _output(command: Sequence[str], given: str = "") -> str:
    """What a command prints. Exits with what it says where it fails."""
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if ran.returncode or not ran.stdout:
        raise SystemExit(f"{command[0]} failed with status {ran.returncode}: {ran.stderr.strip()[:300]}")
    return ran.stdout
