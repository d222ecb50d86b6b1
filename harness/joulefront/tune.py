"""Which variant of each kernel of a model is quickest on a device: tried there, one against the other, and kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from joulefront.bench.bench import Bench
from joulefront.cache import file_sha256
from joulefront.compile.sources import kernels_version
from joulefront.config import MeasureConfig
from joulefront.errors import CandidateError
from joulefront.kernel_records import Contenders, Variant, Workload
from joulefront.protocols import Listener
from joulefront.records import Failure, FunctionTime, Measurement, Tuned
from joulefront.subject import Subject, subject
from joulefront.tuning.database import NOTHING, Choice, Database, Snapshot
from joulefront_devices.device import load

if TYPE_CHECKING:
    from joulefront.compile.compiler import TvmCompiler
    from joulefront.compile.kernels import Site

_VARIANTS = 6  # of each kernel
_SITES = 6  # that share a library, and so a session of turns on the device
_ROUNDS, _SLICE_S = 7, 0.06
_MARGIN = 0.97  # of the untuned kernel's time, which has to be beaten by more than noise
_MOST_FLUSHED_B = 64 << 20


def tune(
    model: str, device: str, threads: int, limit_s: float, listener: Listener, shapes: Sequence[str] = ()
) -> Tuned:
    """Tune the kernels of ``model`` for ``device``, for about ``limit_s`` at most, the most frequent first.

    What is found is kept for the device at once, so that one that was stopped goes on. Raises as ``measure``.
    """
    listener.stage(f"reading {model}")
    given = subject(model, shapes)
    listener.stage(f"opening {device}")
    with Bench(load(device), MeasureConfig(), threads) as bench:
        return Tuner(given, bench, Database.of(device, Path()), listener).run(limit_s)


class Tuner:
    """One model on one device."""

    def __init__(self, given: Subject, bench: Bench, database: Database, listener: Listener) -> None:
        self._given = given
        self._bench = bench
        self._database = database
        self._listener = listener
        self._version = kernels_version()

    def run(self, limit_s: float) -> Tuned:
        """See tune."""
        from joulefront.compile.compiler import TvmCompiler

        end_s = time.monotonic() + limit_s
        self._listener.stage(f"looking for the kernels of {self._given.name}")
        compiler = TvmCompiler(self._bench.target)
        sites = compiler.sites(self._given.imported())
        known = self._known()
        new = [site for site in sites if site.workload.text not in known]
        self._listener.stage(f"trying variants of {len(new)} kernels")
        changed: list[tuple[Workload, Choice, Variant]] = []
        tried = 0
        while tried < len(new) and time.monotonic() < end_s:
            some = new[tried : tried + _SITES]
            self._listener.doing(f"kernels {tried + 1} to {tried + len(some)} of {len(new)}")
            changed += self._tried(compiler, some)
            tried += len(some)
        self._listener.stage(f"measuring {self._given.name} untuned and tuned")
        before, after = self._measured(NOTHING, self._known())
        kept = not changed or after.latency_s.value <= before.latency_s.value
        if not kept:  # together, the changes made the model slower
            for workload, choice, untuned in changed:
                self._record(workload, replace(choice, variant=untuned, latency_s=choice.untuned_s))
        return Tuned(
            known=len(sites) - len(new),
            tried=tried,
            changed=len(changed) if kept else 0,
            left=len(new) - tried,
            before=before,
            after=after,
            kept=kept,
        )

    def _tried(self, compiler: TvmCompiler, sites: Sequence[Site]) -> list[tuple[Workload, Choice, Variant]]:
        """Time the variants of some sites on the device and keep the quickest of each; returns what it changes from what
        untuned variant."""
        with tempfile.TemporaryDirectory(prefix="joulefront-tune-") as folder:
            library = Path(folder) / "contest.so"
            contests = compiler.compile_contest(sites, _VARIANTS, library)
            functions = [function for contest in contests for _, function in contest.functions]
            times = iter(
                self._bench.time_functions(
                    library,
                    file_sha256(library),
                    functions,
                    rounds=_ROUNDS,
                    slice_s=_SLICE_S,
                    limit_s=3 * _ROUNDS * _SLICE_S * len(functions),
                    # Between two uses of one kernel all the network's weights pass through the caches.
                    flush_b=min(self._given.size_b, _MOST_FLUSHED_B),
                )
            )
        changed = []
        for contest in contests:
            choice = _quickest(contest, [next(times) for _ in contest.functions])
            if choice is not None:
                self._record(contest.workload, choice)
                untuned, _ = contest.functions[0]
                if choice.variant != untuned:
                    changed.append((contest.workload, choice, untuned))
        return changed

    def _known(self) -> Snapshot:
        return self._database.snapshot(self._bench.target, self._version)

    def _record(self, workload: Workload, choice: Choice) -> None:
        self._database.record(self._bench.target, self._version, workload, choice)

    def _measured(self, *tuned: Snapshot) -> list[Measurement]:
        """The model with each of these, interleaved. Raises CandidateError where one does not run, and BenchError."""
        jobs = [self._given.compiled(self._bench.target, snapshot).job for snapshot in tuned]
        measured = []
        for outcome in self._bench.measure_all(jobs, "full", self._listener.doing):
            if isinstance(outcome, CandidateError):
                raise outcome
            measured.append(outcome)
        return measured


def _quickest(contest: Contenders, times: Sequence[FunctionTime | Failure]) -> Choice | None:
    """The quickest variant; the untuned one unless another is quicker beyond doubt. None where that one has no time."""
    timed = [
        (variant, time)
        for (variant, _), time in zip(contest.functions, times, strict=True)
        if isinstance(time, FunctionTime)
    ]
    untuned = times[0]
    if not isinstance(untuned, FunctionTime):
        return None
    best, quickest = min(timed, key=lambda one: one[1].latency_s.value)
    limit_s = min(_MARGIN * untuned.latency_s.value, untuned.latency_s.low)
    if quickest.latency_s.high > limit_s:
        best, quickest = contest.functions[0][0], untuned
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Choice(best, quickest.latency_s.value, untuned.latency_s.value, now, quickest.provenance)
