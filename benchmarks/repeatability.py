"""How well this machine's measurements repeat, as JSON: the same network measured against itself.

python benchmarks/repeatability.py [--copies 20] [--load] [--loop] [--rounds 7]

By itself: one compiled ResNet-20 is measured as so many networks in one interleaved session at full grade. Of all pairs,
how many ratios' intervals hold 1 (as they should, in 95 %), and how wide are they? By the intervals alone, as a front
compares its networks, and paired by rounds. Pairs share their networks, so that their share scatters more than as many
independent ones would.

--load does it again while another process keeps a core busy: what the protocol says about it.
--loop times the same library with an independent loop around ``vm["main"]`` in another process, in turns with the agent.
Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from this_machine import described

from joulefront import estimates
from joulefront.bench.bench import Bench
from joulefront.bench.statistics import ratio_of_repeats, relative_width
from joulefront.config import MeasureConfig
from joulefront.errors import BenchError, CandidateError
from joulefront.records import Estimate, Job, Measurement
from joulefront.subject import TaskModel
from joulefront.tasks import Task
from joulefront.tasks.models import resnet20
from joulefront.tuning.database import NOTHING
from joulefront_devices.device import load

# Of a few ms, so that what a call takes in Python is no part of it.
_NETWORK, _SHAPE = "ResNet-20", (1, 1, 112, 112)
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n for _ in range(1000000): pass"
# As whoever does not know of Joulefront would time it.
_LOOP = """
import os, statistics, sys, time
import numpy, tvm
from tvm import relax
library, cores, count, shape = sys.argv[1], sys.argv[2], int(sys.argv[3]), eval(sys.argv[4], {})
if cores != "None":
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
vm = relax.VirtualMachine(tvm.runtime.load_module(library), tvm.cpu())
x = tvm.runtime.tensor(numpy.frombuffer(sys.stdin.buffer.read(), "float32").reshape(shape).copy())
main = vm["main"]
for _ in range(count):
    main(x)
taken = []
for _ in range(count):
    begin = time.perf_counter()
    main(x)
    taken.append(time.perf_counter() - begin)
print(statistics.median(taken))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=20, help="how many times the network is in the session")
    parser.add_argument("--load", action="store_true", help="once more beside a busy core")
    parser.add_argument("--loop", action="store_true", help="against a loop of another process")
    parser.add_argument("--rounds", type=int, default=7, help="of agent and loop in turns")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = resnet20().eval()
    with Bench(load("local"), MeasureConfig(), 1) as bench:
        job = TaskModel(_NETWORK, Task(model, example=(torch.randn(_SHAPE),))).compiled(bench.target, NOTHING).job
        document: dict[str, Any] = {
            "machine": described(bench.target),
            "network": _NETWORK,
            "energy": bench.energy_reason,
        }
        document["alone"] = _against_itself(bench, job, options.copies)
        if options.load:
            with _busy_core():
                document["beside_a_busy_core"] = _against_itself(bench, job, options.copies)
        if options.loop:
            document["loop"] = _against_a_loop(bench, job, options.rounds)
    print(json.dumps(document, indent=2))


def _against_itself(bench: Bench, job: Job, copies: int) -> dict[str, Any]:
    """One session of that many copies. What is no measurement has its reason."""
    jobs = [replace(job, label=f"copy {number}") for number in range(1, copies + 1)]
    try:
        outcomes = bench.measure_all(jobs, "full", lambda round_: print(round_, file=sys.stderr))
    except BenchError as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    measured = [one for one in outcomes if isinstance(one, Measurement)]
    pairs = list(combinations(measured, 2))
    return {
        "copies": copies,
        "failed": [str(one) for one in outcomes if isinstance(one, CandidateError)],
        "repeats": [len(one.repeats_s) for one in measured],
        "medians_s": [[statistics.median(samples) for samples in one.repeats_s] for one in measured],
        "latency_s": [[one.latency_s.value, one.latency_s.low, one.latency_s.high] for one in measured],
        "indicative": sum(one.latency_s.indicative is not None for one in measured),
        "half_width": _median([relative_width(one.latency_s) for one in measured]),
        "by_intervals": _told([estimates.ratio(one.latency_s, other.latency_s) for one, other in pairs]),
        "paired_by_rounds": _told([_paired(one, other) for one, other in pairs]),
        "joules_by_intervals": _told([ratio for pair in pairs if (ratio := _of_joules(*pair))]),
        "set_aside": sum(len(one.set_aside) for one in measured),
        "flagged": sum(any("other work" in warning for warning in one.warnings) for one in measured),
        "warnings": sorted({warning for one in measured for warning in one.warnings}),
    }


def _paired(one: Measurement, other: Measurement) -> Estimate:
    """The ratio of two networks' medians in the rounds that both had."""
    medians = [[statistics.median(samples) for samples in each.repeats_s] for each in (one, other)]
    both = min(map(len, medians))
    return ratio_of_repeats(medians[0][:both], medians[1][:both], paired=True)


def _of_joules(one: Measurement, other: Measurement) -> Estimate | None:
    """The ratio of two networks' joules on one meter; None without one."""
    if not (one.energy_j and one.energy and other.energy_j and other.energy):
        return None
    return estimates.ratio(
        estimates.within_one_meter(one.energy_j, one.energy), estimates.within_one_meter(other.energy_j, other.energy)
    )


def _told(ratios: Sequence[Estimate]) -> dict[str, Any] | None:
    """How many intervals hold 1, and how wide they are: half of each, as a share."""
    if not ratios:
        return None
    firm = [ratio for ratio in ratios if ratio.indicative is None]
    return {
        "pairs": len(ratios),
        "hold_1": sum(ratio.low <= 1 <= ratio.high for ratio in ratios) / len(ratios),
        "half_width": _median([relative_width(ratio) for ratio in ratios]),
        "not_indicative": len(firm),
        "hold_1_not_indicative": sum(ratio.low <= 1 <= ratio.high for ratio in firm) / len(firm) if firm else None,
    }


def _median(shares: Sequence[float]) -> float | None:
    middle = statistics.median(shares)
    return middle if math.isfinite(middle) else None


@contextlib.contextmanager
def _busy_core() -> Iterator[None]:
    """Another process on the last core that this one may use; networks are pinned to the fastest, or else the first."""
    core = max(os.sched_getaffinity(0))
    child = subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", _BUSY])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def _against_a_loop(bench: Bench, job: Job, rounds: int) -> dict[str, Any]:
    """The agent and the loop in turns; the ratio is the agent's median latency by the loop's."""
    ours, theirs = [], []
    for _ in range(rounds):
        measured = bench.measure(job, "screening")
        ours.append(measured.latency_s.value)
        count = max(100, math.ceil(0.3 / measured.latency_s.value))
        cores = measured.conditions["before"].get("cores")
        theirs.append(statistics.median(_looped(job, cores, count) for _ in measured.repeats_s))
    ratio = ratio_of_repeats(ours, theirs, paired=True)
    return {
        "agent_s": ours,
        "loop_s": theirs,
        "ratio": {"value": ratio.value, "low": ratio.low, "high": ratio.high, "indicative": ratio.indicative},
        "within": abs(ratio.value - 1),
    }


def _looped(job: Job, cores: object, count: int) -> float:
    """The median of so many inferences by a loop of another process, in s, after as many that warm up."""
    (given,) = job.inputs
    library = str(Path(job.library).resolve())
    command = [sys.executable, "-c", _LOOP, library, str(cores), str(count), str(given.shape)]
    done = subprocess.run(command, input=given.data, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
