"""Who runs a network: the compiled library, ONNX Runtime and eager torch, each timed back to back for a while."""

from __future__ import annotations

import io
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import torch
import tvm
from build import fingerprint
from torch import Tensor, nn

from joulefront_agent.network import Network as Loaded
from joulefront_agent.wire import Tensor as Sent

Contestant = Callable[[int], float]
"""Given how many inferences to run, the mean time of one, in s; one more ran before and was not timed."""

TURN_S = 0.02  # a turn's inferences take about so long: long enough for the clock, short enough for many rounds
_CALLS = 400  # at most, since each reading of the clock counts


def onnx_file(model: nn.Module, x: Tensor, folder: Path) -> Path:
    """The model as ONNX, for the shape of ``x``, written unless the folder has it.

    By torch's older exporter: it takes a tenth of the newer one's time, and ONNX Runtime runs what either writes equally
    fast (within 2 % over seven networks).
    """
    path = folder / f"{fingerprint(model, tuple(x.shape), f'onnx {torch.__version__}')}.onnx"
    if not path.exists():
        part = path.with_suffix(".part")
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (x,), str(part), input_names=["x"], dynamo=False)
        part.rename(path)  # whole, or not there
    return path


class Ours:
    """A compiled library, loaded and timed as the agent does on a device, on the threads that the runtime is set to."""

    def __init__(self, library: Path, x: Tensor) -> None:
        runtime = Path(tvm.__file__).parent / "lib" / "libtvm_runtime.so"
        self._network = Loaded(str(runtime), str(library.absolute()), [_sent(x)])

    def __call__(self, count: int) -> float:
        """See Contestant."""
        return statistics.fmean(self._network.time(count))

    def output(self) -> Tensor:
        """The first output of one inference."""
        first = self._network.outputs()[0]
        return torch.frombuffer(bytearray(first.data), dtype=torch.float32).reshape(first.shape)


class OnnxRuntime:
    """ONNX Runtime with its default options on so many threads."""

    def __init__(self, path: Path, x: Tensor, threads: int) -> None:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._feeds = {"x": x.numpy()}

    def __call__(self, count: int) -> float:
        """See Contestant."""
        return _timed(lambda: self._session.run(None, self._feeds), count)

    def output(self) -> Tensor:
        """The first output of one inference."""
        return torch.from_numpy(self._session.run(None, self._feeds)[0])


class Eager:
    """The model as torch runs it, on the threads that torch is set to."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        self._model, self._x = model, x

    def __call__(self, count: int) -> float:
        """See Contestant."""
        with torch.inference_mode():
            return _timed(lambda: self._model(self._x), count)

    def output(self) -> Tensor:
        """The output of one inference."""
        with torch.inference_mode():
            result: Tensor = self._model(self._x)
        return result


def difference(output: Tensor, expected: Tensor) -> float:
    """The largest error of an output, relative to the largest magnitude of what was expected."""
    return float((output.reshape(expected.shape) - expected).abs().max() / expected.abs().max())


def interleaved(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """The mean time of an inference, in s, of each contestant in each round.

    Each takes as many inferences a round as fit a turn. Who begins changes from round to round, and each waits until
    the threads of the one before have gone to sleep: ONNX Runtime's spin for some 30 ms after a run.
    """
    names = list(contestants)
    counts = {name: max(1, min(_CALLS, int(TURN_S / contestants[name](1)))) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in _rotated(names, number):
            _wait_until_idle()
            times[name].append(contestants[name](counts[name]))
    return times


def _rotated(names: Sequence[str], by: int) -> list[str]:
    start = by % len(names)
    return [*names[start:], *names[:start]]


def _wait_until_idle(step_s: float = 0.002, at_most_s: float = 0.2) -> None:
    """Return once this process's threads use next to no time any more."""
    end_s = time.monotonic() + at_most_s
    while time.monotonic() < end_s:
        used_s = time.process_time()
        time.sleep(step_s)
        if time.process_time() - used_s < step_s / 4:
            return


def _timed(call: Callable[[], object], count: int) -> float:
    """The mean time of ``count`` calls, in s, after one that is not timed."""
    call()
    begin_s = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin_s) / count


def _sent(x: Tensor) -> Sent:
    return Sent(tuple(x.shape), "float32", x.contiguous().numpy().tobytes())
