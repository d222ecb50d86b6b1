"""TOML files into typed values; every mistake in them is one message that names the file, the key and what was expected.

A table with a ``kind`` names an implementation of a plug point; its other keys are that implementation's arguments and
are checked against its signature where it is built (``plugins.py``).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from joulefront.errors import ConfigError
from joulefront.problems import problems

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Limit = Annotated[float, Field(gt=0)] | None
Objective = Literal[
    "error",
    "precision_error",
    "recall_error",
    "f1_error",
    "loss",
    "latency_s",
    "latency_p99_s",
    "energy_j",
    "size_b",
    "packed_b",
    "params",
    "macs",
    "memory_b",
]


class Table(BaseModel):
    """A TOML table with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Plugin(BaseModel):
    """A TOML table that names an implementation: ``kind``, and the arguments of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    kind: str = Field(min_length=1, description='A ready-made name, "package.module:object" or "file.py:object".')

    @property
    def arguments(self) -> dict[str, Any]:
        """Everything in the table but ``kind``."""
        return dict(self.model_extra or {})


class SpaceConfig(Table):
    """What the search may choose from."""

    multiple: Positive | Literal["auto"] = Field(
        default="auto",
        description='Widths are multiples of this; "auto" is how many float32 one vector register of the device holds, '
        "and a half or a quarter of it for layers that would have fewer than 8 widths.",
    )
    floor: Fraction = Field(default=0.125, description="The smallest share of a layer's channels that may be kept.")
    floors: dict[str, Fraction] = Field(
        default={}, description="Another floor for the layers below each name, such as {stage3 = 0.5}."
    )
    exclude: tuple[str, ...] = Field(default=(), strict=False, description="Layers that are left alone.")
    shared: Literal["auto", "none"] | Names = Field(
        default="auto",
        description='Layers that are cut by one share: those below each of these names; "auto" joins layers of one role, such '
        'as layer1.*.conv1, until there are at most 40 genes; "none" joins none.',
    )
    blocks: bool | Names = Field(
        default=False, description="Residual blocks that may be taken out: all (true), or those named."
    )
    sparsity: tuple[Share, ...] = Field(
        default=(),
        strict=False,
        description="Shares of a layer's single weights that may be zero, such as [0.5, 0.8]: smaller when packed, not quicker. "
        "Every criterion has to judge single weights.",
    )
    criteria: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Criteria that the search may choose from, beside the study's own; by name, without arguments.",
    )


class FineTuning(Table):
    """What follows a cut: BatchNorm's statistics anew, then fine-tuning."""

    recalibrate_batches: int = Field(default=16, ge=0, description="Batches that BatchNorm is recalibrated on.")
    learning_rate: float = Field(default=0.02, gt=0, description="The peak of fine-tuning's learning rate (SGD).")
    batch_size: int = Field(default=64, ge=1)
    distillation: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="How much of fine-tuning's loss is the distance to the unpruned model's outputs.",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Of distillation: higher tells more of the unlikely classes."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop fine-tuning after so many epochs without a lower loss on a tenth of the train split, held out for it.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description='Where fine-tuning computes; "auto" is a GPU of this host where torch has one.'
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description='Of fine-tuning on the host; "auto" takes bfloat16 where this CPU computes in it.'
    )


class RecoverConfig(FineTuning):
    """How a cut network gets its accuracy back, and how it is judged."""

    screen_epochs: float = Field(
        default=1.0, ge=0, description="Epochs of fine-tuning for each candidate in the search."
    )
    full_epochs: float = Field(default=10.0, ge=0, description="Epochs of fine-tuning on the final front.")
    screen_examples: int | None = Field(
        default=None, ge=1, description="How many validation examples the search judges by; all of them when not given."
    )
    inherit: bool = Field(
        default=False,
        description="In the search, begin with the weights of the nearest larger network that was fine-tuned before: better "
        "after strong cuts, but networks that had such a start look better than others.",
    )


class CompileConfig(Plugin):
    """The compiler and its settings."""

    kind: str = Field(
        default="tvm",
        description="With winograd = false, tvm computes no convolution by transforms, whose weights take more memory.",
    )
    threads: int = Field(default=1, ge=1, description="Threads that one inference uses on the device.")
    tuning: bool = Field(
        default=True, description="Compute kernels as `joulefront tune` found quickest on the device, where it did."
    )


class MeasureConfig(Table):
    """How long and how closely to measure."""

    interval: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="In the search, go on until the 95 % interval of the median latency is within ± this share.",
    )
    repeats: int = Field(
        default=5,
        ge=2,
        description="At least so many processes a measurement in the search; of three no drift can be told from noise.",
    )
    time_s: float = Field(default=4.0, gt=0, description="At most so long a measurement in the search, in s.")
    full_interval: float = Field(
        default=0.014,
        gt=0,
        lt=1,
        description="The same on the final front: two networks that are within ± 1.4 % are compared within ± 2 %.",
    )
    full_repeats: int = Field(
        default=5, ge=2, description="At least so many processes a measurement on the final front."
    )
    full_time_s: float = Field(default=15.0, gt=0, description="The same on the final front, in s.")
    energy_s: float = Field(
        default=10.0,
        ge=1.0,
        description="Each energy window on the final front lasts at least so long, in s; a fifth of it in the search.",
    )
    energy_updates: int = Field(
        default=100, ge=10, description="And so many updates of the meter, for a minute at most; in the search 10."
    )
    energy_interval: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="On the final front, go on until the 95 % interval of the joules is within ± this share.",
    )
    energy_time_s: float = Field(
        default=150.0, gt=0, description="At most so long for a network's energy windows on the final front, in s."
    )
    canary: int = Field(
        default=20,
        ge=0,
        description="Measure the reference again after so many networks of a search, against drift; 0 never does.",
    )
    timeout_s: float = Field(default=60.0, gt=0, description="A candidate that has not answered by then hangs, in s.")


class SearchConfig(Plugin):
    """The search and its budget."""

    kind: str = Field(default="nsga2", description="nsga2, nsga3, spea2, weighted-sum or random.")
    seed: int = Field(default=0, ge=0)
    evaluations: int = Field(default=60, ge=1, description="How many networks to measure in the search.")


class PrepareConfig(Table):
    """The worker processes on this host that make candidates."""

    workers: Positive | Literal["auto"] = Field(default="auto", description="Their number; 'auto' is one a core.")


class LimitsConfig(Table):
    """Hard limits, in SI units: networks that keep all of them come first, and only they are on a front."""

    error: Limit = Field(default=None, description="1 - metric on the validation split, such as 0.05.")
    precision_error: Limit = Field(default=None, description="1 - precision, averaged over a classifier's classes.")
    recall_error: Limit = Field(default=None, description="1 - recall, averaged over a classifier's classes.")
    f1_error: Limit = Field(default=None, description="1 - F1, averaged over a classifier's classes.")
    loss: Limit = Field(default=None, description="The task's loss on the validation split.")
    latency_s: Limit = Field(default=None, description="The median latency of one inference, in s.")
    latency_p99_s: Limit = Field(default=None, description="Its 99th percentile, in s.")
    energy_j: Limit = Field(default=None, description="Gross energy of one inference, in J.")
    size_b: Limit = Field(default=None, description="The compiled library's size, in bytes.")
    packed_b: Limit = Field(default=None, description="Its size as zlib packs it, which is where zeros pay, in bytes.")
    params: Limit = Field(default=None, description="The number of parameters.")
    macs: Limit = Field(default=None, description="Multiply-accumulates of one inference.")
    memory_b: Limit = Field(
        default=None,
        description="The most memory that the network adds to its process on the device, loading included, in bytes.",
    )

    @property
    def given(self) -> dict[str, float]:
        """The limits that are set, by objective."""
        return {name: float(value) for name, value in self.model_dump().items() if value is not None}


class StudyConfig(Table):
    """A study: the question that a search answers."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Names the folder of its results.")
    device: str = Field(default="local", description="A registered device, or the path of a device's TOML file.")
    objectives: tuple[Objective, ...] = Field(
        default=("error", "latency_s", "energy_j"),
        strict=False,
        min_length=1,
        description="What to minimise: any that [limits] names. energy_j is left out, with a word, where the device has "
        "no meter; latency_p99_s takes 1,000 inferences, whatever the time.",
    )
    task: Plugin = Field(
        description='The model and its data: mnist5k, digits, fashion_mnist, "package.module:object" or "file.py:object".'
    )
    space: SpaceConfig = SpaceConfig()
    criterion: Plugin = Field(
        default=Plugin(kind="l2"),
        description="What is worth keeping, such as l2, group-l2, taylor or activation: docs/criteria.md has all.",
    )
    recover: RecoverConfig = RecoverConfig()
    compile: CompileConfig = CompileConfig()
    measure: MeasureConfig = MeasureConfig()
    search: SearchConfig = SearchConfig()
    prepare: PrepareConfig = PrepareConfig()
    limits: LimitsConfig = LimitsConfig()

    @property
    def wanted(self) -> frozenset[str]:
        """Every objective and limit, by name."""
        return frozenset({*self.objectives, *self.limits.given})

    @model_validator(mode="after")
    def _no_repeats(self) -> StudyConfig:
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError("objectives: expected each objective once")
        return self

    @model_validator(mode="after")
    def _is_a_choice(self) -> StudyConfig:
        if set(self.space.criteria) == {self.criterion.kind}:
            raise ValueError(
                f"space.criteria: {self.criterion.kind!r} is the study's own criterion, so there is nothing to choose: name "
                "another one beside it, or leave criteria out"
            )
        return self


AnyTable = TypeVar("AnyTable", bound=BaseModel)


def read(path: Path, kind: type[AnyTable]) -> AnyTable:
    """The file at ``path`` as a ``kind``. Raises ConfigError."""
    return parse(read_text(path), kind, source=str(path))


def read_text(path: Path) -> str:
    """The text of the file at ``path``. Raises ConfigError when there is none, or when it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def study_text(file: Path, device: str | None = None) -> str:
    """The text of the study in ``file``, on ``device`` where that is another one than the file names.

    It is another study then, with the device's name behind its own. Raises ConfigError.
    """
    text = read_text(file)
    study = parse(text, StudyConfig, source=str(file))
    if device is None or device == study.device:
        return text
    import tomlkit

    document = tomlkit.parse(text)
    document["name"] = f"{study.name}-{Path(device).stem if device.endswith('.toml') else device}"
    document["device"] = str(Path(device).expanduser().resolve()) if device.endswith(".toml") else device
    return tomlkit.dumps(document)


def parse(text: str, kind: type[AnyTable], *, source: str) -> AnyTable:
    """``text`` as a ``kind``; ``source`` names it in messages. Raises ConfigError."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source}: {problem}" for problem in problems(kind, error))) from None
