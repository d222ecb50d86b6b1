"""What benchmarks/kernels.py wrote, as Markdown. The only place here that prints ms."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from typing import Any

COLUMNS = {"untuned": "Joulefront", "onnxruntime": "ONNX Runtime", "torch": "torch"}


def markdown(documents: Sequence[dict[str, Any]]) -> str:
    """One table a number of threads of the networks in all the documents. Exits where they are of several
    machines, or of none."""
    if any("machine" not in one for one in documents):
        raise SystemExit("--table: estimates for ARM have no table; give files of measured networks")
    machines = {(one["machine"]["cpu"], one["machine"]["target_cpu"]) for one in documents}
    if len(machines) != 1:
        raise SystemExit(f"the results are of several machines: {sorted(machines)}; give files of one")
    runs: dict[int, dict[str, Any]] = {}
    for run in (run for one in documents for run in one["runs"]):
        runs.setdefault(run["threads"], {}).update(run.get("networks", {}))
    tables = [_of_run(threads, networks) for threads, networks in sorted(runs.items()) if networks]
    return "\n\n".join(tables) or sys.exit("--table: there are no networks in these files, which have other sections")


def _of_run(threads: int, networks: dict[str, Any]) -> str:
    kinds = [kind for kind in COLUMNS if any(kind in one["latency_s"] for one in networks.values())]
    ours = [kind for kind in kinds if any(kind in one["ratio"] for one in networks.values())]
    head = [
        f"measured, {threads} thread{'s' * (threads > 1)}",
        *(f"{COLUMNS[kind]}, ms" for kind in kinds),
        *(f"{COLUMNS[kind]} / ONNX Runtime" for kind in ours),
        "of peak",
        "compile, CPU-s",
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, one in networks.items():
        lines.append(
            [
                name,
                *(_milliseconds(one["latency_s"][kind]["value"]) for kind in kinds),
                *(_ratio(one["ratio"][kind]["onnxruntime"]) for kind in ours),
                f"{one['share_of_peak_flop_per_s']:.0%}",
                f"{one['compile']['untuned']['cpu_s']:.1f}",
            ]
        )
    means = [
        _geometric_mean([one["ratio"][kind]["onnxruntime"]["value"] for one in networks.values()]) for kind in ours
    ]
    lines.append(["geometric mean", *[""] * len(kinds), *(f"**{mean:.2f}**" for mean in means), "", ""])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _milliseconds(value_s: float) -> str:
    return f"{value_s * 1e3:.3g}"


def _ratio(value: dict[str, float | None]) -> str:
    """The value with its interval, where there is one."""
    between = "" if value["low"] is None else f" ({value['low']:.2f}–{value['high']:.2f})"
    return f"{value['value']:.2f}{between}"


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))
