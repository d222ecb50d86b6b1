"""Worker processes that make candidates at low priority, so that the process which measures does nothing else."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from joulefront import plugins
from joulefront.cache import Cache
from joulefront.errors import BenchError, CandidateError, ConfigError, Crashed, JoulefrontError, OutOfMemory, TrainError
from joulefront.prepare import Maker, Recipe
from joulefront.records import Fidelity, Prepared, Score
from joulefront.space_records import Genome, Space

Result = TypeVar("Result")
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the workers found in the user's files: the space, and what candidates are made from, by its parts."""

    space: Space
    identity: Mapping[str, str]


class Workers:
    """``count`` processes that follow one recipe. Close it, or use it in a ``with``.

    Each computes with one thread, so that what a candidate becomes does not depend on how many there are.
    """

    def __init__(self, recipe: Recipe, count: int) -> None:
        self._recipe = recipe
        self._count = count
        self._identity: Mapping[str, str] = {}
        self._pool = self._start()

    def load(self) -> Loaded:
        """Load the task; to be called first.

        Raises ConfigError for a task that is none, PruneError for a model that cannot be cut, and BenchError when the
        process that loads it dies.
        """
        try:
            loaded = self._submit(_load).result()
        except BrokenProcessPool:
            raise BenchError(
                "the process that loads the task died: killed for want of memory, or a crash in torch"
            ) from None
        self._identity = loaded.identity
        return loaded

    def prepare_all(
        self, genomes: Sequence[Genome], fidelity: Fidelity, before: Sequence[Genome] = ()
    ) -> Iterator[Prepared | CandidateError]:
        """Each genome's candidate, or the reason why there is none, in the order asked.

        ``before`` are those that it may inherit from (see ``Maker.prepare``).
        """
        futures = [self._submit(_prepare, self._identity, genome, fidelity, before) for genome in genomes]
        for genome, future in zip(genomes, futures, strict=True):
            yield self._outcome(genome, fidelity, before, future)

    def test(self, candidates: Sequence[tuple[Genome, str]]) -> list[Score]:
        """The test split's score of each fully recovered candidate, given as its genome and the sha256 of its weights.

        Raises StoreError when one that is made again comes out differently.
        """
        futures = [self._submit(_test, self._identity, genome, sha256) for genome, sha256 in candidates]
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise BenchError(
                "a process on this host died while it tested the front; run the same command again"
            ) from None

    def close(self) -> None:
        """End the processes; what is under way is finished or dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def stop(self) -> None:
        """End the processes at once: what is under way is lost, and nothing else, since cache entries are whole or absent."""
        for process in list((self._pool._processes or {}).values()):  # terminate_workers, from Python 3.14 on
            process.terminate()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.stop()

    def _outcome(
        self, genome: Genome, fidelity: Fidelity, before: Sequence[Genome], future: Future[Prepared]
    ) -> Prepared | CandidateError:
        try:
            return future.result()
        except CandidateError as error:
            return error
        except BrokenProcessPool:
            # One worker died and took the others' work along: whose fault it was shows when this one runs alone.
            try:
                return self._submit(_prepare, self._identity, genome, fidelity, before).result()
            except CandidateError as error:
                return error
            except BrokenProcessPool:
                return Crashed(
                    "the process that made it on this host died twice: killed for want of memory, or a crash in torch or TVM"
                )

    def _submit(self, call: Callable[..., Result], *arguments: Any) -> Future[Result]:
        try:
            return self._pool.submit(call, self._recipe, *arguments)
        except BrokenProcessPool:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = self._start()
            return self._pool.submit(call, self._recipe, *arguments)

    def _start(self) -> ProcessPoolExecutor:
        # spawn: a forked copy of a process that runs threads may hang.
        return ProcessPoolExecutor(self._count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """In a new worker: low priority, one thread, deaf to Ctrl-C (the host ends it), and gone when the host is gone.

    What a user's code prints goes to stderr: the host's stdout is for results.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    os.dup2(2, 1)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise BenchError("a worker was started outside of a pool")

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    import torch

    torch.set_num_threads(1)


@functools.lru_cache(maxsize=1)
def _maker(recipe: Recipe) -> Maker:
    """The worker's own: the task is loaded once a process."""
    return Maker(recipe, Cache())


def _same_maker(recipe: Recipe, identity: Mapping[str, str]) -> Maker:
    """The worker's own, which must have loaded what the first one loaded. Raises ConfigError."""
    maker = _maker(recipe)
    if parts := [part for part, sha256 in maker.identity.items() if identity.get(part) != sha256]:
        raise ConfigError(
            f"[task] gives another {' and another '.join(parts)} each time it is loaded, and each worker loads it: seed what "
            "is random in it, and let nothing change while a study runs"
        )
    return maker


def _load(recipe: Recipe) -> Loaded:
    with _errors_of(ConfigError, "[task] "):
        maker = _maker(recipe)
        return Loaded(maker.space, {**maker.identity})


def _prepare(
    recipe: Recipe, identity: Mapping[str, str], genome: Genome, fidelity: Fidelity, before: Sequence[Genome]
) -> Prepared:
    with _errors_of(ConfigError, "[task] "):
        maker = _same_maker(recipe, identity)
    with _errors_of(TrainError, ""):
        return maker.prepare(genome, fidelity, before)


def _test(recipe: Recipe, identity: Mapping[str, str], genome: Genome, sha256: str) -> Score:
    with _errors_of(ConfigError, "on the test split: "):
        return _same_maker(recipe, identity).test(genome, sha256)


@contextmanager
def _errors_of(kind: type[JoulefrontError], prefix: str) -> Iterator[None]:
    """What the user's code or a library raises as an error of ours, which travels to the host and has one line."""
    try:
        yield
    except JoulefrontError:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"on this host: {plugins.describe(error)}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- the user's own code may raise anything
        if "can't allocate memory" in str(error):  # torch's words
            raise OutOfMemory(f"on this host: {plugins.describe(error)}") from None
        raise kind(f"{prefix}{plugins.describe(error)}") from None
