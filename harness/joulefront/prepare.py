"""From a genome to something that can be measured: cut, recover, validate, compile. Runs in the worker processes."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

from joulefront import compile as compiling
from joulefront import plugins, prune, tasks, training
from joulefront.cache import Cache, disk, file_sha256, key_of, require_room
from joulefront.compile.packed import packed_b
from joulefront.compile.sources import kernels_version
from joulefront.config import Plugin, StudyConfig
from joulefront.errors import CompileError, ConfigError, StoreError, TrainError
from joulefront.objectives import MACRO
from joulefront.protocols import Compiler, Task
from joulefront.prune.candidate import Remembered
from joulefront.prune.candidate import check as check_criterion
from joulefront.prune.candidate import prune as prune_model
from joulefront.prune.cost import count
from joulefront.prune.evidence import Evidence
from joulefront.prune.groups import find_groups
from joulefront.prune.masks import masks_of
from joulefront.prune.space import export, find_space
from joulefront.prune.weights import load, save
from joulefront.records import Array, Artifact, Candidate, Composition, Fidelity, Genome, Job, Prepared, Score, Target
from joulefront.results import Results
from joulefront.tasks.task import check, check_classifier
from joulefront.tuning.database import NOTHING, Database, Snapshot

# Every candidate is recovered with the same seed: what it becomes belongs to the network, not to the study that asked.
_SEED = 0
# So many widths a layer should have to choose from, where the study leaves the multiple to the device's vectors.
_LEAST_WIDTHS = 8
_LEAST_ROOM_B = 16 * 2**20
_WEIGHTS, _LIBRARY, _CHECK = "weights.safetensors", "model.so", "check.safetensors"


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
        self._criteria = {
            name: Remembered(plugins.build(plugin, prune.READY, folder=folder, where=where))
            for name, (plugin, where) in _criteria(study).items()
        }
        for criterion in self._criteria.values():
            check_criterion(criterion, self._evidence, self._unpruned)
        parts = self._identify(study, folder)
        # A candidate does not depend on the compiler; a study's measurements do.
        self.identity = {**parts, "compiler": compiler_fact(self._compiler)}
        self._made_from = {
            **parts,
            "precision": self._precision,
            "device": self._device,
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
        return {name: _short(sha256) for name, sha256 in parts.items()}

    def prepare(self, genome: Genome, fidelity: Fidelity) -> Prepared:
        """The candidate of ``genome``, recovered as ``fidelity`` asks, and compiled.

        Raises CandidateError when it cannot be made, and StoreError when the disk refuses.
        """
        pruning = self.space.pruning(genome)
        config = self._recover_config
        recovery = {
            **config.model_dump(
                mode="json", exclude={"screen_epochs", "full_epochs", "screen_examples", "precision", "device"}
            ),
            "epochs": config.screen_epochs if fidelity == "screen" else config.full_epochs,
            "examples": config.screen_examples if fidelity == "screen" else None,
        }
        key = key_of(**self._made_from, recovery=recovery, pruning=asdict(pruning), fidelity=fidelity)
        made = self._cache.entry("candidates", key, lambda folder: self._recover(genome, fidelity, folder))
        candidate = Candidate(
            key=key,
            sha256=made.sha256[_WEIGHTS],
            pruning=pruning,
            fidelity=fidelity,
            score=TypeAdapter(Score).validate_python(made.meta["score"]),
            params=made.meta["params"],
            macs=made.meta["macs"],
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

    def _recover(self, genome: Genome, fidelity: Fidelity, folder: Path) -> dict[str, Any]:
        """Cut the network, give it its accuracy back, judge it, and leave its weights in ``folder``."""
        begin_s = time.perf_counter()
        config = self._recover_config
        pruning = self.space.pruning(genome)
        criterion = self._criteria[pruning.criterion]
        model = prune_model(
            self._task.model,
            self._task.example,
            pruning,
            criterion,
            task=self._task,
            groups=self._groups,
            evidence=self._evidence,
        )
        if replace(pruning, criterion="") != replace(self._unpruned, criterion=""):  # that stays what the user trained
            training.recalibrate(
                model,
                self._task,
                batches=config.recalibrate_batches,
                batch_size=config.batch_size,
                seed=_SEED,
                device=self._device,
            )
            training.fit(
                model,
                self._task,
                epochs=config.screen_epochs if fidelity == "screen" else config.full_epochs,
                learning_rate=config.learning_rate,
                batch_size=config.batch_size,
                seed=_SEED,
                precision=self._precision,
                device=self._device,
                teacher=self._task.model if config.distillation else None,
                distillation=config.distillation,
                temperature=config.temperature,
                patience=config.patience,
                masks=masks_of(model) if any(pruning.sparsity.values()) else None,
            )
        limit = config.screen_examples if fidelity == "screen" else None
        score = training.evaluate(model, self._task, "validation", limit=limit, seed=_SEED, device=self._device)
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
    others = {name: (Plugin(kind=name), "[space] criteria") for name in study.space.criteria}
    own = (study.criterion, "[criterion]")
    return {**others, study.criterion.kind: own, "": own}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model as a library, and what the bench needs to measure it. ``making_s`` is how long compiling took, in s."""

    artifact: Artifact
    job: Job
    making_s: float


def load_task(plugin: Plugin, folder: Path, *, needs_data: bool) -> Task:
    """The task that ``plugin`` names, checked. Raises ConfigError."""
    return check(plugins.build(plugin, tasks.READY, folder=folder, where="[task]"), needs_data=needs_data)


def load_compiler(plugin: Plugin, folder: Path, target: Target, tuned: Snapshot) -> Compiler:
    """The compiler that ``plugin`` names, for ``target``; a ready-made one knows what was ``tuned``. Raises ConfigError."""
    given = {"target": target, **({"tuned": tuned} if plugin.kind in compiling.READY else {})}
    compiler: Compiler = plugins.build(plugin, compiling.READY, folder=folder, where="[compile]", **given)
    return compiler


def tuned_for(device: str, folder: Path, target: Target) -> Snapshot:
    """What tuning has found so far for a target on the device of that name or file, which is named from ``folder``.

    Raises StoreError.
    """
    return Database.of(device, folder).snapshot(target, kernels_version())


def load_searched(study: Results, moved: Path | None = None) -> Task:
    """The task whose model a study searched, from where its file lay then or, now, in the folder ``moved``.

    Raises ConfigError when it cannot be had or holds another model.
    """
    folder = moved or study.origin
    if folder is None:
        raise ConfigError(f"{study.folder} does not tell where its study file lay: name that folder with --from")
    try:
        task = load_task(study.study.task, folder, needs_data=False)
    except ConfigError as error:
        raise ConfigError(
            f"{error}; if the files of {study.folder} were moved, name their folder with --from"
        ) from error
    if _short(model_key(task.model, task.example)) != study.facts["task"]["model"]:
        raise ConfigError(
            f"[task] {study.study.task.kind} in {folder} is another model than {study.folder} searched: put back its code "
            "and weights, or name the folder that has them with --from"
        )
    return task


def compiler_fact(compiler: Compiler) -> str:
    """What a study freezes of its compiler."""
    return _short(key_of(compiler=compiler.key))


def compiled_model(
    model_of: Callable[[], nn.Module],
    example: tuple[Tensor, ...],
    compiler: Compiler,
    target: Target,
    cache: Cache,
    *,
    key: str,
    label: str,
) -> Compiled:
    """The library of a model for ``target``, with an input and what torch makes of it; from the cache where it is there.

    ``key`` identifies the model that ``model_of`` returns, ``label`` names it in messages. Raises CompileError, and
    StoreError when the disk refuses.
    """

    def source() -> Source:
        model = model_of()
        inputs, outputs = checkable(model, example)
        return Source(
            [part.contiguous().numpy() for part in inputs],
            [part.contiguous().numpy() for part in outputs],
            sum(tensor.nbytes for tensor in model.state_dict().values()),
            lambda library: compiler.compile(model, example, library),
        )

    shapes = [[list(part.shape), str(part.dtype)] for part in example]
    artifact_key = key_of(model=key, compiler=compiler.key, example=shapes)
    return compiled(source, target, cache, key=artifact_key, label=label)


@dataclass(frozen=True, slots=True)
class Source:
    """A model that is ready to be compiled, of ``size_b`` bytes, with an input and what it makes of it."""

    inputs: Sequence[NDArray[Any]]
    outputs: Sequence[NDArray[Any]]
    size_b: int
    compile: Callable[[Path], Composition | None]


def compiled(
    source_of: Callable[[], Source], target: Target, cache: Cache, *, key: str, label: str, reference: str = "torch"
) -> Compiled:
    """The library that ``source_of`` compiles for ``target``; from the cache where it is there.

    ``key`` identifies the model and all else that the library depends on; ``reference`` names what made its outputs.
    Raises CompileError, and StoreError when the disk refuses.
    """

    def make(folder: Path) -> dict[str, Any]:
        begin_s = time.perf_counter()
        source = source_of()
        arrays = {f"input{i}": part for i, part in enumerate(source.inputs)}
        arrays |= {f"output{i}": part for i, part in enumerate(source.outputs)}
        data = safetensors.numpy.save(arrays)
        with disk(str(folder)):
            (folder / _CHECK).write_bytes(data)
        # The compiler writes object files of about the weights' size to both, and a full disk is no candidate's fault.
        for written in (folder, Path(tempfile.gettempdir())):
            require_room(written, _LEAST_ROOM_B + 4 * source.size_b)
        composition = source.compile(folder / _LIBRARY) or Composition()  # a user's own compiler may not tell
        making_s = time.perf_counter() - begin_s
        return {"making_s": making_s, "composition": asdict(composition), "packed_b": packed_b(folder / _LIBRARY)}

    entry = cache.entry("artifacts", key, make)
    library = entry.path(_LIBRARY)
    arrays = safetensors.numpy.load_file(entry.path(_CHECK))
    sha256 = entry.sha256[_LIBRARY]
    composition = TypeAdapter(Composition).validate_python(entry.meta["composition"])
    packed = entry.meta["packed_b"] if "packed_b" in entry.meta else packed_b(library)  # an earlier version's entry
    return Compiled(
        Artifact(key, sha256, library.stat().st_size, target, composition, packed),
        Job(
            label,
            library,
            sha256,
            _arrays(arrays, "input"),
            _arrays(arrays, "output"),
            reference,
            composition.fallbacks,
        ),
        entry.meta["making_s"],
    )


def model_key(model: nn.Module, example: tuple[Tensor, ...]) -> str:
    """A hash of what a model computes at the shapes of ``example``: its exported graph and every tensor in it.

    Raises PruneError when torch.export does not take the model.
    """
    program = export(model, example)
    digest = hashlib.sha256(str(program.graph).encode())
    tensors = {**program.state_dict, **program.constants}
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _short(sha256: str) -> str:
    """As much of a hash as tells what was changed."""
    return sha256[:16]


def _sources_sha256() -> str:
    """A hash of this project's own code that makes a candidate."""
    package = Path(__file__).parent
    sources = [
        Path(__file__),
        *(path for room in ("training", "prune", "tasks") for path in (package / room).rglob("*.py")),
    ]
    return key_of(sources={str(source.relative_to(package)): file_sha256(source) for source in sources})


def checkable(model: nn.Module, example: tuple[Tensor, ...]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """An input to compare outputs on, and what torch makes of it: noise, or the example where noise has no finite outcome."""
    with torch.no_grad():
        for inputs in (_noise(example), example):
            outputs = _flat(model(*inputs))
            if all(bool(part.isfinite().all()) for part in outputs):
                return inputs, outputs
    raise TrainError("the model's output for task.example is not finite")


def _noise(example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The input that outputs are compared on: noise of the example's spread, so that no zero hides a wrong kernel.

    Integers and truth values stay the example's, since not every one of them is legal.
    """
    generator = torch.Generator().manual_seed(_SEED)
    return tuple(
        part.mean() + (part.std(correction=0) or 1.0) * torch.randn(part.shape, generator=generator, dtype=part.dtype)
        if part.is_floating_point()
        else part
        for part in example
    )


def _flat(outputs: Any) -> Sequence[Tensor]:
    parts = outputs if isinstance(outputs, tuple | list) else [outputs]
    if wrong := [part for part in parts if not isinstance(part, Tensor)]:
        raise CompileError(
            f"the model returns a {type(wrong[0]).__name__} where a tensor, or a tuple of tensors, can be checked and compiled"
        )
    return list(parts)


def _arrays(arrays: dict[str, Any], prefix: str) -> tuple[Array, ...]:
    """The arrays named prefix0, prefix1, …, in order."""
    count = sum(name.startswith(prefix) for name in arrays)
    named = [arrays[f"{prefix}{index}"] for index in range(count)]
    return tuple(Array(array.shape, str(array.dtype), array.tobytes()) for array in named)
