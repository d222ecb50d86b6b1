"""The plug points. Each is small; each has contract tests in ``tests/contract`` that every implementation passes.

One rule for all: ``kind = "…"`` in a table names the implementation, the table's other keys are the arguments of its
constructor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from joulefront.errors import CandidateError
from joulefront.kernel_records import Composition
from joulefront.records import EnergyWindow, Executed, Grade, Job, Measurement, Provenance, Stretch, Target, Trial
from joulefront.space_records import Genome

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import Dataset


@runtime_checkable
class Task(Protocol):
    """The user's own: a trained model, and what it takes to retrain and judge it.

    ``model`` is in eval mode, float32. ``example`` are the model's inputs for one inference, batch dimension first, of
    the shapes that are to be deployed. The splits are map-style datasets of ``(input, target)``; measuring alone needs
    none of them. ``train`` is what pruned models are fine-tuned on, ``validation`` what the search sees, and ``test``
    what is looked at once, on the final front.
    """

    # Read-only here, so that a frozen dataclass fits as well as plain attributes do.
    @property
    def model(self) -> nn.Module: ...
    @property
    def example(self) -> tuple[Tensor, ...]: ...
    @property
    def train(self) -> Dataset[Any] | None: ...
    @property
    def validation(self) -> Dataset[Any] | None: ...
    @property
    def test(self) -> Dataset[Any] | None: ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar. ``outputs`` is what the model returned, (n, …); ``targets`` (n, …)."""
        ...

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """How good the outputs of a whole split are: higher is better, 1 is perfect. Shapes as for ``loss``."""
        ...


class Outputs(Protocol):
    """What the channels of a group give to the layers that read them, over the calibration examples; each (channels,).

    Taken where they are read: behind the norm, the activation and the pooling that follow the channel. Of several
    readers it is the average. ``mean_abs`` is the mean of the absolute values, ``std`` their values' standard
    deviation, ``zeros`` the share, 0 to 1, of values that are exactly zero.
    """

    @property
    def mean_abs(self) -> Tensor: ...
    @property
    def std(self) -> Tensor: ...
    @property
    def zeros(self) -> Tensor: ...


class Group(Protocol):
    """Units that go or stay whole, as a criterion sees them: coupled channels, or the single weights of one layer.

    ``name`` is the group's or the layer's and ``channels`` the number of units. Removing unit i removes row i of
    everything here. Biases and the shifts of norms are left out. Whatever takes data is computed when it is first asked
    for, so a criterion need not say what it needs.

    - ``single``: whether the units are single weights. They have neither ``consumers`` nor ``scales``.
    - ``weights``: (channels, elements) for each coupled layer that writes the unit: row i is the filter that goes. Of
      single weights it is one tensor, (channels, 1).
    - ``consumers``: (channels, elements) for each layer that reads the unit.
    - ``scales``: (channels, k) for each BatchNorm behind the unit: its gamma.
    - ``gradients``: as ``weights``: of the mean loss over the calibration examples.
    - ``curvatures``: as ``weights``: the mean over examples of the squared gradient of one example's loss, which is the
      diagonal of the empirical Fisher matrix.
    - ``carried``: (channels, elements): the mean absolute value that each connection carries which goes with the unit,
      mean abs(input) · abs(weight). Those are the connections of ``consumers``; a single weight is one itself.
    - ``outputs``: what the units give to those that read them.
    - ``losses_without``: (channels,): the mean loss with the unit taken out, less the loss as it is.
    - ``coupled(grad)``: the group as torch-pruning's importances take it, a ``torch_pruning.dependency.Group``. Its layers'
      ``grad`` is what ``grad`` names, or None.

    What cannot be had (without data; single weights have no outputs) raises ConfigError, which says what to do instead.
    """

    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def single(self) -> bool: ...
    @property
    def weights(self) -> Sequence[Tensor]: ...
    @property
    def consumers(self) -> Sequence[Tensor]: ...
    @property
    def scales(self) -> Sequence[Tensor]: ...
    @property
    def gradients(self) -> Sequence[Tensor]: ...
    @property
    def curvatures(self) -> Sequence[Tensor]: ...
    @property
    def carried(self) -> Sequence[Tensor]: ...
    @property
    def outputs(self) -> Outputs: ...
    @property
    def losses_without(self) -> Tensor: ...

    def coupled(self, grad: Literal["gradients", "curvatures"] | None = None) -> Any: ...


class Criterion(Protocol):
    """Which units of a group to keep.

    One that has a threshold has an attribute ``cutoff``, a float: units that score below it go, where the user gives no
    ratio. One whose scores were made to be ranked over all groups together, as LAMP's, has a true attribute ``comparable``:
    they are not divided by their group's mean then.
    """

    def __call__(self, group: Group) -> Tensor:
        """One score per unit, (channels,), float32, on the CPU; the highest are kept. The same for the same group.

        Raises ConfigError for a group that it cannot judge.
        """
        ...


class Compiler(Protocol):
    """Turns a torch model into a shared library that the runtime on the device loads.

    ``key`` names everything about the compiler, the target and its settings that the library's bytes depend on.
    """

    key: str

    def compile(self, model: nn.Module, example: tuple[Tensor, ...], library: Path) -> Composition | None:
        """Write the library for ``model`` at the shapes of ``example`` to the path ``library``.

        Returns what it is made of, where the compiler can tell. Raises CompileError when the model cannot be exported or an
        operator cannot be compiled.
        """
        ...


class Channel(Protocol):
    """A running agent: lines to it and lines from it."""

    def send(self, line: bytes) -> None:
        """Send one line, without its newline. Raises AgentDied when nobody reads it."""
        ...

    def receive(self, timeout_s: float) -> bytes:
        """The next line, without its newline. Raises AgentTimeout after ``timeout_s``, AgentDied at the end of file,
        both with the tail of what the agent wrote to stderr."""
        ...

    def close(self) -> None:
        """End the agent and all that it started; never raises, and may be called again."""
        ...


class Transport(Protocol):
    """The way to a device: starts the agent there and ships files to it."""

    def start(self) -> Channel:
        """Start an agent. Raises TransportError."""
        ...

    def put(self, source: Path, sha256: str) -> str:
        """Ship a file unless it is there already; returns its absolute path on the device, whose name holds the hash.

        Raises TransportError, and never leaves a partial file under that name.
        """
        ...

    def close(self) -> None:
        """Remove what was shipped and let go of the device; never raises, and may be called again."""
        ...


class Remote(Protocol):
    """A shell and a file system elsewhere, as one user: what provisioning a device takes."""

    def execute(self, command: Sequence[str], *, given: bytes = b"", timeout_s: float = 60.0) -> Executed:
        """Run an argument list, with ``given`` on its stdin, and wait for it. Raises TransportError when the device is
        lost or the time is up; a status other than 0 is the caller's to judge."""
        ...

    def upload(self, source: Path, path: str) -> int:
        """Make the file at the absolute ``path`` a copy of ``source``, going on where an earlier upload to that path was
        cut off; returns how many bytes were moved. Raises TransportError. What is there is not durable yet, nor checked.
        """
        ...


class PowerMeter(Protocol):
    """A meter on the host that measures a device from outside, or estimates it.

    It records from ``begin`` to ``end``, and then tells the energy of any stretch of time between them. ``provenance`` is what
    its joules are called: "estimated" where it computes them from something else than power.
    """

    @property
    def name(self) -> str:
        """What it is called in results, such as "joulescope:js220/001234"."""
        ...

    @property
    def covers(self) -> str:
        """What it measures, such as "everything behind the supply's plug"."""
        ...

    @property
    def provenance(self) -> Provenance:
        """ "measured" or "estimated"; a simulated device makes either simulated."""
        ...

    def begin(self) -> None:
        """Record from now on. Raises MeterError."""
        ...

    def end(self) -> None:
        """Stop recording. Raises MeterError."""
        ...

    def energy(self, stretch: Stretch) -> EnergyWindow:
        """The energy of a stretch of time within what was recorded; its ``inferences`` are the stretch's.

        Raises MeterError, never a doubtful number: for samples that are missing or no numbers, for a stretch that was not
        recorded as a whole, for a current or power beyond its range.
        """
        ...

    def close(self) -> None:
        """Let go of it; never raises, and may be called again."""
        ...


class Search(Protocol):
    """A multi-objective search behind ask and tell, deterministic in its seed and in what it was told."""

    def ask(self) -> Sequence[Genome]:
        """The next genomes to measure, none of them asked for before; empty when the search is over."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """The outcome of everything that the last ask returned, in the same order."""
        ...


class Bench(Protocol):
    """What measures: the bench room's, or a test's."""

    reference: Job | None
    """A network that is known to run: it settles whose fault another's failure is."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the device says about itself."""
        ...

    @property
    def target(self) -> Target:
        """What to compile for."""
        ...

    @property
    def energy_reason(self) -> str | None:
        """Why there will be no energy; None when there will."""
        ...

    @property
    def shares_host(self) -> bool:
        """Whether it measures on this very machine, where preparing networks meanwhile would disturb it."""
        ...

    def measure(self, job: Job, grade: Grade) -> Measurement:
        """Measure one compiled model. Raises CandidateError or BenchError."""
        ...

    def measure_all(
        self, jobs: Sequence[Job], grade: Grade, tell: Callable[[str], None]
    ) -> list[Measurement | CandidateError]:
        """Measure compiled models together, in rounds, of which ``tell`` hears; each one's measurement, or why it failed, in
        their order. Raises BenchError."""
        ...


class Listener(Protocol):
    """Who follows a study's progress."""

    def stage(self, what: str, total: int | None = None) -> None:
        """A new stage begins, with so many steps where that is known."""
        ...

    def doing(self, what: str) -> None:
        """What the stage is at."""
        ...

    def step(self, trial: Trial, hypervolume: float | None) -> None:
        """A trial of the stage is done; with the search's hypervolume so far where the unpruned network ran."""
        ...

    def say(self, message: str) -> None:
        """Something that the user should know, once."""
        ...
