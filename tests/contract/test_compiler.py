"""What every Compiler keeps to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import tvm_ffi
from torch import Tensor, nn

from joulefront.compile.compiler import TvmCompiler
from joulefront.errors import CompileError
from joulefront.protocols import Compiler
from joulefront.records import Target

TARGET = Target("x86_64-linux-gnu", "x86-64-v3", (), 8, 16)


def run_tvm(library: Path, x: Tensor) -> Tensor:
    vm = tvm_ffi.load_module(str(library))["vm_load_executable"]()
    vm["vm_initialization"](1, 0, 2)
    allocate = tvm_ffi.get_global_func("runtime.TVMTensorAllocWithScope")
    array = allocate(tvm_ffi.Shape(list(x.shape)), tvm_ffi.dtype("float32"), tvm_ffi.device("cpu:0"), None)
    torch.utils.dlpack.from_dlpack(array).copy_(x)
    return torch.utils.dlpack.from_dlpack(vm["main"](array)).clone()


Make = Callable[[Target], Compiler]
Run = Callable[[Path, Tensor], Tensor]


@pytest.fixture(params=[(TvmCompiler, run_tvm)], ids=["tvm"])
def kind(request: pytest.FixtureRequest) -> tuple[Make, Run]:
    pair: tuple[Make, Run] = request.param
    return pair


@pytest.fixture
def compiler(kind: tuple[Make, Run]) -> Compiler:
    return kind[0](TARGET)


class Net(nn.Module):
    """A convolution, BatchNorm, a branch and a linear layer, of odd widths."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 7, 3, 2, 1), nn.BatchNorm2d(7), nn.Linear(7 * 25, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        scores: Tensor = self.fc((y + y * 2).flatten(1))
        return scores


class Branching(nn.Module):
    """Its path depends on the input's values."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(8, 3, 9, 9))
    return net.eval()


def test_the_library_computes_what_the_model_does(
    kind: tuple[Make, Run], compiler: Compiler, model: nn.Module, tmp_path: Path
) -> None:
    x = torch.randn(1, 3, 9, 9)
    compiler.compile(model, (x,), tmp_path / "model.so")
    expected = model(x).detach()
    assert (kind[1](tmp_path / "model.so", x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_same_model_gives_the_same_bytes(
    kind: tuple[Make, Run], compiler: Compiler, model: nn.Module, tmp_path: Path
) -> None:
    example = (torch.zeros(1, 3, 9, 9),)
    compiler.compile(model, example, tmp_path / "one.so")
    kind[0](TARGET).compile(model, (torch.ones(1, 3, 9, 9),), tmp_path / "two.so")
    assert (tmp_path / "one.so").read_bytes() == (tmp_path / "two.so").read_bytes()


def test_the_model_stays_as_it_is(compiler: Compiler, model: nn.Module, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = {name: type(module) for name, module in model.named_modules()}
    compiler.compile(model, (torch.zeros(1, 3, 9, 9),), tmp_path / "model.so")
    assert {name: type(module) for name, module in model.named_modules()} == modules
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_cannot_be_compiled_is_a_compile_error(compiler: Compiler, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="Branching"):
        compiler.compile(Branching(), (torch.zeros(3),), tmp_path / "model.so")
    assert not (tmp_path / "model.so").exists()


def test_a_library_is_replaced(compiler: Compiler, model: nn.Module, tmp_path: Path) -> None:
    library = tmp_path / "model.so"
    library.write_bytes(b"old")
    compiler.compile(model, (torch.zeros(1, 3, 9, 9),), library)
    assert library.read_bytes()[:4] == b"\x7fELF"
    assert list(tmp_path.iterdir()) == [library]


def test_the_key_names_the_target(
    kind: tuple[Make, Run], compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross = tmp_path / "aarch64-linux-gnu-g++"  # not every machine has one
    cross.write_text("#!/bin/sh\n", encoding="utf-8")
    cross.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert compiler.key.isprintable()
    assert compiler.key == kind[0](TARGET).key
    others = [
        replace(TARGET, cpu="haswell"),
        replace(TARGET, features=("+avxvnni",)),
        replace(TARGET, vector_floats=4),
        replace(TARGET, vector_registers=32),
        replace(TARGET, threads=2),
        replace(TARGET, triple="aarch64-linux-gnu", cpu="cortex-a72"),
    ]
    keys = {kind[0](target).key for target in others}
    assert len(keys | {compiler.key}) == len(others) + 1
