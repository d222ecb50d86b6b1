"""Every kind of kernel as NEON code on the board, against torch. Nothing is timed: the board is an emulator."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import kernel_networks
import numpy as np
import pytest
import torch
from test_board_faults import device
from virtual_board import Board

from joulefront.bench import Bench
from joulefront.compile import compiler
from joulefront.compile.compiler import TvmCompiler
from joulefront.compile.kernels import KERNELS, machine
from joulefront.compile.kernels.machine import Machine
from joulefront.compile.kernels.winograd import Winograd
from joulefront.config import MeasureConfig
from joulefront.kernel_records import Variant, Workload
from joulefront_agent import wire

pytestmark = pytest.mark.board

BOUND = 1e-5  # of an error, relative to the output's largest value


class Forced(Winograd):
    """The kernel wherever it applies: with output tiles of two for an odd number of input channels, else of four."""

    def variants(self, workload: Workload, machine: Machine) -> Mapping[Variant, float]:
        size = (4, 2)[workload["data"][3] % 2]
        return {v: -cycles for v, cycles in super().variants(workload, machine).items() if v["size"] == (size,)}


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def bench(request: pytest.FixtureRequest, board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The board for one thread, and for two with every kernel in parallel, however small."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param > 1:
            patch.setattr(machine, "SERIAL_MACS", 0)
        with Bench(device(board, tmp_path_factory.mktemp("bench")), MeasureConfig(), request.param) as bench:
            assert (bench.target.cpu, bench.target.threads) == ("cortex-a72", request.param)
            yield bench


def errors(bench: Bench, network: kernel_networks.Outputs, library: Path) -> dict[str, float]:
    """The largest error of each output that the board returns, relative to the largest magnitude of torch's."""
    x = torch.randn(kernel_networks.SHAPE, generator=torch.Generator().manual_seed(0))
    run = wire.Run(
        library="",
        sha256=hashlib.sha256(library.read_bytes()).hexdigest(),
        inputs=(wire.Tensor(tuple(x.shape), "float32", x.numpy().tobytes()),),
        threads=bench.target.threads,
        pin_threads=True,
        outputs=True,
        warm_up_s=0.0,
        sample_s=0.0,
        samples=1,
        sample_limit_s=0.0,
        energy_s=0.0,
        periods=0,
        energy_limit_s=0.0,
        meters=(),
        timeout_s=120.0,
    )
    with torch.inference_mode():
        expected = [output.numpy() for output in network(x)]
    returned = bench._place.session.run(run, library).outputs
    assert [output.shape for output in returned] == [output.shape for output in expected]
    return {
        name: float(np.abs(np.frombuffer(ours.data, "<f4").reshape(ours.shape) - theirs).max() / np.abs(theirs).max())
        for name, ours, theirs in zip(network.branches, returned, expected, strict=True)
    }


def check(bench: Bench, network: kernel_networks.Outputs, library: Path, kernels: set[str]) -> None:
    """The network is made of these kernels, parallel where there are threads, and computes on the board what torch does."""
    composition = TvmCompiler(bench.target, winograd="winograd" in kernels).compile(
        network, (torch.zeros(kernel_networks.SHAPE),), library
    )
    assert {use.kernel for use in composition.kernels} == kernels
    assert not composition.fallbacks
    assert (b"__TVMBackendParallelLaunch" in library.read_bytes()) == (bench.target.threads > 1)
    # A NaN is not within the bound either.
    assert not {name: error for name, error in errors(bench, network, library).items() if not error <= BOUND}


def test_every_kernel_computes_what_torch_does(bench: Bench, tmp_path: Path) -> None:
    names = {kernel.name for kernel in KERNELS} - {Winograd.name}
    check(bench, kernel_networks.every_kernel(), tmp_path / "kernels.so", names)


def test_winograd_with_tiles_of_two_and_of_four(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tuple(kernel for kernel in KERNELS if kernel.name != Winograd.name)
    monkeypatch.setattr(compiler, "KERNELS", (Forced(), *others))
    check(bench, kernel_networks.winograd(), tmp_path / "winograd.so", {Winograd.name, "dense"})
