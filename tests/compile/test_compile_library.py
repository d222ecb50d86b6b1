"""What a library is: the same bytes every time, loadable with the runtime alone, made of vectors, and silent to make."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import tvm
from loading import NEON, TARGETS, WIDEST, settled
from nets import DigitsNet
from torch import nn
from tvm import relax

from joulefront.compile.compiler import TvmCompiler
from joulefront.compile.export import imported
from joulefront.compile.kernels import KERNELS, Choice, Machine, machine
from joulefront.compile.lower import lower
from joulefront.compile.simplify import simplify
from joulefront.compile.target import tvm_target
from joulefront.records import Target

ON_DEVICE = """
import ctypes, struct, sys
import tvm_ffi
ctypes.CDLL(sys.argv[2], mode=ctypes.RTLD_GLOBAL)
vm = tvm_ffi.load_module(sys.argv[1])["vm_load_executable"]()
vm["vm_initialization"](1, 0, 2)
allocate = tvm_ffi.get_global_func("runtime.TVMTensorAllocWithScope")
x = allocate(tvm_ffi.Shape([1, 1, 28, 28]), tvm_ffi.dtype("float32"), tvm_ffi.device("cpu:0"), None)
print(vm["main"](x).shape)
assert "tvm" not in sys.modules
"""


def test_builds_are_the_same_bytes_and_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        build(tmp_path / name / f"{name}.so")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["one.so"]
    assert capfd.readouterr() == ("", "")

    script = "import sys; from pathlib import Path; from test_compile_library import build; build(Path(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(tmp_path / "other.so")]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    libraries = {path.read_bytes() for path in tmp_path.rglob("*.so")}
    assert len(libraries) == 1


def build(library: Path) -> None:
    """The library of one small network, always with the same weights."""
    torch.manual_seed(0)
    TvmCompiler(WIDEST).compile(settled(DigitsNet((5, 13, 7))), (torch.ones(1, 1, 28, 28),), library)


def test_the_runtime_alone_loads_it(tmp_path: Path) -> None:
    library = tmp_path / "model.so"
    build(library)
    runtime = next(Path(sysconfig.get_path("purelib"), "tvm").rglob("libtvm_runtime.so"))
    command = [sys.executable, "-c", ON_DEVICE, str(library), str(runtime)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 10)"


@pytest.mark.parametrize(("target", "vectors"), [(TARGETS["avx2"], "ymm"), (NEON, "fmla")], ids=["avx2", "neon"])
def test_code_is_made_of_the_targets_vectors(target: Target, vectors: str) -> None:
    text = _assembly(target)
    assert text.count(vectors) > 100
    assert "zmm" not in text


def test_avx512_is_not_cut_into_halves() -> None:
    assert _assembly(Target("x86_64-linux-gnu", "x86-64-v4", (), 16, 32)).count("zmm") > 100


def test_one_thread_has_no_parallel_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SERIAL_MACS", 0)
    assert "TVMBackendParallelLaunch" not in _assembly(WIDEST)
    assert "TVMBackendParallelLaunch" in _assembly(replace(WIDEST, threads=2))


def test_small_kernels_stay_on_one_thread() -> None:
    assert "TVMBackendParallelLaunch" not in _assembly(replace(WIDEST, threads=2))


def _assembly(target: Target) -> str:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 20, 1), nn.AvgPool2d(2)).eval()
    module = simplify(imported(model, (torch.ones(1, 3, 8, 8),)))
    with tvm_target(target) as described:
        executable = relax.build(lower(module, Choice(KERNELS, Machine.of(target))), described)
    text: str = next(part for part in executable.mod.imports if part.kind == "llvm").inspect_source("asm")
    return text


def test_tvm_is_the_version_that_was_studied() -> None:
    assert tvm.__version__.startswith("0.27.0")
