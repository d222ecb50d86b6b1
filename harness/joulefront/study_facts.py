"""What must not change while a study goes on: it is frozen when it begins."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from joulefront.compiled import tuned_for
from joulefront.config import StudyConfig
from joulefront.protocols import Bench
from joulefront.records import Target
from joulefront.store import frozen
from joulefront.tuning.database import NOTHING, Snapshot
from joulefront.workers import Loaded

# What a device says about itself that another boot may change.
_PASSING = frozenset({"boot", "memory_b"})


def tuned_of(config: StudyConfig, results: Path, folder: Path, target: Target) -> Snapshot:
    """What tuning had found when the study was begun: what it finds later is for other studies."""
    known = frozen(results, "tuned")
    if known is not None:
        return Snapshot.of(known)
    return tuned_for(config.device, folder, target) if config.compile.tuning else NOTHING


def frozen_facts(bench: Bench, loaded: Loaded, objectives: Sequence[str], tuned: Snapshot) -> dict[str, dict[str, Any]]:
    """What must not change while a study goes on: two halves that differ in one of these cannot stand in one front."""
    return {
        **device_facts(bench),
        "task": dict(loaded.identity),
        "space": asdict(loaded.space),
        "objectives": {"names": list(objectives)},
        "tuned": tuned.plain,
    }


def device_facts(bench: Bench) -> dict[str, dict[str, Any]]:
    """Of these, what any measurement on the study's device hangs on, of whatever network."""
    return {
        "device": {name: fact for name, fact in bench.facts.items() if name not in _PASSING},
        "target": asdict(bench.target),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of what searches, and of what makes a candidate and its code."""
    names = ("joulefront", "torch", "torch-pruning", "apache-tvm", "apache-tvm-ffi", "pymoo")
    return {name: importlib.metadata.version(name) for name in names}
