"""The script that runs a library by the runtime's C interface: several inputs and outputs, dtypes, threads, errors, memory."""

from __future__ import annotations

import array
import ctypes
import hashlib
import json
import os
import platform
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tvm
import tvm_ffi
from torch import Tensor, nn

from joulefront.bench.target import target_of
from joulefront.compile.compiler import TvmCompiler
from joulefront.export.scripts.network import Network
from joulefront_agent import machine
from joulefront_devices.device import Device


class Several(nn.Module):
    """Two inputs, two outputs, three dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.table = nn.Linear(6, 4), nn.Embedding(9, 4)

    def forward(self, x: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        y = self.layer(x) + self.table(words).sum(1)
        return y, y.argmax(1)


MODEL = Several()
X, WORDS = torch.linspace(-1, 1, 18).reshape(3, 6), torch.tensor([[1, 8], [0, 2], [5, 5]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of an exported folder as the script reads."""
    folder = tmp_path_factory.mktemp("folder")
    target = target_of(Device(name="here"), machine.facts(Path("/"), "none"), 1)
    TvmCompiler(replace(target, threads=2)).compile(MODEL.eval(), (X, WORDS), folder / "model.so")
    for package, name in ((tvm, "libtvm_runtime.so"), (tvm_ffi, "libtvm_ffi.so")):
        shutil.copy(Path(package.__file__).parent / "lib" / name, folder)
    libraries = {path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in folder.iterdir()}
    card = {
        "inputs": [
            {"name": "input0", "shape": [3, 6], "dtype": "float32"},
            {"name": "input1", "shape": [3, 2], "dtype": "int64"},
        ],
        "outputs": [
            {"name": "output0", "shape": [3, 4], "dtype": "float32"},
            {"name": "output1", "shape": [3], "dtype": "int64"},
        ],
        "target": {"architecture": platform.machine(), "threads": 2, "glibc": "2.28"},
        "files": libraries,
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TVM_BIND_THREADS", "0")  # as it sets it itself, put back behind it
        return Network(folder)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X.numpy(), WORDS.numpy()),
        (X.numpy().tobytes(), WORDS.numpy().tobytes()),
        (array.array("f", X.flatten().tolist()), array.array("q", WORDS.flatten().tolist())),
        (np.asfortranarray(X.numpy()), np.asfortranarray(WORDS.numpy())),
        (bytearray(X.numpy().tobytes()), (ctypes.c_int64 * 6)(*WORDS.flatten().tolist())),
    ],
)
def test_any_buffer_gives_torchs_outputs(network: Network, x: Any, words: Any) -> None:
    y, best = network(x, words)
    with torch.no_grad():
        expected, number = MODEL(X, WORDS)
    assert (y.shape, y.format, best.shape, best.format) == ((3, 4), "f", (3,), "q")
    np.testing.assert_allclose(np.asarray(y), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert best.tolist() == number.tolist()


def test_what_it_returns_is_the_callers(network: Network) -> None:
    first = network(X.numpy(), WORDS.numpy())[0]
    before = first.tolist()
    first[0, 0] = 7.0
    assert network((X + 1).numpy(), WORDS.numpy())[0].tolist() != before
    assert network(X.numpy(), WORDS.numpy())[0].tolist() == before


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((X.numpy(),), "the network takes 2 inputs, not 1"),
        ((X.numpy(), WORDS.int().numpy()), "input1: expected int64 of shape .3, 2., 48 bytes, not 24 bytes"),
        ((X.numpy().T, WORDS.numpy()), "input0: expected float32 of shape .3, 6."),
        ((X.numpy().view(np.int32), WORDS.numpy()), "not 72 bytes in the format 'i'"),
        ((X.numpy(), WORDS.numpy().tobytes()[:-1]), "not 47 bytes"),
    ],
)
def test_other_inputs_are_refused(network: Network, inputs: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        network(*inputs)


def test_what_the_runtime_complains_of_is_raised(network: Network) -> None:
    with pytest.raises(RuntimeError, match="expects 2 arguments"):
        network._main()
    with pytest.raises(RuntimeError, match=r"the runtime has no function joulefront\.absent"):
        network._main.runtime.function("joulefront.absent")


def test_another_runtime_in_the_process_is_said(network: Network, folder: Path, tmp_path: Path) -> None:
    """A second copy would end the process."""
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    assert Network(other)(X.numpy(), WORDS.numpy())[1].tolist() == network(X.numpy(), WORDS.numpy())[1].tolist()
    card = json.loads((other / "card.json").read_text())
    card["files"]["libtvm_ffi.so"]["sha256"] = "0" * 64
    (other / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"libtvm_ffi\.so is loaded already, another TVM"):
        Network(other)


def test_whoever_calls_it_uses_the_targets_threads(network: Network) -> None:
    """The runtime has a pool for each calling thread, of a number of its own choosing."""
    cores = min(2, len(os.sched_getaffinity(0)))

    def used() -> int:
        network(X.numpy(), WORDS.numpy())
        return int(network._main.runtime.function("runtime.NumThreads")())

    with ThreadPoolExecutor(1) as another:
        assert (used(), another.submit(used).result()) == (cores, cores)


def test_threads_that_share_it_get_their_own_outputs(network: Network) -> None:
    def right(scale: int) -> bool:
        return all(network((scale * X).numpy(), WORDS.numpy())[0].tolist() == expected[scale] for _ in range(500))

    expected = {scale: network((scale * X).numpy(), WORDS.numpy())[0].tolist() for scale in range(4)}
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(right, range(4)))


def test_it_keeps_no_memory(network: Network) -> None:
    inputs = X.numpy(), WORDS.numpy()
    for _ in range(2000):
        network(*inputs)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20_000):
        network(*inputs)
    # A tensor that stayed would take at least its header and its aligned data: 20,000 times 200 bytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 2000
