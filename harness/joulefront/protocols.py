"""The plug points. Each is small; each has contract tests in ``tests/contract`` that every implementation passes.

One rule for all: ``kind = "…"`` in a table names the implementation, the table's other keys are the arguments of its
constructor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from joulefront.records import Composition, Executed, Genome, Trial

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


class Group(Protocol):
    """Coupled channels, as a criterion sees them: removing channel i removes slice i of every weight here.

    ``name`` is the gene's name and ``channels`` the number of channels. ``weights`` holds one tensor for each coupled
    layer that is cut on its output side, arranged as (channels, elements): row i is the filter that channel i loses
    there. Biases and the scales and shifts of norms are no filters.
    """

    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def weights(self) -> Sequence[Tensor]: ...


class Criterion(Protocol):
    """Which channels of a group to keep."""

    def __call__(self, group: Group) -> Tensor:
        """One score per channel, (channels,), float32, on the CPU; the highest are kept. The same for the same group."""
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


class Search(Protocol):
    """A multi-objective search behind ask and tell, deterministic in its seed and in what it was told."""

    def ask(self) -> Sequence[Genome]:
        """The next genomes to measure, none of them asked for before; empty when the search is over."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """The outcome of everything that the last ask returned, in the same order."""
        ...
