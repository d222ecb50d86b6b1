"""Whether a host prepares while another machine measures: known durations, and what the search takes. Prints JSON.

    python benchmarks/overlap.py [UNIT_S]

A compiler and a bench that only wait, one to three units a network (one worker; cutting and judging a small network come on
top), search two generations of NSGA-II: on a bench that is another machine, and on one that is this machine. Wall clocks in
s, and as a ratio to the longer of all preparing and all measuring.
"""

import json
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from joulefront.config import StudyConfig
from joulefront.records import Estimate, Grade, Job, Measurement, Target, Trial
from joulefront.study import open_study
from joulefront.tasks import Task

NETWORKS = 24
STUDY = f"""
name = "overlap"
objectives = ["error", "latency_s"]
[task]
kind = "overlap.py:task"
[space]
multiple = 4
[recover]
screen_epochs = 0
recalibrate_batches = 1
[compile]
kind = "overlap.py:Compiler"
takes_s = %g
[prepare]
workers = 1
[search]
kind = "nsga2"
evaluations = {NETWORKS}
"""


def task() -> Task:
    """A network that takes no time to speak of."""
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10)
    )
    return Task(model.eval(), torch.rand(1, 1, 8, 8), data, data, data)


class Compiler:
    """Waits ``takes_s`` for each network."""

    def __init__(self, target: Target, takes_s: float) -> None:
        self.key = f"waits {takes_s} {target} {time.time_ns()}"  # never from the cache
        self._takes_s = takes_s

    def compile(self, model: nn.Module, example: tuple[Tensor, ...], library: Path) -> None:
        """See protocols.Compiler."""
        del example
        time.sleep(self._takes_s)
        library.write_bytes(repr(model).encode())


class Bench:
    """Waits ``takes_s`` for each network."""

    facts: Mapping[str, Any] = {}
    target = Target("x86_64-linux-gnu", "x86-64", (), 4, 16)
    energy_reason = "no meter: it only waits"
    reference: Job | None = None

    def __init__(self, takes_s: float, *, shares_host: bool) -> None:
        self.takes_s = takes_s
        self.shares_host = shares_host

    def measure(self, job: Job, grade: Grade) -> Measurement:
        """See study.Bench."""
        time.sleep(self.takes_s)
        size = job.library.stat().st_size
        none: dict[str, Any] = {"energy_j": None, "energy_provenance": None, "energy_reason": self.energy_reason}
        return Measurement(grade, "simulated", Estimate(size, size, size), ((size,),), conditions={}, **none)


class Silent:
    """A listener that follows nothing."""

    def stage(self, what: str, total: int | None = None) -> None:
        """See study.Listener."""

    def doing(self, what: str) -> None:
        """See study.Listener."""

    def step(self, trial: Trial, hypervolume: float | None) -> None:
        """See study.Listener."""

    def say(self, message: str) -> None:
        """See study.Listener."""


def wall_s(folder: Path, preparing_s: float, measuring_s: float, *, shares_host: bool) -> float:
    """How long the search takes, in s, once its worker is there."""
    bench = Bench(measuring_s, shares_host=shares_host)

    def bench_of(config: StudyConfig, folder: Path) -> Any:
        del config, folder
        return nullcontext(bench)

    folder.mkdir()
    (folder / "overlap.py").write_text(Path(__file__).read_text())
    (folder / "study.toml").write_text(STUDY % preparing_s)
    with open_study(folder / "study.toml", folder / "results", Silent(), bench_of) as study:
        begin_s = time.perf_counter()
        study.explore()
        return time.perf_counter() - begin_s


def main() -> None:
    unit_s = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    runs = []
    with tempfile.TemporaryDirectory() as name:
        for preparing, measuring, shares_host in ((1, 3, False), (3, 1, False), (2, 2, False), (2, 2, True)):
            preparing_s, measuring_s = preparing * unit_s, measuring * unit_s
            taken_s = wall_s(Path(name) / str(len(runs)), preparing_s, measuring_s, shares_host=shares_host)
            runs.append(
                {
                    "device": "this machine" if shares_host else "another machine",
                    "preparing_s": preparing_s,
                    "measuring_s": measuring_s,
                    "wall_s": taken_s,
                    "of_the_longer": taken_s / (NETWORKS * max(preparing_s, measuring_s)),
                }
            )
    machine = {"python": platform.python_version(), "system": platform.platform()}
    print(json.dumps({"machine": machine, "networks": NETWORKS, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
