"""A settled study of two networks that were really made, compiled for this machine and kept; only its readings are written."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from joulefront import kept
from joulefront.bench.target import target_of
from joulefront.cache import Cache
from joulefront.config import StudyConfig, parse
from joulefront.prepare import Maker, Recipe
from joulefront.records import Estimate, Measurement, Score, Target, Trial
from joulefront.space_records import Genome
from joulefront.store import Store
from joulefront.study_facts import versions
from joulefront_agent import machine
from joulefront_devices.device import Device

MODEL = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from joulefront.tasks import Task

torch.manual_seed(0)
DATA = TensorDataset(torch.rand(40, 1, 8, 8), torch.arange(40) % 10)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * 16, 10),
    )


def task():
    return Task(net(), torch.rand(1, 1, 8, 8), DATA, DATA, DATA)
"""
STUDY = """
name = "shippable"
[task]
kind = "model.py:task"
[space]
multiple = 4
[recover]
screen_epochs = 0.5
full_epochs = 0.5
"""
UNPRUNED, PRUNED = 7, 8
HOSTILE = "\x1b[2J</script>; rm -rf ~"


def write_shippable(folder: Path, *, device: dict[str, Any] | None = None) -> Path:
    """The results of a study whose file would lie in ``folder``: trial UNPRUNED, and PRUNED, the knee of the front.

    ``device`` replaces facts of the device, which is this machine.
    """
    (folder / "model.py").write_text(MODEL)
    facts = machine.facts(Path("/"), "none") | (device or {})
    target = target_of(Device(name="here"), machine.facts(Path("/"), "none"), 1)
    study = parse(STUDY, StudyConfig, source="study.toml")
    maker = Maker(Recipe(study.model_dump_json(), folder, target), Cache())
    results = folder / "results" / study.name
    with Store.create_or_resume(results, STUDY, "study.toml") as store:
        _freeze(store, facts, target, maker)
        store.decide("origin", str(folder))
        trials = [
            _settled(store, maker, UNPRUNED, maker.space.full, 2e-5),
            _settled(store, maker, PRUNED, maker.space.uniform(0.5), 1e-5),
        ]
        store.decide("settled", [trial.number for trial in trials])
    return results


def bare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """run.py in a Python that has the standard library and nothing else."""
    command = [sys.executable, "-I", "-S", str(folder / "run.py"), *arguments]
    return subprocess.run(command, cwd="/", env={}, capture_output=True, text=True, check=False)


def _freeze(store: Store, facts: dict[str, Any], target: Target, maker: Maker) -> None:
    frozen = {
        "device": facts,
        "target": asdict(target),
        "versions": versions(),
        "task": maker.identity,
        "space": asdict(maker.space),
        "objectives": {"names": ["error", "latency_s"]},
    }
    for name, fact in frozen.items():
        store.freeze(name, fact)


def _settled(store: Store, maker: Maker, number: int, genome: Genome, latency_s: float) -> Trial:
    made = maker.prepare(genome, "full")
    wrong = made.candidate.score.error
    measurement = Measurement(
        grade="full",
        provenance="simulated",
        latency_s=Estimate(latency_s, 0.98 * latency_s, 1.02 * latency_s),
        repeats_s=((latency_s,) * 3, (1.01 * latency_s,) * 3),
        energy_j=None,
        energy_provenance=None,
        energy_reason="a written study has no meter",
        conditions={"before": {"cores": HOSTILE, "temperature_c": None}, "after": {"temperature_c": 40.0}},
        warnings=(f"the device says {HOSTILE}",),
    )
    trial = Trial(
        number=number,
        genome=genome,
        fidelity="full",
        candidate=made.candidate,
        artifact=made.artifact,
        measurement=measurement,
        objectives={"error": wrong.value, "latency_s": latency_s},
        intervals={"error": (wrong.low, wrong.high), "latency_s": (0.98 * latency_s, 1.02 * latency_s)},
    )
    store.record(trial)
    kept.keep(store.folder, trial, made)
    return store.add_test(trial, Score("test", 1 - wrong.value, wrong, 40))
