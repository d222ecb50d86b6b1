"""Load and run a compiled library as a device does: with tvm_ffi and TVM's runtime, and nothing else of TVM."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
import tvm_ffi
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

from joulefront.compile.compiler import TvmCompiler
from joulefront.records import Target

WITH_AVX512 = "avx512f" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
TARGETS = {"avx2": Target("x86_64-linux-gnu", "x86-64-v3", (), 8, 16)}
if WITH_AVX512:
    TARGETS["avx512"] = Target("x86_64-linux-gnu", "x86-64-v4", (), 16, 32)
WIDEST = list(TARGETS.values())[-1]
_LOADED: dict[Path, str] = {}  # what each path held when it was loaded
NEON = Target("aarch64-linux-gnu", "cortex-a72", (), 4, 32)


def run(library: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of ``main`` for the inputs. Each library needs a path of its own: see the assertion."""
    contents = hashlib.sha256(library.read_bytes()).hexdigest()
    loaded = _LOADED.setdefault(library.absolute(), contents)
    assert loaded == contents, (
        f"{library} was loaded before: for a path that it has seen, the loader gives the first one"
    )
    vm = tvm_ffi.load_module(str(library.absolute()))["vm_load_executable"]()
    vm["vm_initialization"](1, 0, 2)
    outputs = vm["main"](*(_aligned(tensor) for tensor in inputs))
    return [from_dlpack(output).clone() for output in (outputs if _is_many(outputs) else [outputs])]


def difference(model: nn.Module, inputs: tuple[Tensor, ...], target: Target, folder: Path) -> float:
    """The largest error of the compiled model, relative to the largest magnitude of torch's output."""
    library = folder / "model.so"
    TvmCompiler(target).compile(model, inputs, library)
    return error(model, inputs, library)


def error(model: nn.Module, inputs: tuple[Tensor, ...], library: Path) -> float:
    """The largest error of the library compiled of the model, relative to the largest magnitude of torch's output."""
    with torch.inference_mode():
        expected = model(*inputs)
    outputs = run(library, inputs)
    expected = list(expected) if isinstance(expected, tuple) else [expected]
    assert [output.shape for output in outputs] == [one.shape for one in expected]
    # A ReLU may leave nothing but zeros, which are then to be met exactly.
    scales = [float(one.abs().max()) or 1e-30 for one in expected]
    errors = [float((a - b).abs().max()) for a, b in zip(outputs, expected, strict=True)]
    return max(error / scale for error, scale in zip(errors, scales, strict=True))


def settled(model: nn.Module) -> nn.Module:
    """The model in eval mode, with BatchNorm statistics that are not those of a new layer."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return model.eval()


def _aligned(tensor: Tensor) -> object:
    """A copy in the runtime's own memory: generated code needs 64-byte alignment."""
    allocate = tvm_ffi.get_global_func("runtime.TVMTensorAllocWithScope")
    dtype = tvm_ffi.dtype(str(tensor.dtype).removeprefix("torch."))
    array = allocate(tvm_ffi.Shape(list(tensor.shape)), dtype, tvm_ffi.device("cpu:0"), None)
    source = tensor.contiguous()
    ctypes.memmove(from_dlpack(array).data_ptr(), source.data_ptr(), source.numel() * source.element_size())
    return array


def _is_many(outputs: object) -> bool:
    return isinstance(outputs, tvm_ffi.Array)
