"""The machine that a benchmark runs on, as the agent reads it, and the code that it runs."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import tvm_ffi

from joulefront.bench.target import target_of
from joulefront.records import Target
from joulefront_agent import machine
from joulefront_devices.device import Device

NARROWER = {"x86-64-v3": (8, 16), "x86-64-v4": (16, 32)}
"""Processors by LLVM's names that this one may be taken for, with their vectors: AVX2, AVX-512."""


def this_target(threads: int, cpu: str | None = None) -> Target:
    """The target that this machine is, or one of ``NARROWER``, for inferences of so many threads.

    Raises ConfigError for more threads than there are cores.
    """
    target = target_of(Device(name="local"), machine.facts(Path("/"), "none"), threads)
    if cpu is None:
        return target
    floats, registers = NARROWER[cpu]
    return replace(target, cpu=cpu, vector_floats=floats, vector_registers=registers)


def use_threads(threads: int) -> None:
    """Have torch and TVM's runtime compute on so many threads of this process, which may move between its cores.

    Exits where this process may use fewer cores.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if threads > len(allowed):
        raise SystemExit(f"--threads {threads}: this process may use {len(allowed)} core(s) only, {allowed}")
    torch.set_num_threads(threads)
    os.environ["TVM_BIND_THREADS"] = "0"
    one_core_each = -2
    tvm_ffi.get_global_func("runtime.config_threadpool")(
        one_core_each, threads, [str(core) for core in allowed[:threads]]
    )
    assert tvm_ffi.get_global_func("runtime.NumThreads")() == threads


def described(target: Target) -> dict[str, Any]:
    """What was measured on and with."""
    facts = machine.facts(Path("/"), "none")
    packages = ("torch", "apache-tvm", "onnxruntime", "timm", "torchvision")
    return {
        **{name: facts[name] for name in ("cpu", "cores", "caches", "memory_b", "os", "kernel", "simulated")},
        "cores_allowed": sorted(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
        "target_cpu": target.cpu,
        "vector_floats": target.vector_floats,
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in packages},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
