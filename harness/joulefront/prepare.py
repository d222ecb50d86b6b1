"""From a genome to something that can be measured: cut, recover, validate, compile. Runs in the worker processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import nn

from joulefront import plugins, prune, tasks, training
from joulefront.cache import Cache, Entry, file_sha256, key_of, short
from joulefront.compiled import compiled_model, compiler_fact, load_compiler
from joulefront.config import Plugin, StudyConfig
from joulefront.errors import StoreError
from joulefront.loaded import load_task, model_key
from joulefront.objectives import MACRO
from joulefront.prune.candidate import Remembered, effective
from joulefront.prune.candidate import check as check_criterion
from joulefront.prune.candidate import prune as prune_model
from joulefront.prune.cost import count
from joulefront.prune.evidence import Evidence
from joulefront.prune.groups import find_groups
from joulefront.prune.inheritance import learnt, nearest
from joulefront.prune.masks import masks_of
from joulefront.prune.space import find_space
from joulefront.prune.storage import parsed
from joulefront.prune.weights import load, save
from joulefront.records import Candidate, Fidelity, Prepared, Score, Target
from joulefront.space_records import Genome, Pruning
from joulefront.tasks.task import check_classifier
from joulefront.tuning.database import NOTHING, Snapshot

# Every candidate is recovered with the same seed: what it becomes belongs to the network, not to the study that asked.
_SEED = 0
# So many widths a layer should have to choose from, where the study leaves the multiple to the device's vectors.
_LEAST_WIDTHS = 8
# Of how to recover: what is no part of what a candidate is made from, or has a part of its own.
_NO_PART_OF_A_CANDIDATE = {"screen_epochs", "full_epochs", "screen_examples", "precision", "device", "inherit"}
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a worker needs to know: the study as JSON, the folder that its files are named from, the target, and which
    variants of kernels tuning has found for it."""

    study: str
    folder: Path
    target: Target
    tuned: Snapshot = NOTHING


class Maker:
    """Makes candidates for one study and one target; what the cache holds is not made again."""

    def __init__(self, recipe: Recipe, cache: Cache) -> None:
        """Raises ConfigError for a task, criterion or compiler that cannot be had, PruneError for a model that cannot be cut."""
        study, folder = StudyConfig.model_validate_json(recipe.study), recipe.folder
        self._recover_config = study.recover
        self._device = training.resolve_device(study.recover.device)
        self._precision = training.resolve_precision(study.recover.precision, self._device)
        self._task = load_task(study.task, folder, needs_data=True)
        check_classifier(self._task, sorted(study.wanted.intersection(MACRO)))
        self._compiler = load_compiler(study.compile, folder, recipe.target, recipe.tuned)
        self._target = recipe.target
        self._cache = cache
        self.space = find_space(
            self._task.model,
            self._task.example,
            multiple=recipe.target.vector_floats if study.space.multiple == "auto" else study.space.multiple,
            least_widths=_LEAST_WIDTHS if study.space.multiple == "auto" else 1,
            own_criterion=study.criterion.kind,
            **study.space.model_dump(exclude={"multiple"}),
        )
        self._groups = find_groups(self._task.model, self._task.example)
        self._evidence = Evidence(self._task.model, self._task, self._task.example, self._groups, seed=_SEED)
        self._unpruned = self.space.pruning(self.space.full)
        self._criteria = {}
        for name, (plugin, where) in _criteria(study).items():
            criterion = Remembered(plugins.build(plugin, prune.READY, folder=folder, where=where))
            check_criterion(criterion, self._evidence, self._unpruned, where=where)
            self._criteria[name] = criterion
        parts = self._identify(study, folder)
        # A candidate does not depend on the compiler; a study's measurements do.
        self.identity = {**parts, "compiler": compiler_fact(self._compiler)}
        self._made_from = {
            **parts,
            "precision": self._precision,
            "device": training.identity_of(self._device),
            "seed": _SEED,
            "versions": {name: version(name) for name in ("torch", "torch-pruning")},
        }

    def _identify(self, study: StudyConfig, folder: Path) -> dict[str, str]:
        """What candidates are made from, by its parts: each a hash. The same in every process, or the task is at fault."""
        task = self._task
        splits = [task.train, task.validation, task.test]
        parts = {
            "model": model_key(task.model, task.example),
            "data": key_of(splits=[training.data_sha256(split) for split in splits if split is not None]),
            "task": plugins.fingerprint(study.task, tasks.READY, folder=folder, where="[task]"),
            "criterion": key_of(
                criteria={
                    name: plugins.fingerprint(plugin, prune.READY, folder=folder, where=where)
                    for name, (plugin, where) in _criteria(study).items()
                }
            ),
            "making": _sources_sha256(),
        }
        return {name: short(sha256) for name, sha256 in parts.items()}

    def prepare(self, genome: Genome, fidelity: Fidelity, before: Sequence[Genome] = ()) -> Prepared:
        """The candidate of ``genome``, recovered as ``fidelity`` asks, and compiled.

        ``before`` are genomes of candidates that were screened without a parent: the nearest one that holds all of this one
        is its parent, if any does. Raises CandidateError when it cannot be made, and StoreError when the disk refuses.
        """
        pruning = self.space.pruning(genome)
        parent = self._parent_of(pruning, before)
        key, made = self._recovered(genome, fidelity, parent)
        candidate = Candidate(
            key=key,
            sha256=made.sha256[_WEIGHTS],
            pruning=pruning,
            fidelity=fidelity,
            score=TypeAdapter(Score).validate_python(made.meta["score"]),
            params=made.meta["params"],
            macs=made.meta["macs"],
            parent=parent,
        )
        weights = made.path(_WEIGHTS)
        compiled = compiled_model(
            lambda: load(self._task.model, self._task.example, pruning, weights, groups=self._groups),
            self._task.example,
            self._compiler,
            self._target,
            self._cache,
            key=key,
            label=pruning.text,
        )
        return Prepared(candidate, compiled.artifact, compiled.job, weights, made.meta["making_s"] + compiled.making_s)

    def _parent_of(self, pruning: Pruning, before: Sequence[Genome]) -> Genome | None:
        """Which of ``before`` the candidate begins with; None for the unpruned network, which is what it begins with anyway."""
        wanted = effective(pruning, self._groups)
        prunings = [effective(self.space.pruning(other), self._groups) for other in before]
        if wanted in prunings:  # another name of the same network, which is there already
            return None
        others = [index for index, other in enumerate(prunings) if not self._is_unpruned(other)]
        index = nearest(wanted, [prunings[other] for other in others], self._groups)
        return None if index is None else before[others[index]]

    def _is_unpruned(self, pruning: Pruning) -> bool:
        """Whether nothing is pruned, whatever would judge."""
        return replace(pruning, criterion="") == replace(self._unpruned, criterion="")

    def _asked_for(self, fidelity: Fidelity) -> tuple[float, int | None]:
        """Epochs of fine-tuning, and how many validation examples judge; None is all of them."""
        config = self._recover_config
        return (config.screen_epochs, config.screen_examples) if fidelity == "screen" else (config.full_epochs, None)

    def _recovered(self, genome: Genome, fidelity: Fidelity, parent: Genome | None) -> tuple[str, Entry]:
        """The candidate's key and its entry in the cache, made now where it is not there."""
        epochs, examples = self._asked_for(fidelity)
        recovery = {
            **self._recover_config.model_dump(mode="json", exclude=_NO_PART_OF_A_CANDIDATE),
            "epochs": epochs,
            "examples": examples,
        }
        begun = None if parent is None else self._recovered(parent, "screen", None)
        key = key_of(
            **self._made_from,
            recovery=recovery,
            pruning=asdict(effective(self.space.pruning(genome), self._groups)),
            fidelity=fidelity,
            **({"parent": begun[0]} if begun else {}),
        )

        def make(folder: Path) -> dict[str, Any]:
            whole = self._task.model if parent is None or begun is None else self._learnt(parent, begun[1])
            return self._recover(whole, genome, fidelity, folder)

        return key, self._cache.entry("candidates", key, make)

    def _learnt(self, parent: Genome, made: Entry) -> nn.Module:
        """The unpruned network with what the parent has learnt."""
        pruning = self.space.pruning(parent)
        return learnt(
            self._task.model,
            pruning,
            parsed(made.path(_WEIGHTS).read_bytes()),
            self._criteria[pruning.criterion],
            groups=self._groups,
            evidence=self._evidence,
        )

    def test(self, genome: Genome, sha256: str) -> Score:
        """The fully recovered candidate's score on the test split: for the final front, once.

        Raises StoreError when the candidate is not the one with the weights ``sha256``.
        """
        made = self.prepare(genome, "full")
        if made.candidate.sha256 != sha256:
            raise StoreError(f"the network {made.job.label}, made again, is another one than was measured")
        model = load(
            self._task.model, self._task.example, self.space.pruning(genome), made.weights, groups=self._groups
        )
        return training.evaluate(model, self._task, "test", device=self._device)

    def _recover(self, whole: nn.Module, genome: Genome, fidelity: Fidelity, folder: Path) -> dict[str, Any]:
        """Prune the ``whole`` network, give it its accuracy back, judge it, and leave its weights in ``folder``."""
        begin_s = time.perf_counter()
        epochs, examples = self._asked_for(fidelity)
        pruning = self.space.pruning(genome)
        criterion = self._criteria[pruning.criterion]
        model = prune_model(
            whole,
            self._task.example,
            pruning,
            criterion,
            task=self._task,
            groups=self._groups,
            evidence=self._evidence,
        )
        if not self._is_unpruned(pruning):  # that stays what the user trained
            zeros = masks_of(model, [layer for layer, share in pruning.sparsity.items() if share])
            training.recover(model, self._task, self._recover_config, epochs=epochs, seed=_SEED, masks=zeros)
        score = training.evaluate(model, self._task, "validation", limit=examples, seed=_SEED, device=self._device)
        cost = count(model, self._task.example)
        save(model, folder / _WEIGHTS)
        return {
            "score": asdict(score),
            "params": cost.params,
            "macs": cost.macs,
            "making_s": time.perf_counter() - begin_s,
        }


def _criteria(study: StudyConfig) -> dict[str, tuple[Plugin, str]]:
    """The criteria of a study by the names that genomes have for them, each with where it stands."""
    others = {name: (Plugin(kind=name), "[space] criteria:") for name in study.space.criteria}
    return {**others, study.criterion.kind if others else "": (study.criterion, "[criterion]")}


def _sources_sha256() -> str:
    """A hash of this project's own code that makes a candidate."""
    package = Path(__file__).parent
    sources = [
        Path(__file__),
        *(path for room in ("training", "prune", "tasks") for path in (package / room).rglob("*.py")),
    ]
    return key_of(sources={str(source.relative_to(package)): file_sha256(source) for source in sources})
