"""Where and how closely retraining computes: the processor or a GPU, float32 or bfloat16."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from joulefront.errors import ConfigError

Precision = Literal["float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]


def resolve_device(wanted: Device) -> Literal["cpu", "cuda"]:
    """What ``wanted`` means on this machine: "auto" is a GPU where torch has one ("cuda", of NVIDIA or AMD), else the CPU.

    Raises ConfigError for "cuda" where torch has no GPU.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ConfigError('device "cuda": torch finds no GPU here; "cpu" or "auto" computes on the processor')
    return "cuda" if there and wanted != "cpu" else "cpu"


def identity_of(device: Literal["cpu", "cuda"]) -> str:
    """What computes there, for the key of whatever was trained: a GPU by its name, since another model adds in another order."""
    return "cpu" if device == "cpu" else f"cuda: {torch.cuda.get_device_name()}"


def resolve_precision(
    wanted: Literal["auto", "float32", "bfloat16"], device: Literal["cpu", "cuda"] = "cpu"
) -> Precision:
    """What ``wanted`` means on a device of this machine: "auto" is bfloat16 where it has instructions for it, else float32.

    Without such instructions bfloat16 is emulated, and slower. What this returns belongs in the key of whatever was
    trained: both precisions are deterministic, and differ.
    """
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capabilities = torch.cpu.get_capabilities()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if native else "float32"


@contextlib.contextmanager
def placed(device: Device, *models: nn.Module | None) -> Iterator[Literal["cpu", "cuda"]]:
    """The models on ``device``, as ``resolve_device`` has it, for the while, and on the CPU again behind it.

    On a GPU, cuDNN's and cuBLAS' algorithms are the deterministic ones and float32 is not rounded to TensorFloat-32. A few of
    torch's own, such as the gradient of adaptive pooling, may add in another order each time.
    """
    place = resolve_device(device)
    if place == "cpu":
        yield place
        return
    # Read when cuBLAS is first used; without it, its sums are in no fixed order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    matmul, precise = torch.backends.cuda.matmul, torch.backends.cuda.matmul.allow_tf32
    there = [model for model in models if model is not None]
    try:
        for model in there:
            model.to(place)
        matmul.allow_tf32 = False
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            yield place
    finally:
        matmul.allow_tf32 = precise
        for model in there:
            model.to("cpu")
