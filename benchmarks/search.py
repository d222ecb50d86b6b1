"""The search against random search and uniform pruning, with as many measurements, on the demo's CNN. Prints JSON.

    python benchmarks/search.py [--evaluations N] [--seeds S] [--folder DIR]

Every study is a real one: its networks are recovered, compiled and measured on this machine at screening grade. The
studies of a seed run one after the other before the next seed's begin, so that a drift of the machine falls on all kinds
alike. Each is judged by the hypervolume that its trials dominate below one point common to all: 20 points of error above
the unpruned network's and 1.1 times the median of its latencies over all studies. It goes on where it was interrupted.
"""

import argparse
import json
import platform
import statistics
import tomllib
from dataclasses import replace
from pathlib import Path

from startup import processor

from joulefront.front import hypervolume, reference_point, unpruned_of
from joulefront.records import Trial
from joulefront.report.progress import progress
from joulefront.space_records import Space
from joulefront.study import open_bench, open_study
from joulefront.study_facts import versions
from joulefront.study_file import demo_file

OBJECTIVES = ("error", "latency_s")
KINDS = {"nsga2": "nsga2", "random": "random", "uniform": f"{Path(__file__).with_name('uniform.py')}:Uniform"}


def study_text(kind: str, seed: int, evaluations: int) -> str:
    """The demo's study with another search."""
    demo = tomllib.loads(demo_file(quick=False).read_text())
    tables = {name: dict(table) for name, table in demo.items() if isinstance(table, dict)}
    tables["search"] = {"kind": KINDS[kind], "seed": seed, "evaluations": evaluations}
    if kind == "nsga2":
        tables["search"]["population"] = demo["search"]["population"]
    lines = [f'name = "{kind}-{seed}"', f"objectives = {json.dumps(OBJECTIVES)}"]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


def searched(folder: Path, kind: str, seed: int, evaluations: int) -> tuple[list[Trial], Space]:
    """The search's trials of one study, run now where they are not there yet."""
    file = folder / f"{kind}-{seed}.toml"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(study_text(kind, seed, evaluations))
    with progress() as listener, open_study(file, folder / "results", listener, open_bench) as study:
        study.explore()
        return study.store.trials("screen"), study.space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmark-search"))
    options = parser.parse_args()
    trials: dict[str, list[list[Trial]]] = {kind: [] for kind in KINDS}
    for seed in range(options.seeds):
        for kind in KINDS:
            found, space = searched(options.folder, kind, seed, options.evaluations)
            trials[kind].append(found)
    everything = [study for studies in trials.values() for study in studies]
    unpruned = [found for study in everything if (found := unpruned_of(study, space))]
    latency_s = statistics.median(trial.objectives["latency_s"] for trial in unpruned)
    typical = replace(unpruned[0], objectives={**unpruned[0].objectives, "latency_s": latency_s})
    point = reference_point(typical, OBJECTIVES)
    volumes = {
        kind: [hypervolume([t for t in study if t.failure is None], point).value for study in studies]
        for kind, studies in trials.items()
    }
    spread = [trial.objectives["latency_s"] / latency_s for trial in unpruned]
    print(
        json.dumps(
            {
                "machine": {"processor": processor(), "python": platform.python_version(), **versions()},
                "evaluations": {kind: [len(study) for study in studies] for kind, studies in trials.items()},
                "reference_point": point,
                "hypervolume": {kind: {"median": statistics.median(v), "seeds": v} for kind, v in volumes.items()},
                "unpruned_latency_relative_to_its_median": {"min": min(spread), "max": max(spread)},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
