"""The records that travel between the rooms: frozen, typed, of plain values, so that each can be stored as JSON.

Units live in names, SI only. All objectives are minimised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from joulefront.kernel_records import Composition, Fallback
from joulefront.space_records import Genome, Pruning

Fidelity = Literal["screen", "full"]
"""How thoroughly a candidate was recovered and validated: ``screen`` in the search, ``full`` on the final front."""

Grade = Literal["screening", "full"]
"""How thoroughly a candidate was measured: ``screening`` in the search, ``full`` on the final front."""

Provenance = Literal["measured", "estimated", "simulated"]

_NOT_YET = "the version that recorded it did not tell"


@dataclass(frozen=True, slots=True)
class Target:
    """What code is generated for.

    ``triple`` and ``cpu`` and ``features`` are LLVM's (-mtriple, -mcpu, -mattr); ``vector_floats`` is how many float32
    one vector register holds and ``vector_registers`` how many such registers there are; ``threads`` is how many
    threads one inference uses. ``l2_b`` is how much of the second level of its cache one core may count on, in bytes.
    """

    triple: str
    cpu: str
    features: tuple[str, ...]
    vector_floats: int
    vector_registers: int
    threads: int = 1
    l2_b: int = 1 << 19


@dataclass(frozen=True, slots=True)
class Array:
    """A tensor as plain data: ``data`` holds the elements in C order, little-endian."""

    shape: tuple[int, ...]
    dtype: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Executed:
    """How a command elsewhere ended: its exit status and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval, in the unit of the field that holds it.

    Where the interval may not hold the truth in 95 % of cases, ``indicative`` says why.
    """

    value: float
    low: float
    high: float
    indicative: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What a model reached on a split: ``metric`` (higher is better, 1 is perfect) over ``examples`` examples.

    ``error`` is 1 - metric with its interval. ``loss`` is the task's, None where it was not finite or not recorded.
    ``macro`` has ``precision_error``, ``recall_error`` and ``f1_error`` of a classifier, 1 less the average over its
    classes; of anything else it is empty.
    """

    split: Literal["validation", "test"]
    metric: float
    error: Estimate
    examples: int
    loss: float | None = None
    macro: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pruned, recovered and validated model.

    ``key`` is made of what it was made from, ``sha256`` of its weights' bytes; ``score`` is on the validation split.
    ``parent`` is the genome of the candidate that it began with, None where that was the unpruned network.
    """

    key: str
    sha256: str
    pruning: Pruning
    fidelity: Fidelity
    score: Score
    params: int
    macs: int
    parent: Genome | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model compiled for one target: a shared library, named by the sha256 of its bytes.

    ``packed_b`` is its size as zlib packs it at level 6, in bytes, which is where zeros pay; None where an earlier version
    recorded it.
    """

    key: str
    sha256: str
    size_b: int
    target: Target
    composition: Composition = field(default_factory=Composition)
    packed_b: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What the bench needs to measure one model: the library, an input to run it on and what must come out of it.

    ``reference`` names what computed the ``expected`` outputs, for messages. ``fallbacks`` are those of the library.
    """

    label: str
    library: Path
    sha256: str
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    reference: str = "torch"
    fallbacks: tuple[Fallback, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A candidate that is ready to be measured.

    ``weights`` is its safetensors file. ``making_s`` says how long its recovery and its compilation took when they were
    done, in s, on one core of this host.
    """

    candidate: Candidate
    artifact: Artifact
    job: Job
    weights: Path
    making_s: float


@dataclass(frozen=True, slots=True)
class EnergyWindow:
    """Gross joules over one stretch of time, in which so many ``inferences`` ran; 0 of an idle one, a baseline.

    ``resolution_j`` is one step of the meter over it in J, ``period_s`` the time between two of its updates in s, ``gain``
    the share by which its scale may be off at most, None where nobody says. ``edges_s`` is by how much the meter's window
    may lie beside the device's at either end, in s. ``cost_s`` is the device's processor time that reading the meter took.
    ``doubts`` is what the meter itself has to say against it, in words.
    """

    energy_j: float
    window_s: float
    inferences: int
    resolution_j: float
    period_s: float
    gain: float | None
    edges_s: float
    cost_s: float
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time on a device, by the clock of the host: CLOCK_MONOTONIC_RAW, in s.

    Each end is known to within ``edges_s`` (half an interval, 95 % or more). ``inferences`` ran in it. ``busy_cores`` is how
    many cores' time was taken meanwhile on average, of ``cores``, None where the device does not say.
    """

    begin_s: float
    end_s: float
    edges_s: float
    inferences: int
    busy_cores: float | None
    cores: int


@dataclass(frozen=True, slots=True)
class Energy:
    """What the joules of a measurement are made of.

    ``net_j`` is what an inference takes beyond idling, in J, None with a ``net_reason``; ``power_w`` the mean power while
    the network ran, ``idle_w`` that of the ``baselines`` before and after, in W. ``parts`` holds the shares of the value, each
    half a 95 % interval, that make up the interval of the joules: "repeats", "edges", "resolution", "gain" and whatever else
    was known. ``factor`` is what the meter's joules were multiplied by, 1 where it was never compared with another one.
    """

    meter: str
    covers: str
    net_j: Estimate | None
    net_reason: str | None
    power_w: Estimate
    idle_w: Estimate | None
    parts: Mapping[str, float]
    windows: tuple[EnergyWindow, ...]
    baselines: tuple[EnergyWindow, ...] = ()
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the device did: every latency sample, the energy or the reason why there is none, and the conditions.

    ``latency_s`` estimates the median latency of one inference, in s, with the interval that the spread between the
    repeats gives. ``repeats_s`` holds every sample, in s: one tuple a repeat, each repeat a process of its own.
    ``latency_p99_s`` estimates the 99th percentile likewise. ``energy_j`` is gross joules per inference. ``memory_b`` is
    the most memory that the network added to its process, in bytes: loading it, and its first inferences. ``conditions``
    holds what was read ``before`` and ``after``. ``energy`` says what the joules are made of. ``set_aside`` holds the reasons
    of repeats that were no measurement, such as a processor that was throttled, and were made again.
    """

    grade: Grade
    provenance: Provenance
    latency_s: Estimate
    repeats_s: tuple[tuple[float, ...], ...]
    energy_j: Estimate | None
    energy_provenance: Provenance | None
    energy_reason: str | None
    conditions: Mapping[str, Mapping[str, float | int | str | None]]
    warnings: tuple[str, ...] = ()
    latency_p99_s: Estimate | None = None
    latency_p99_reason: str | None = _NOT_YET
    memory_b: Estimate | None = None
    memory_reason: str | None = _NOT_YET
    energy: Energy | None = None
    set_aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FunctionTime:
    """How long one call of a function takes on the device.

    ``rounds_s`` holds a figure in s for each round, in which all the functions that it is to be compared with had their
    turn; ``latency_s`` estimates their median, in s, with the interval that the spread between the rounds gives.
    """

    provenance: Provenance
    latency_s: Estimate
    rounds_s: tuple[float, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning a model came to.

    Of its kernels that there is more than one way to compute, ``known`` were tuned before, ``tried`` were now, of which
    ``changed`` are computed in another way since, and ``left`` were not reached in the time given. ``before`` is the model
    as it was measured untuned, ``after`` as it is with all that is known; if that was slower, nothing was ``kept``.
    """

    known: int
    tried: int
    changed: int
    left: int
    before: Measurement
    after: Measurement
    kept: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial has no objectives: the error's class name and message."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One genome's journey: its objectives, or why it failed.

    ``objectives`` are in SI units and minimised; ``intervals`` gives the 95 % interval of each. ``limited`` holds what the
    study limits, in SI units, and ``violation`` is by how much, relative to the limits, it breaks them: 0 when it keeps
    all of them. ``test`` is only there on the final front.
    """

    number: int
    genome: Genome
    fidelity: Fidelity
    candidate: Candidate | None = None
    artifact: Artifact | None = None
    measurement: Measurement | None = None
    objectives: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    limited: Mapping[str, float] = field(default_factory=dict)
    violation: float = 0.0
    failure: Failure | None = None
    test: Score | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A settled network measured again, at full grade, on the device of another study, or on its own.

    ``home`` names the study that found it and ``number`` its trial there. All visits of one ``session`` (when it began, in
    ISO 8601) were measured together, in rounds, one of the device's own study among them. ``artifact`` is the network
    compiled for this device.
    """

    session: str
    home: str
    number: int
    candidate: Candidate
    artifact: Artifact | None = None
    measurement: Measurement | None = None
    failure: Failure | None = None
