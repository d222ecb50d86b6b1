"""Worker processes that make candidates at low priority, so that the process which measures does nothing else."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self, TypeVar

from joulefront.cache import Cache
from joulefront.errors import BenchError, CandidateError, Crashed
from joulefront.prepare import Maker, Recipe
from joulefront.records import Fidelity, Genome, Prepared, Score, Space

Result = TypeVar("Result")
_NICENESS = 10


class Workers:
    """``count`` processes that follow one recipe. Close it, or use it in a ``with``.

    Each computes with one thread, so that what a candidate becomes does not depend on how many there are.
    """

    def __init__(self, recipe: Recipe, count: int) -> None:
        self._recipe = recipe
        self._count = count
        self._pool = self._start()

    def space(self) -> Space:
        """What the search chooses from. Raises ConfigError for a task that is none, PruneError for a model that cannot be cut."""
        return self._alone(_space)

    def prepare_all(self, genomes: Sequence[Genome], fidelity: Fidelity) -> Iterator[Prepared | CandidateError]:
        """Each genome's candidate, or the reason why there is none, in the order asked."""
        futures = [self._submit(_prepare, genome, fidelity) for genome in genomes]
        for genome, future in zip(genomes, futures, strict=True):
            yield self._outcome(genome, fidelity, future)

    def test(self, genomes: Sequence[Genome]) -> list[Score]:
        """The score of each genome's fully recovered candidate on the test split, in order."""
        return [future.result() for future in [self._submit(_test, genome) for genome in genomes]]

    def close(self) -> None:
        """End the processes; what is under way is finished or dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _outcome(self, genome: Genome, fidelity: Fidelity, future: Future[Prepared]) -> Prepared | CandidateError:
        try:
            return future.result()
        except CandidateError as error:
            return error
        except BrokenProcessPool:
            # One worker died and took the others' work along: whose fault it was shows when this one runs alone.
            try:
                return self._alone(_prepare, genome, fidelity)
            except CandidateError as error:
                return error
            except BrokenProcessPool:
                return Crashed(
                    "the process that made it on this host died twice: killed for want of memory, or a crash in torch or TVM"
                )

    def _alone(self, call: Callable[..., Result], *arguments: Any) -> Result:
        return self._submit(call, *arguments).result()

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
    """In a new worker: low priority, one thread, deaf to Ctrl-C (the host ends it), and gone when the host is gone."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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


def _space(recipe: Recipe) -> Space:
    return _maker(recipe).space


def _prepare(recipe: Recipe, genome: Genome, fidelity: Fidelity) -> Prepared:
    return _maker(recipe).prepare(genome, fidelity)


def _test(recipe: Recipe, genome: Genome) -> Score:
    return _maker(recipe).test(genome)
