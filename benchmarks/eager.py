"""Compiled networks against eager torch, and against ONNX Runtime where it can be imported (with onnx, to export).

Batch 1, one thread, all of them interleaved in one process: this machine's noise strikes each alike. Prints JSON:
latencies in s, and the ratio of ours to each of the others (below 1: ours is quicker).

    python benchmarks/eager.py --rounds 60
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import struct
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ["TVM_NUM_THREADS"] = "1"  # before the runtime starts its threads

import torch
import tvm_ffi
from torch import Tensor, nn

from joulefront.compile.compiler import TvmCompiler
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut_to_widths
from joulefront.records import Target
from joulefront.tasks.models import by_name, resnet20

CALLS = 10  # inferences in each round of each contestant
Contestant = Callable[[], float]  # the mean time of CALLS inferences, in s


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="interleaved rounds for each network")
    parser.add_argument("--cpu", default=None, help="LLVM's name of this processor (x86-64-v3, x86-64-v4)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    target = this_machine(arguments.cpu)
    with tempfile.TemporaryDirectory() as folder:
        results = {
            name: compare(model.eval(), torch.randn(shape), target, Path(folder) / f"{index}.so", arguments.rounds)
            for index, (name, model, shape) in enumerate(networks())
        }
    print(json.dumps({"machine": machine(target), "networks": results}, indent=2))


def networks() -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """The networks: the demo's and ResNet-20, whole and pruned to odd widths."""
    digit, photo = (1, 1, 28, 28), (1, 3, 32, 32)
    cnn, resnet = by_name["cnn"]().eval(), resnet20(channels=3).eval()
    return [
        ("cnn", cnn, digit),
        ("cnn with BatchNorm", by_name["cnn_bn"](), digit),
        ("cnn, odd widths", odd(cnn, digit), digit),
        ("resnet20 28x28x1", by_name["resnet20"](), digit),
        ("resnet20 32x32x3", resnet, photo),
        ("resnet20 32x32x3, odd widths", odd(resnet, photo), photo),
    ]


def odd(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """The model with each group of channels cut to about 60 %, and every width odd."""
    space = find_space(model, (torch.zeros(shape),), multiple=1, floor=0.1)
    return cut_to_widths(
        model, (torch.zeros(shape),), {gene.name: gene.widths[-1] * 3 // 5 | 1 for gene in space.genes}
    )


def compare(model: nn.Module, x: Tensor, target: Target, library: Path, rounds: int) -> dict[str, Any]:
    """Every contestant's latency in s on one network, the ratios, and what compiling cost."""
    started = time.process_time()
    TvmCompiler(target).compile(model, (x,), library)
    compiled_s = time.process_time() - started
    contestants = {"joulefront": ours(library, x), "torch": eager(model, x)}
    if (other := onnx_runtime(model, x, library)) is not None:
        contestants["onnxruntime"] = other
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            samples[name].append(contestant())
    medians = {name: statistics.median(times) for name, times in samples.items()}
    minima = {name: min(times) for name, times in samples.items()}
    return {
        "median_s": medians,
        "minimum_s": minima,
        "ratio_of_medians": {name: medians["joulefront"] / medians[name] for name in medians if name != "joulefront"},
        "ratio_of_minima": {name: minima["joulefront"] / minima[name] for name in minima if name != "joulefront"},
        "compile_cpu_s": compiled_s,
    }


def ours(library: Path, x: Tensor) -> Contestant:
    """The compiled network; the runtime's own loop times it, as on a device."""
    machine = tvm_ffi.load_module(str(library))["vm_load_executable"]()
    machine["vm_initialization"](1, 0, 2)
    allocate = tvm_ffi.get_global_func("runtime.TVMTensorAllocWithScope")
    data = allocate(tvm_ffi.Shape(list(x.shape)), tvm_ffi.dtype("float32"), tvm_ffi.device("cpu:0"), None)
    torch.utils.dlpack.from_dlpack(data).copy_(x)
    evaluator = tvm_ffi.get_global_func("runtime.RPCTimeEvaluator")
    timer = evaluator(machine, "main", 1, 0, CALLS, 1, 0, 100, 0, 1, 0, "")
    return lambda: float(struct.unpack("@d", timer(data))[0])


def eager(model: nn.Module, x: Tensor) -> Contestant:
    """The model as torch runs it."""

    def run() -> float:
        with torch.inference_mode():
            model(x)
            return timed(lambda: model(x))

    return run


def onnx_runtime(model: nn.Module, x: Tensor, library: Path) -> Contestant | None:
    """The model in ONNX Runtime; None where it or onnx is not installed."""
    try:
        import onnx  # type: ignore[import-not-found, unused-ignore]  # noqa: F401 -- torch's export needs it
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    path = library.with_suffix(".onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(model, (x,), str(path), input_names=["x"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {"x": x.numpy()}

    def run() -> float:
        session.run(None, feeds)
        return timed(lambda: session.run(None, feeds))

    return run


def timed(call: Callable[[], object]) -> float:
    """The mean time of CALLS calls, in s."""
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - started) / CALLS


def this_machine(cpu: str | None) -> Target:
    """The target that this machine is."""
    if cpu is None:
        cpu = "x86-64-v4" if "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8").split() else "x86-64-v3"
    return Target("x86_64-linux-gnu", cpu, (), *((16, 32) if cpu == "x86-64-v4" else (8, 16)), l2_b=1 << 20)


def machine(target: Target) -> dict[str, Any]:
    """What was measured on and with."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    versions = {}
    for package in ("torch", "apache-tvm", "onnxruntime"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "none"
    return {
        "cpu": next(
            (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
        ),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "target_cpu": target.cpu,
        "python": platform.python_version(),
        "versions": versions,
    }


if __name__ == "__main__":
    main()
