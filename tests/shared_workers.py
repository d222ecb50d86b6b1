"""One process that makes candidates for many studies: it takes seconds to load torch, and no study leaves anything in it."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from joulefront.prepare import Recipe
from joulefront.workers import Workers
from simulated import TARGET


@contextmanager
def shared() -> Iterator[type[Workers]]:
    """Workers that are all the same process, whatever their number; its cache and its stderr are those of its start."""
    with Workers(Recipe("", Path(), TARGET), 1) as one:
        one._pool.submit(int)  # starts it

        class Shared(Workers):
            def _start(self) -> ProcessPoolExecutor:
                return one._pool

            def close(self) -> None:
                pass

            def stop(self) -> None:
                pass

        yield Shared
