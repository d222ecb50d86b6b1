"""Studies written straight into a store, without a search: what a test of showing and comparing needs, in milliseconds.

All numbers are a function of the widths, and are called simulated wherever they are shown.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from joulefront.front import front_of, violation
from joulefront.kernel_records import Argument, Composition, Fallback, Function, KernelUse
from joulefront.records import (
    Artifact,
    Candidate,
    Energy,
    EnergyWindow,
    Estimate,
    Failure,
    Fidelity,
    Measurement,
    Score,
    Target,
    Trial,
)
from joulefront.space_records import Gene, Space
from joulefront.store import Store

SPACE = Space(
    (
        Gene("conv1", tuple(range(4, 33, 4))),
        Gene("conv2", tuple(range(4, 65, 4))),
        Gene("fc1", tuple(range(8, 129, 8))),
    )
)
TARGET = Target("aarch64-linux-gnu", "cortex-a72", (), 4, 32)
NO_METER = "a written device has no meter"
MADE_OF = Composition(
    (KernelUse("conv2d data=1,8,8,1", "winograd", True, 2), KernelUse("dense data=1,64", "dense", False, 1)),
    (Fallback(Function("fused_cumsum1", (Argument((1, 10), "float32", True),)), "cumsum", 1),),
)

Latency = Callable[[Mapping[str, int]], float]


def latency_s(widths: Mapping[str, int]) -> float:
    """The latency of a network on the usual device, in s."""
    return 1e-6 * (2 + 0.3 * widths["conv1"] + 0.02 * widths["conv1"] * widths["conv2"] + 0.05 * widths["fc1"])


def error(widths: Mapping[str, int]) -> float:
    """The error of a network: it grows as widths shrink, the more the earlier the layer."""
    lost = sum(weight / widths[name] for name, weight in (("conv1", 0.12), ("conv2", 0.16), ("fc1", 0.1)))
    return round(min(0.01 + lost, 0.9), 3)


def measured_trial(
    number: int,
    genome: Sequence[int],
    fidelity: Fidelity,
    *,
    latency: Latency = latency_s,
    energy: bool = False,
    spread: float = 0.01,
    limits: Mapping[str, float] | None = None,
    warnings: tuple[str, ...] = (),
) -> Trial:
    """A trial that ran. ``spread`` is half the latency's interval, as a share."""
    pruning = SPACE.pruning(tuple(genome))
    widths = pruning.widths
    key = hashlib.sha256(f"{fidelity} {widths}".encode()).hexdigest()
    noise = int(hashlib.sha256(f"{number} {fidelity}".encode()).hexdigest()[:4], 16) / 0xFFFF - 0.5
    value_s, wrong = latency(widths) * (1 + spread * noise), error(widths)
    time_s = Estimate(value_s, value_s * (1 - spread), value_s * (1 + spread))
    energy_j = Estimate(3 * value_s, 2.7 * value_s, 3.3 * value_s) if energy else None
    score = Score("validation", 1 - wrong, Estimate(wrong, wrong * 0.7, min(1.0, wrong * 1.4)), 1000)
    repeats_s = tuple((value_s * (1 + spread * shift),) * 5 for shift in (-0.5, 0.0, 0.5))
    measurement = Measurement(
        grade="full" if fidelity == "full" else "screening",
        provenance="simulated",
        latency_s=time_s,
        repeats_s=repeats_s,
        energy_j=energy_j,
        energy_provenance="simulated" if energy_j else None,
        energy_reason=None if energy_j else NO_METER,
        conditions={
            "before": {"busy": 0.02, "temperature_c": 40.0 + number % 20, "frequency_hz": 1.5e9, "throttles": 0},
            "after": {"temperature_c": 41.0 + number % 20, "frequency_hz": 1.5e9, "throttles": 0},
        },
        warnings=warnings,
        energy=made_of(energy_j, time_s) if energy_j else None,
    )
    objectives = {"error": wrong, "latency_s": value_s} | ({"energy_j": energy_j.value} if energy_j else {})
    intervals = {"error": (score.error.low, score.error.high), "latency_s": (time_s.low, time_s.high)}
    if energy_j:
        intervals["energy_j"] = (energy_j.low, energy_j.high)
    return Trial(
        number=number,
        genome=tuple(genome),
        fidelity=fidelity,
        candidate=Candidate(key, key, pruning, fidelity, score, 1000 * sum(widths.values()), 10**4 * widths["conv1"]),
        artifact=Artifact(
            key, hashlib.sha256(f"lib {key}".encode()).hexdigest(), 50_000 + widths["fc1"], TARGET, MADE_OF
        ),
        measurement=measurement,
        objectives=objectives,
        intervals=intervals,
        limited={name: objectives[name] for name in limits or {}},
        violation=violation(objectives, limits or {}),
        test=None,
    )


def made_of(energy_j: Estimate, time_s: Estimate) -> Energy:
    """What such joules are made of: 3 W while it runs, by a device that idles at 1 W."""
    count = round(10 / time_s.value)
    window = EnergyWindow(energy_j.value * count, time_s.value * count, count, 0.05, 0.0066, 0.01, 0.0, 0.02)
    net = [2 / 3 * end for end in (energy_j.value, energy_j.low, energy_j.high)]
    return Energy(
        meter="hwmon:ina3221/VDD_IN",
        covers="module input VDD_IN",
        net_j=Estimate(*net),
        net_reason=None,
        power_w=Estimate(3.0, 2.7, 3.3),
        idle_w=Estimate(1.0, 0.99, 1.01),
        parts={"repeats": 0.01, "edges": 0.001, "gain": 0.0995},
        windows=(window,) * 5,
        baselines=(EnergyWindow(5.0, 5.0, 0, 0.05, 0.0066, 0.01, 0.0, 0.01),) * 2,
        factor=1.25,
    )


def failed_trial(
    number: int, genome: Sequence[int], fidelity: Fidelity = "screen", kind: str = "CompileError"
) -> Trial:
    """A trial that failed."""
    return Trial(number, tuple(genome), fidelity, failure=Failure(kind, f"written to fail: <b>trial {number}</b>"))


def genomes(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """The unpruned network and ``count`` - 1 others, none twice."""
    every = list(itertools.product(*(range(len(gene.options)) for gene in SPACE.genes)))
    order = np.random.default_rng(seed).permutation(len(every))
    others = [every[index] for index in order if every[index] != SPACE.full]
    return [SPACE.full, *others[: count - 1]]


def write_study(
    results: Path,
    name: str = "written",
    *,
    device: str = "board",
    count: int = 24,
    seed: int = 0,
    settled: bool = True,
    energy: bool = False,
    latency: Latency = latency_s,
    spread: float = 0.01,
    fails: Callable[[int], bool] = lambda number: False,
    task: Mapping[str, str] | None = None,
    facts: Mapping[str, object] | None = None,
) -> Path:
    """The folder of a study with ``count`` screened networks and, if ``settled``, its final front; 0 for none at all.

    ``fails`` says which trial numbers of the search fail, ``facts`` what the device says beside the usual.
    """
    objectives = ["error", "latency_s", *(["energy_j"] if energy else [])]
    text = f'name = "{name}"\ndevice = "{device}"\n[task]\nkind = "digits"\n[search]\nevaluations = {max(count, 1)}\n'
    folder = results / name
    with Store.create_or_resume(folder, text, "study.toml") as store:
        store.freeze("device", {"model": f"written {device}", "architecture": "aarch64", **(facts or {})})
        store.freeze("target", {"triple": TARGET.triple, "cpu": TARGET.cpu, "threads": 1})
        store.freeze("versions", {"joulefront": "0.1.0", "torch": "2.13.0"})
        store.freeze("task", {"model": "m1", "data": "d1", **(task or {})})
        space = [asdict(gene) for gene in SPACE.genes]
        store.freeze("space", {"genes": space})
        store.freeze("objectives", {"names": objectives})
        screened = []
        for number, genome in enumerate(genomes(count, seed) if count else []):
            if fails(number):
                trial = failed_trial(number, genome)
            else:
                warnings = ("the processor was throttled 2 times meanwhile",) if number % 7 == 3 else ()
                trial = measured_trial(
                    number, genome, "screen", latency=latency, energy=energy, spread=2 * spread, warnings=warnings
                )
            screened.append(store.record(trial))
        front = front_of(screened, objectives)
        if settled and front:
            finalists = list(dict.fromkeys([SPACE.full, *(trial.genome for trial in front)]))
            store.decide("finalists", [list(genome) for genome in finalists])
            final = [
                store.record(
                    measured_trial(count + index, genome, "full", latency=latency, energy=energy, spread=spread)
                )
                for index, genome in enumerate(finalists)
            ]
            for trial in front_of(final, objectives):
                wrong = trial.objectives["error"]
                store.add_test(trial, Score("test", 1 - wrong, Estimate(wrong, wrong * 0.7, wrong * 1.4), 1000))
            store.decide("settled", [trial.number for trial in front_of(final, objectives)])
    return folder
