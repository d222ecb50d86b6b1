"""What benchmarks/kernels.py wrote, as Markdown. The only place here that prints ms."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import Any

COLUMNS = {"untuned": "Joulefront", "tuned": "tuned", "onnxruntime": "ONNX Runtime", "torch": "torch"}


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
    failures = {name: one["failure"] for name, one in networks.items() if one["failure"] is not None}
    ran = {name: one for name, one in networks.items() if name not in failures}
    kinds = [kind for kind in COLUMNS if any(kind in one["latency_s"] for one in ran.values())]
    ours = [kind for kind in kinds if any(kind in one["ratio"] for one in ran.values())]
    head = [
        f"measured, {threads} thread{'s' * (threads > 1)}",
        *(f"{COLUMNS[kind]}, ms" for kind in kinds),
        *(f"{COLUMNS[kind]} / ONNX Runtime" for kind in ours),
        "of peak",
        "compile, CPU-s",
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, one in ran.items():
        lines.append(
            [
                name,
                *(_milliseconds(one["latency_s"].get(kind)) for kind in kinds),
                *(_ratio(one["ratio"].get(kind, {}).get("onnxruntime")) for kind in ours),
                f"{one['share_of_peak_flop_per_s']:.0%}",
                f"{one['compile']['untuned']['cpu_s']:.1f}",
            ]
        )
    means = (
        statistics.geometric_mean(
            one["ratio"][kind]["onnxruntime"]["value"] for one in ran.values() if kind in one["ratio"]
        )
        for kind in ours
    )
    lines.append(["geometric mean", *[""] * len(kinds), *(f"**{mean:.2f}**" for mean in means), "", ""])
    missing = [f"\nNo numbers for {name}: {reason}" for name, reason in failures.items()]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), *missing])


def _milliseconds(latency_s: dict[str, float] | None) -> str:
    return "–" if latency_s is None else f"{latency_s['value'] * 1e3:.3g}"


def _ratio(ratio: dict[str, float | None] | None) -> str:
    """The value with its interval, where there is one."""
    if ratio is None:
        return "–"
    between = "" if ratio["low"] is None else f" ({ratio['low']:.2f}–{ratio['high']:.2f})"
    return f"{ratio['value']:.2f}{between}"
